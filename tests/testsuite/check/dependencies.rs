//! `napt check`, rule by rule: what a module needs. A hit with what a person sees, and a near miss that nothing is said about.

use snapbox::{assert_data_eq, str};

use super::Module;

const PERSONA: &str =
    "[module]\ntype = \"persona\"\nname = \"hero\"\nversion = \"0.1.0\"\nentrypoint = \"hero.json\"\n";

#[test]
fn invalid_requirement() {
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = ">=1, <3""#);
    m.passes();
    let m = Module::good();
    m.edit(
        "napt.toml",
        r#""kb:facts" = "^1""#,
        r#""kb:facts" = ">=1 <3"\n"kbs:x" = "1"\n"tool:y" = {}\n"kb:Facts" = "1""#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-requirement]: invalid version requirement
 --> napt.toml:8:14
  |
8 | "kb:facts" = ">=1 <3"
  |              ^^^^^^^^ expected comma after major version number, found '<'
  |
  = help: write for example `^1.2`, `=1.2.3` or `>=1, <3`

error[invalid-requirement]: `kbs:x` is not the id of a module
 --> napt.toml:9:1
  |
9 | "kbs:x" = "1"
  | ^^^^^^^ unknown module type `kbs`
  |
  = help: did you mean `kb`? The types are orchestrator, agent, tool, kb, memory, environment, persona

error[invalid-requirement]: this dependency says no version
  --> napt.toml:10:12
   |
10 | "tool:y" = {}
   |            ^^
   |
   = help: add `version`; or `path` for a module in a folder, `git` for one in a repository

error[invalid-requirement]: `kb:Facts` is not the id of a module
  --> napt.toml:11:1
   |
11 | "kb:Facts" = "1"
   | ^^^^^^^^^^ invalid character `F` in the module name `Facts`
   |
   = help: names are made of a–z, 0–9 and `_`; try `facts`

error: 4 errors, 0 warnings in 1 module

hint: `napt check --fix` can mend 1 of them

"#]]
    );
}

