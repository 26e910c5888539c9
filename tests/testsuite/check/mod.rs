//! `napt check`: what it looks at, how it shows what it finds, how it ends.

mod code;
mod configs;
mod dependencies;
mod environment;
mod fix;
mod manifest;
mod reports;
mod rules;
mod schema;

use std::fs;

use snapbox::{assert_data_eq, str};

use crate::support::{Ran, Sandbox};

/// A module's files: good ones, to be spoilt.
pub(crate) struct Module {
    sandbox: Sandbox,
}

const GOOD: [(&str, &str); 9] = [
    (
        "napt.toml",
        r#"[module]
type = "orchestrator"
name = "debate"
version = "0.1.0"

[dependencies]
"agent:chatter" = "^0.1"
"kb:facts" = "^1"

"#,
    ),
    (
        "pyproject.toml",
        r#"[project]
name = "debate"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["naptha-sdk~=1.0.5"]
"#,
    ),
    ("README.md", "# debate\n"),
    (
        "debate/run.py",
        r#"from naptha_sdk.schemas import OrchestratorRunInput

async def run(module_run: dict):
    return "done"
"#,
    ),
    (
        "debate/schemas.py",
        r#"from pydantic import BaseModel

class InputSchema(BaseModel):
    prompt: str
"#,
    ),
    (
        "debate/configs/deployment.json",
        r#"[
    {
        "name": "deployment_1",
        "module": {"name": "debate"},
        "node": {"ip": "localhost"},
        "config": {
            "llm_config": {"config_name": "gpt"},
            "max_rounds": 2
        },
        "agent_deployments": [{"name": "agent_1"}, {"name": "agent_2"}],
        "kb_deployments": [{"name": "kb_1"}]
    }
]
"#,
    ),
    (
        "debate/configs/agent_deployments.json",
        r#"[
    {"name": "agent_1", "module": {"name": "chatter"}},
    {"name": "agent_2", "module": {"name": "agent:chatter"}}
]
"#,
    ),
    (
        "debate/configs/kb_deployments.json",
        r#"[{"name": "kb_1", "module": {"name": "facts"}, "node": {"name": "node.example.org"}}]
"#,
    ),
    (
        "debate/configs/llm_configs.json",
        r#"[
    {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": 100},
    {"config_name": "small", "client": "ollama", "model": "tiny"}
]
"#,
    ),
];

impl Module {
    pub(crate) fn good() -> Self {
        let module = Module { sandbox: Sandbox::new() };
        for (path, text) in GOOD {
            module.write(path, text);
        }
        module
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.sandbox.write(path, text);
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        self.write(path, &(self.read(path) + text));
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.sandbox.work().join(path)).expect("the file is there")
    }

    /// Replaces the one place where `from` stands. `\n` and `\t` in `to` mean what they look like.
    #[track_caller]
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "`{from}` is in {path}");
        self.write(path, &text.replacen(from, &to.replace("\\n", "\n").replace("\\t", "\t"), 1));
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.sandbox.work().join(path)).expect("the file is there");
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.sandbox.work().join(from), self.sandbox.work().join(to)).expect("it is there");
    }

    fn check(&self, arguments: &[&str]) -> Ran {
        self.sandbox.napt(&[&["check"], arguments].concat())
    }

    /// What a person sees when the check ends with `code`.
    #[track_caller]
    pub(crate) fn told(&self, code: i32) -> String {
        let ran = self.check(&[]).expect(code);
        assert_eq!(ran.stdout, "", "findings are talk, not results");
        ran.stderr
    }

    /// Nothing is found.
    #[track_caller]
    pub(crate) fn passes(&self) {
        assert_eq!(self.told(0).trim(), "Checked 1 module, no problems");
    }
}

#[test]
fn a_good_module_passes() {
    let module = Module::good();
    module.passes();
    let ran = module.check(&["--message-format", "json"]).expect(0);
    assert_eq!(ran.json()["data"]["diagnostics"], serde_json::json!([]));
    assert_eq!(module.check(&["--message-format", "github"]).expect(0).stdout, "");
}

#[test]
fn what_the_templates_make_passes() {
    for module_type in ["orchestrator", "agent", "kb"] {
        let sandbox = Sandbox::new();
        sandbox.napt(&["new", module_type, "fresh", "--yes"]).expect(0);
        let ran = sandbox.napt(&["check", "fresh", "--message-format", "json"]).expect(0);
        assert_eq!(ran.json()["data"]["diagnostics"], serde_json::json!([]), "{module_type}");
    }
}

