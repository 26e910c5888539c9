//! `napt new` in a workspace, alone, and with values of a file.

use std::{fs, path::Path};

use napt::module::Workspace;
use snapbox::{assert_data_eq, str};

use crate::support::{Sandbox, terminal};

fn members(root: &Path) -> Vec<String> {
    let workspace = Workspace::discover(root).expect("a workspace");
    workspace.members.iter().map(|member| member.id().to_string()).collect()
}

/// A sandbox with the workspace `debate`.
fn debate() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "orchestrator", "debate"]).expect(0);
    sandbox
}

const THREE: [&str; 3] = ["orchestrator:debate", "agent:debate_agent", "kb:debate_kb"];

#[test]
fn a_module_joins_where_the_members_reach() {
    let sandbox = debate();
    let root = sandbox.work().join("debate");
    let before = fs::read_to_string(root.join("napt.toml")).expect("a manifest");
    let ran = sandbox.napt(&["new", "tool", "sums", "--in", "debate"]).expect(0);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
     Created tool:sums in `debate/modules/sums`
      Joined the workspace in `debate`

next:
  cd debate/modules/sums
  napt check
  napt deploy
  napt run tool:sums -p '{"func_name": "calculate", "func_input_data": {"expression": "6 * 7"}}'

"#]]
    );
    assert!(root.join("modules/sums/sums/run.py").is_file());
    assert!(!root.join("modules/sums/.git").exists() && !root.join("modules/sums/.gitignore").exists());
    // The same by being there, and from a folder within.
    sandbox.napt(&["-C", "debate/modules", "new", "memory", "diary"]).expect(0);
    sandbox.napt(&["-C", "debate/modules/debate", "new", "persona", "ada", "--in", ".."]).expect(0);
    assert_eq!(members(&root), [&THREE[..2], &["tool:sums"], &THREE[2..], &["memory:diary", "persona:ada"]].concat());
    assert_eq!(fs::read_to_string(root.join("napt.toml")).expect("a manifest"), before);
    sandbox.napt(&["check", "debate"]).expect(0);
}

#[test]
fn a_folder_that_the_members_do_not_reach_is_added_to_them() {
    let sandbox = Sandbox::new();
    let manifest =
        "# ours\n[workspace]\nmembers = [\n    \"one\", # the first\n]\n\n[lints]\nmissing-readme = \"allow\"\n";
    sandbox.write("w/napt.toml", manifest);
    sandbox.napt(&["-C", "w", "new", "agent", "one"]).expect(0);
    sandbox.napt(&["new", "kb", "two", "--in", "w"]).expect(0);
    fs::create_dir(sandbox.work().join("w/deep")).expect("a folder");
    sandbox.napt(&["new", "orchestrator", "three", "--in", "w/deep"]).expect(0);
    assert_data_eq!(
        fs::read_to_string(sandbox.work().join("w/napt.toml")).expect("a manifest"),
        str![[r##"
# ours
[workspace]
members = [
    "one", # the first
    "two",
    "deep/three",
    "deep/three_agent",
    "deep/three_kb",
]

[lints]
missing-readme = "allow"

"##]]
    );
    let root = sandbox.work().join("w");
    let expected = ["orchestrator:three", "agent:one", "agent:three_agent", "kb:three_kb", "kb:two"];
    assert_eq!(members(&root), expected);
    sandbox.napt(&["check", "w"]).expect(0);
}

#[test]
fn beside_the_members_it_stays_apart_and_says_how_to_join() {
    let sandbox = debate();
    let ran = sandbox.napt(&["-C", "debate", "new", "agent", "other"]).expect(0);
    assert!(ran.stderr.contains("it is no member of the workspace in `"), "{}", ran.stderr);
    assert!(ran.stderr.contains("/debate`; made with `--in "), "{}", ran.stderr);
    assert!(sandbox.work().join("debate/other/napt.toml").is_file());
    assert_eq!(members(&sandbox.work().join("debate")), THREE);
    // Outside of any workspace there is nothing to say.
    let ran = sandbox.napt(&["new", "agent", "alone"]).expect(0);
    assert!(!ran.stderr.contains("workspace"), "{}", ran.stderr);
}

#[test]
fn what_cannot_join_leaves_the_workspace_as_it_was() {
    let sandbox = debate();
    let root = sandbox.work().join("debate");
    sandbox.write("debate/modules/taken_kb/kept.txt", "kept");
    sandbox.write("apart/napt.toml", "[workspace]\nmembers = { a = 1 }\n");
    sandbox.write("odd/napt.toml", "[workspace\n");
    sandbox.write("elsewhere/napt.toml", "[workspace]\nmembers = [\"x\"]\n");
    sandbox.write("elsewhere/x/napt.toml", "[module]\ntype = \"kb\"\nname = \"same\"\nversion = \"0.1.0\"\n");
    for (arguments, code, message) in [
        (vec!["agent", "debate_agent", "--in", "debate"], 6, "debate_agent` exists already"),
        (vec!["orchestrator", "taken", "--in", "debate"], 6, "taken_kb` exists already"),
        (vec!["kb", "same", "--in", "elsewhere"], 6, "the workspace has a module `kb:same` already"),
        (vec!["agent", "a", "--in", "apart"], 3, "apart/napt.toml"),
        (vec!["agent", "a", "--in", "odd"], 3, "odd/napt.toml"),
    ] {
        let ran = sandbox.napt(&[&["new"], arguments.as_slice()].concat()).expect(code);
        assert!(ran.stderr.contains(message), "{arguments:?}: {}", ran.stderr);
    }
    let mut names: Vec<_> = fs::read_dir(root.join("modules"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["debate", "debate_agent", "debate_kb", "taken_kb"]);
}

#[test]
fn a_bare_orchestrator_is_one_module() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "orchestrator", "panel", "--bare"]).expect(0);
    assert_eq!(members(&sandbox.work().join("panel")), ["orchestrator:panel"]);
    assert!(!sandbox.work().join("panel/modules").exists());
    let text = fs::read_to_string(sandbox.work().join("panel/.napt/template.toml")).expect("a record");
    assert!(text.contains("template = \"orchestrator_bare\""), "{text}");
}