#[test]
fn path_dependency() {
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = { path = "facts", version = "^1" }"#);
    m.write(
        "facts/napt.toml",
        r#"[module]
type = "kb"
name = "facts"
version = "1.2.0"
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = { path = "facts", version = "^1" }"#);
    m.write(
        "facts/napt.toml",
        r#"[module]
type = "kb"
name = "facts"
version = "2.0.0"
"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[path-dependency]: `kb:facts` in `facts` is 2.0.0, which `^1` does not accept
 --> napt.toml:8:42
  |
8 | "kb:facts" = { path = "facts", version = "^1" }
  |                                          ^^^^
  |
 ::: facts/napt.toml:4:11
  |
4 | version = "2.0.0"
  |           ------- its version

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn path_dependency_on_another_module() {
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = { path = "facts" }"#);
    m.write(
        "facts/napt.toml",
        r#"[module]
type = "kb"
name = "facts"
version = "2.0.0"
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = { path = "facts" }"#);
    m.write(
        "facts/napt.toml",
        r#"[module]
type = "agent"
name = "facts"
version = "1.2.0"
"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[path-dependency]: `facts` holds `agent:facts`, not `kb:facts`
 --> napt.toml:8:23
  |
8 | "kb:facts" = { path = "facts" }
  |                       ^^^^^^^
  |
 ::: facts/napt.toml:3:8
  |
3 | name = "facts"
  |        ------- its name

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn path_dependency_on_nothing() {
    let m = Module::good();
    m.edit("napt.toml", r#""^1""#, r#""1""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts" = "^1""#, r#""kb:facts" = { path = "../facts" }"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[path-dependency]: there is no module in `../facts`
 --> napt.toml:8:23
  |
8 | "kb:facts" = { path = "../facts" }
  |                       ^^^^^^^^^^
  |
  = help: the path is relative to this `napt.toml`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn requires_python() {
    let m = Module::good();
    m.edit("pyproject.toml", r#">=3.10"#, r#">=3.12"#);
    m.passes();
    let m = Module::good();
    m.edit("pyproject.toml", r#">=3.10"#, r#">=3.13"#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[requires-python]: this module runs on none of Python 3.10, 3.11 and 3.12
 --> pyproject.toml:4:19
  |
4 | requires-python = ">=3.13"
  |                   ^^^^^^^^ nodes have no such Python
  |
  = help: write for example `>=3.10,<3.13`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

// Naptha's defects: C11
#[test]
fn sdk_version() {
    let m = Module::good();
    m.edit("pyproject.toml", r#""naptha-sdk~=1.0.5""#, r#""naptha-sdk @ git+https://example.org/sdk.git@v1.0.5""#);
    m.passes();
    let m = Module::good();
    m.edit("pyproject.toml", r#""naptha-sdk~=1.0.5""#, r#""naptha_sdk[all]""#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[sdk-version]: `naptha-sdk` is not pinned to a version
 --> pyproject.toml:5:17
  |
5 | dependencies = ["naptha_sdk[all]"]
  |                 ^^^^^^^^^^^^^^^^^ any version fits
  |
  = help: write `naptha-sdk~=1.0.5`, or set `sdk` in `[module]`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

#[test]
fn sdk_version_when_it_is_not_listed() {
    let m = Module::good();
    m.edit("pyproject.toml", r#""naptha-sdk~=1.0.5""#, r#""#);
    m.edit("debate/run.py", r#"from naptha_sdk.schemas import OrchestratorRunInput"#, r#""#);
    m.passes();
    let m = Module::good();
    m.edit("pyproject.toml", r#""naptha-sdk~=1.0.5""#, r#""#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[sdk-version]: `run.py` uses `naptha_sdk`, which is not among the dependencies
--> pyproject.toml
 = help: add `naptha-sdk~=1.0.5` to `dependencies`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

#[test]
fn undeclared_dependency() {
    let m = Module::good();
    m.edit("napt.toml", r#"agent:chatter"#, r#"chatter"#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""agent:chatter" = "^0.1""#, r#""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[undeclared-dependency]: `agent:chatter` is not in `[dependencies]`
 --> debate/configs/agent_deployments.json:2:44
  |
2 |     {"name": "agent_1", "module": {"name": "chatter"}},
  |                                            ^^^^^^^^^
  |
 ::: napt.toml:6:2
  |
6 | [dependencies]
  |  ------------ it is missing here
  |
  = help: add `"agent:chatter" = "…"` with the versions that work, or `"agent:chatter" = { path = "…" }` with its folder

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn undeclared_dependency_of_a_persona() {
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts""#, r#""persona:ada" = "^1"\n"kb:facts""#);
    m.edit("debate/configs/deployment.json", r#""max_rounds""#, r#""persona_module": {"name": "ada"}, "max_rounds""#);
    m.passes();
    m.edit("napt.toml", "\"persona:ada\" = \"^1\"\n", "");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[undeclared-dependency]: `persona:ada` is not in `[dependencies]`
 --> debate/configs/deployment.json:8:40
  |
8 |             "persona_module": {"name": "ada"}, "max_rounds": 2
  |                                        ^^^^^
  |
 ::: napt.toml:6:2
  |
6 | [dependencies]
  |  ------------ it is missing here
  |
  = help: add `"persona:ada" = "…"` with the versions that work, or `"persona:ada" = { path = "…" }` with its folder

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn unused_dependency() {
    let m = Module::good();
    m.append("debate/run.py", "USED = \"wiki\"\n");
    m.edit("napt.toml", r#""kb:facts""#, r#""tool:wiki" = "*"\n"kb:facts""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""kb:facts""#, r#""tool:wiki" = "*"\n"kb:facts""#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[unused-dependency]: the dependency `tool:wiki` is not used
 --> napt.toml:8:1
  |
8 | "tool:wiki" = "*"
  | ^^^^^^^^^^^
  |
  = help: remove it, or list it in a file of `configs/`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

#[test]
fn duplicate_module() {
    let m = Module::good();
    m.write("twins/a/napt.toml", PERSONA);
    m.write("twins/a/hero.json", "{}");
    m.write("twins/b/napt.toml", "[module]\ntype = \"kb\"\nname = \"hero\"\nversion = \"0.1.0\"\nruntime = \"data\"\n");
    m.write("twins/a/README.md", "");
    m.write("twins/b/README.md", "");
    m.passes();
    m.append("napt.toml", "[workspace]\nmembers = [\"twins/*\"]\n[lints]\nmissing-runtime = \"allow\"\n");
    assert_eq!(m.told(0).trim(), "Checked 3 modules, no problems");
    m.edit("twins/b/napt.toml", "\"kb\"", "\"persona\"");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-persona]: nothing says which file the persona is in
 --> twins/b/napt.toml:2:8
  |
2 | type = "persona"
  |        ^^^^^^^^^
  |
  = help: set `entrypoint` in `[module]` to its `.json` or `.yaml` file

error[duplicate-module]: `persona:hero` is defined twice
 --> twins/b/napt.toml:3:8
  |
3 | name = "hero"
  |        ^^^^^^
  |
 ::: twins/a/napt.toml:3:8
  |
3 | name = "hero"
  |        ------ first defined here
  |
  = help: rename one of them

error: 2 errors, 0 warnings in 3 modules

"#]]
    );
}

#[test]
fn workspace_members() {
    let m = Module::good();
    m.write("twins/a/napt.toml", PERSONA);
    m.write("twins/a/hero.json", "{}");
    m.write("twins/a/README.md", "");
    m.passes();
    m.append("napt.toml", "[workspace]\nmembers = [\"twins/*\"]\n");
    assert_eq!(m.told(0).trim(), "Checked 2 modules, no problems");
    m.edit("napt.toml", "twins/*", "twin/*");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[workspace-members]: `twin/*` matches no folder with a `napt.toml`
  --> napt.toml:11:12
   |
11 | members = ["twin/*"]
   |            ^^^^^^^^
   |
   = help: `*` stands for one folder name

error: 1 error, 0 warnings in 1 module

"#]]
    );
}