/// Problems in five files, one of them broken beyond reading.
fn bad() -> Module {
    let module = Module::good();
    module.edit("napt.toml", "version =", "verison =");
    module.edit("pyproject.toml", "[project]", "[project");
    module.edit("debate/run.py", "module_run: dict", "x");
    module.edit("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": -2,");
    module.write("debate/configs/llm_configs.json", "{");
    module
}

#[test]
fn all_problems_show_at_once_by_file_and_place() {
    assert_data_eq!(
        bad().told(3),
        str![[r#"
error[config-shape]: `max_rounds` must be at least 0
 --> debate/configs/deployment.json:8:27
  |
8 |             "max_rounds": -2,
  |                           ^^ less than 0

error[invalid-json]: cannot read `deployment.json` as JSON
 --> debate/configs/deployment.json:8:29
  |
8 |             "max_rounds": -2,
  |                             ^ JSON has no trailing commas
  |
  = help: remove the comma

error[invalid-json]: cannot read `llm_configs.json` as JSON
 --> debate/configs/llm_configs.json:1:1
  |
1 | {
  | ^ unterminated object

error[entry-signature]: `run` does not take `module_run`
 --> debate/run.py:3:11
  |
3 | async def run(x):
  |           ^^^ nodes call `run(module_run=…)`
  |
  = help: write `async def run(module_run: dict)`

error[unknown-key]: unknown key `verison`
 --> napt.toml:4:1
  |
4 | verison = "0.1.0"
  | ^^^^^^^
  |
  = help: did you mean `version`?

error[manifest-syntax]: cannot read `pyproject.toml` as TOML
 --> pyproject.toml:1:9
  |
1 | [project
  |         ^ unclosed table, expected `]`

error: 6 errors, 0 warnings in 1 module

hint: `napt check --fix` can mend 2 of them

"#]]
    );
}

#[test]
fn findings_are_data_in_the_json_envelope() {
    let module = Module::good();
    module.edit("debate/configs/deployment.json", "\"max_rounds\"", "\"max_round\"");
    let ran = module.check(&["--message-format", "json"]).expect(3);
    assert_eq!(ran.stderr, "");
    assert_data_eq!(
        serde_json::to_string_pretty(&ran.json()).expect("JSON"),
        str![[r#"
{
  "format": 1,
  "command": "check",
  "ok": false,
  "error": {
    "kind": "check",
    "message": "1 error, 0 warnings in 1 module",
    "causes": [],
    "hints": [
      "`napt check --fix` can mend 1 of them"
    ]
  },
  "data": {
    "modules": 1,
    "errors": 1,
    "warnings": 0,
    "diagnostics": [
      {
        "rule": "unknown-key",
        "level": "error",
        "message": "unknown key `max_round`",
        "label": null,
        "labels": [],
        "notes": [],
        "help": [
          "did you mean `max_rounds`?"
        ],
        "fixable": true,
        "file": "debate/configs/deployment.json",
        "span": {
          "start": {
            "line": 8,
            "column": 13,
            "offset": 197
          },
          "end": {
            "line": 8,
            "column": 24,
            "offset": 208
          }
        },
        "excerpt": "            /"max_round/": 2"
      }
    ],
    "fixed": []
  }
}
"#]]
    );
}

#[test]
fn github_gets_annotations_with_paths_from_the_repository_root() {
    let sandbox = Sandbox::new();
    sandbox.write(".git/HEAD", "ref: refs/heads/main\n");
    sandbox
        .write("a,b/napt.toml", "[module]\ntype = \"persona\"\nname = \"x\"\nversion = \"1.0\"\nreadme = \"100%\"\n");
    let ran = sandbox.napt(&["check", "a,b", "--message-format", "github"]).expect(3);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
::error file=a%2Cb/napt.toml,line=2,endLine=2,col=8,endColumn=17,title=invalid-persona::nothing says which file the persona is in%0Aset `entrypoint` in `[module]` to its `.json` or `.yaml` file
::error file=a%2Cb/napt.toml,line=4,endLine=4,col=11,endColumn=16,title=invalid-version::`1.0` is not a semantic version: unexpected end of input while parsing minor version number%0Awrite `1.0.0`
::warning file=a%2Cb/napt.toml,line=5,endLine=5,col=10,endColumn=16,title=missing-readme::the README `100%25` does not exist

"#]]
    );
    assert_data_eq!(
        ran.stderr,
        str![[r#"
error: 2 errors, 1 warning in 1 module

hint: `napt check --fix` can mend 1 of them

"#]]
    );
}

#[test]
fn levels_are_the_manifests() {
    let module = Module::good();
    module.remove("README.md");
    module.append("napt.toml", "[lints]\nmissing-readme = \"deny\"\n");
    assert!(module.told(3).contains("error[missing-readme]"));
    module.edit("napt.toml", "\"deny\"", "\"allow\"");
    module.passes();
    module.edit("napt.toml", "missing-readme", "max-rounds");
    module.edit("debate/configs/deployment.json", "\"max_rounds\": 2", "\"max_rounds\": 0");
    assert!(!module.told(0).contains("max-rounds"));
}

#[test]
fn warnings_pass_unless_they_are_denied() {
    let module = Module::good();
    module.remove("README.md");
    assert!(module.told(0).contains("warning[missing-readme]"));
    let ran = module.check(&["--deny-warnings"]).expect(3);
    assert!(ran.stderr.contains("error[missing-readme]"), "{}", ran.stderr);
    assert_eq!(module.check(&["--quiet"]).expect(0).stderr, "");
}

#[test]
fn errors_show_even_when_quiet() {
    let ran = bad().check(&["--quiet"]).expect(3);
    assert!(ran.stderr.contains("error[unknown-key]"), "{}", ran.stderr);
}

#[test]
fn a_folder_without_a_project_is_told() {
    let sandbox = Sandbox::new();
    assert_data_eq!(
        sandbox.napt(&["check"]).expect(1).stderr.replace(&*sandbox.work().to_string_lossy(), "[WORK]"),
        str![[r#"
error: there is no `napt.toml` and no `pyproject.toml` in `[WORK]` or any folder above it

hint: `napt new orchestrator NAME` makes a project; one in a folder below is named by its path

"#]]
    );
}

#[test]
fn a_secret_is_reported_and_never_shown() {
    let module = Module::good();
    // Put together here, so that no scanner takes this file for a leak.
    let key = ["sk-", "proj-Zx81Qm22Lw93Er44Ty55"].concat();
    module.edit(
        "debate/configs/llm_configs.json",
        "\"max_tokens\": 100",
        &format!("\"max_tokens\": \"{key}\", \"options\": {{\"api_key\": \"correct horse battery\"}}"),
    );
    module.append("debate/run.py", &format!("KEY = \"{key}\" +\n"));
    assert_data_eq!(
        module.told(3),
        str![[r#"
error[config-shape]: `max_tokens` must be an integer
 --> debate/configs/llm_configs.json:2:84
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": "****************************", "options": {"api_k...
  |                                                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this is a string

error[secret-in-config]: this looks like an OpenAI API key
 --> debate/configs/llm_configs.json:2:85
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": "****************************", "options": {"api_k...
  |                                                                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = note: whoever can read the package can read it
  = help: remove it, and revoke it where it was issued; a model provider's key belongs to the node

error[secret-in-config]: this looks like a secret, by its key
 --> debate/configs/llm_configs.json:2:139
  |
2 | ...***************************", "options": {"api_key": ***********************}},
  |                                                         ^^^^^^^^^^^^^^^^^^^^^^^
  |
  = note: whoever can read the package can read it
  = help: remove it, and revoke it where it was issued; a model provider's key belongs to the node

error[python-syntax]: cannot read `run.py` as Python 3
 --> debate/run.py:5:1
  |
5 | KEY = "****************************" +
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ invalid syntax

error: 4 errors, 0 warnings in 1 module

"#]]
    );
    for format in ["json", "github"] {
        let ran = module.check(&["--message-format", format]).expect(3);
        assert!(!ran.stdout.contains("Zx81") && !ran.stdout.contains("correct horse"), "{}", ran.stdout);
    }
}

#[test]
fn a_workspace_is_checked_as_a_whole_and_a_member_alone() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "napt.toml",
        "[workspace]\nmembers = [\"modules/*\", \"tools/*\"]\n[lints]\nmissing-readme = \"allow\"\n",
    );
    for index in 0..20 {
        let name = format!("hero_{index}");
        sandbox.write(
            format!("modules/{name}/napt.toml"),
            format!("[module]\ntype = \"persona\"\nname = \"{name}\"\nversion = \"0.1.0\"\nentrypoint = \"a.json\"\n"),
        );
        sandbox.write(format!("modules/{name}/a.json"), "{}");
    }
    sandbox.write(
        "modules/twin/napt.toml",
        "[module]\ntype = \"persona\"\nname = \"hero-7\"\nversion = \"0.1.0\"\nentrypoint = \"a.json\"\n",
    );
    sandbox.write("modules/twin/a.json", "{}");
    sandbox.write("modules/hero_3/napt.toml", "[module\ntype = 3\n");
    let ran = sandbox.napt(&["check"]).expect(3);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
error[manifest-syntax]: cannot read `napt.toml` as TOML
 --> modules/hero_3/napt.toml:1:8
  |
1 | [module
  |        ^ unclosed table, expected `]`

error[duplicate-module]: `persona:hero_7` is defined twice
 --> modules/twin/napt.toml:3:8
  |
3 | name = "hero-7"
  |        ^^^^^^^^
  |
 ::: modules/hero_7/napt.toml:3:8
  |
3 | name = "hero_7"
  |        -------- first defined here
  |
  = help: rename one of them

error[workspace-members]: `tools/*` matches no folder with a `napt.toml`
 --> napt.toml:2:25
  |
2 | members = ["modules/*", "tools/*"]
  |                         ^^^^^^^^^
  |
  = help: `*` stands for one folder name

error: 3 errors, 0 warnings in 21 modules

"#]]
    );
    let ran = sandbox.napt(&["check", "modules/hero_1"]).expect(0);
    assert_eq!(ran.stderr.trim(), "Checked 1 module, no problems");
    sandbox.napt(&["-C", "modules/hero_3", "check"]).expect(3);
}

#[test]
fn rules_are_sorted_and_named_like_rules() {
    let names: Vec<&str> = napt::check::RULES.iter().map(|rule| rule.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')), "{names:?}");
}