#[test]
fn values_come_from_the_flag_then_the_file_then_the_default() {
    let sandbox = Sandbox::new();
    sandbox.write("v.toml", "author = \"Ada\"\nrounds = 0x07\nmodel = \"ollama\"\n");
    sandbox.write("v.json", "{\n  \"author\": \"Ada\",\n  \"rounds\": 7,\n  \"model\": \"ollama\"\n}\n");
    for (name, file) in [("one", "v.toml"), ("two", "v.json")] {
        sandbox.napt(&["new", "orchestrator", name, "--values", file, "--set", "model=openai"]).expect(0);
        let text = fs::read_to_string(sandbox.work().join(name).join(".napt/template.toml")).expect("a record");
        for line in ["author = \"Ada\"", "rounds = 7", "model = \"openai\"", "description = \"Two agents"] {
            assert!(text.contains(line), "{file}: {text}");
        }
    }
    // What the file says is not asked for.
    sandbox.write("all.toml", "author = \"Ada\"\n");
    let answers = [("What it keeps", "Notes\r")];
    terminal::run(&sandbox, &["new", "kb", "three", "--values", "all.toml"], &answers).expect(0);
    let text = fs::read_to_string(sandbox.work().join("three/.napt/template.toml")).expect("a record");
    assert!(text.contains("description = \"Notes\"") && text.contains("author = \"Ada\""), "{text}");
}

#[test]
fn what_is_wrong_in_a_file_of_values_is_told_with_its_line() {
    let sandbox = Sandbox::new();
    for (file, text, messages) in [
        (
            "v.toml",
            "author = \"Ada\"\n\nmodle = \"echo\"\n",
            vec!["v.toml`, line 3: the template `agent` has no variable `modle`", "did you mean `model`?"],
        ),
        (
            "v.json",
            "{\n  \"model\": \"gpt\"\n}\n",
            vec!["v.json`, line 2: invalid value `gpt` for `model`", "one of echo, openai, ollama"],
        ),
        ("v.toml", "model = [\"echo\"]\n", vec!["line 1: the value of `model` must be a text"]),
        ("v.json", "{\"role\": null}", vec!["line 1: the value of `role` must be a text"]),
        ("v.toml", "role = \"a\"\nmodel = \n", vec!["v.toml`, line 2:"]),
        ("v.json", "{\n\"role\": \"a\",\n}", vec!["v.json`, line "]),
        ("v.json", "[]", vec!["must be an object"]),
        ("v.yaml", "role: a\n", vec!["cannot tell the format of `", "name it `.toml` or `.json`"]),
    ] {
        sandbox.write(file, text);
        let ran = sandbox.napt(&["new", "agent", "chat", "--values", file]).expect(2);
        for message in messages {
            assert!(ran.stderr.contains(message), "{text}: {}", ran.stderr);
        }
        assert!(!sandbox.work().join("chat").exists());
    }
}
