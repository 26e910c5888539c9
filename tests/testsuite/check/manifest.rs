//! `napt check`, rule by rule: the manifest and what it names. A hit with what a person sees, and a near miss that nothing is said about.

use snapbox::{assert_data_eq, str};

use super::Module;

#[test]
fn invalid_limits() {
    let m = Module::good();
    m.append("napt.toml", "[limits]\ntimeout = \"90s\"\nmemory = \"1GiB\"\n");
    m.passes();
    let m = Module::good();
    m.append("napt.toml", "[limits]\ntimeout = \"ten minutes\"\nmemory = \"512 megs\"\n");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-limits]: invalid `timeout`
  --> napt.toml:11:11
   |
11 | timeout = "ten minutes"
   |           ^^^^^^^^^^^^^ failed to parse input in the "friendly" duration format: expected duration to start with a unit value (a decimal integer) after an optional sign, but no integer was found
   |
   = help: write for example `timeout = "10m"`

error[invalid-limits]: invalid `memory`
  --> napt.toml:12:10
   |
12 | memory = "512 megs"
   |          ^^^^^^^^^^ couldn't parse "megs" into a known SI unit, Failed to parse unit "meg..."
   |
   = help: write for example `memory = "512MiB"`

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_name() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "My-Debate""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-name]: invalid character `M` in the module name `My-Debate`
 --> napt.toml:3:8
  |
3 | name = "My-Debate"
  |        ^^^^^^^^^^^
  |
  = help: names are made of a–z, 0–9 and `_`; try `my_debate`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_name_when_there_is_none() {
    let m = Module::good();
    m.edit("pyproject.toml", r#"name = "debate""#, r#""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#""#);
    m.edit("pyproject.toml", r#"name = "debate""#, r#""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-name]: the module has no name
 --> napt.toml:1:2
  |
1 | [module]
  |  ^^^^^^
  |
  = help: add `name` to `[module]`, or to the `pyproject.toml` beside it

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

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
   = help: add `version`, or `path` for a module in a folder

error[invalid-requirement]: `kb:Facts` is not the id of a module
  --> napt.toml:11:1
   |
11 | "kb:Facts" = "1"
   | ^^^^^^^^^^ invalid character `F` in the module name `Facts`
   |
   = help: names are made of a–z, 0–9 and `_`; try `facts`

error: 4 errors, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_version() {
    let m = Module::good();
    m.edit("napt.toml", r#""0.1.0""#, r#""0.1.0-rc.1""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""0.1.0""#, r#""v0.1""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-version]: `v0.1` is not a semantic version
 --> napt.toml:4:11
  |
4 | version = "v0.1"
  |           ^^^^^^ unexpected character 'v' while parsing major version number
  |
  = help: write `0.1.0`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_version_with_build_metadata() {
    let m = Module::good();
    m.edit("napt.toml", r#"version = "0.1.0""#, r#""#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#""0.1.0""#, r#""0.1.0+linux""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-version]: the version `0.1.0+linux` has build metadata
 --> napt.toml:4:11
  |
4 | version = "0.1.0+linux"
  |           ^^^^^^^^^^^^^ `+…` is not part of a module's version
  |
  = help: write `0.1.0`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn manifest_shape() {
    let m = Module::good();
    m.edit("napt.toml", r#"type = "orchestrator""#, r#"type = "orchestrator"\nkeywords = []"#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"type = "orchestrator""#, r#"type = "orchestrater"\nkeywords = "one""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[manifest-shape]: `type` must be one of `orchestrator`, `agent`, `tool`, `kb`, `memory`, `environment`, `persona`
 --> napt.toml:2:8
  |
2 | type = "orchestrater"
  |        ^^^^^^^^^^^^^^ not one of them
  |
  = help: did you mean `orchestrator`?

error[manifest-shape]: `keywords` must be an array
 --> napt.toml:3:12
  |
3 | keywords = "one"
  |            ^^^^^ this is a string

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn manifest_shape_of_the_native_manifest() {
    let m = Module::good();
    m.edit("pyproject.toml", r#"version = "0.1.0""#, r#"version = "0.1.0"\nlicense = {text = "MIT"}"#);
    m.passes();
    let m = Module::good();
    m.edit("pyproject.toml", r#"version = "0.1.0""#, r#"version = "0.1.0"\nkeywords = "one""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[manifest-shape]: a value has not the type that it should have
 --> pyproject.toml:4:12
  |
4 | keywords = "one"
  |            ^^^^^ invalid type: string "one", expected a sequence

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn manifest_syntax() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = 'debate'"#);
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[manifest-syntax]: cannot read `napt.toml` as TOML
 --> napt.toml:3:15
  |
3 | name = "debate
  |               ^ invalid basic string, expected `"`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_manifest() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#""#);
    m.passes();
    let m = Module::good();
    m.remove("napt.toml");
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[missing-manifest]: this module has no `napt.toml`
 --> pyproject.toml:2:8
  |
2 | name = "debate"
  |        ^^^^^^^^
  |
  = help: write one with `[module]` and `type = "…"`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

#[test]
fn missing_readme() {
    let m = Module::good();
    m.rename("README.md", "README.rst");
    m.passes();
    let m = Module::good();
    m.remove("README.md");
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[missing-readme]: the module has no README
 --> napt.toml:1:2
  |
1 | [module]
  |  ^^^^^^
  |
  = help: write a `README.md` beside the manifest: what it does, its inputs, an example

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

#[test]
fn missing_runtime() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nruntime = "python""#);
    m.passes();
    let m = Module::good();
    m.remove("pyproject.toml");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-runtime]: nothing says how this orchestrator is run
 --> napt.toml:1:2
  |
1 | [module]
  |  ^^^^^^
  |
  = help: add a `pyproject.toml` beside `napt.toml`; only a `persona` is data alone

warning[unused-dependency]: the dependency `agent:chatter` is not used
 --> napt.toml:7:1
  |
7 | "agent:chatter" = "^0.1"
  | ^^^^^^^^^^^^^^^
  |
  = help: remove it, or list it in a file of `configs/`

warning[unused-dependency]: the dependency `kb:facts` is not used
 --> napt.toml:8:1
  |
8 | "kb:facts" = "^1"
  | ^^^^^^^^^^
  |
  = help: remove it, or list it in a file of `configs/`

error: 1 error, 2 warnings in 1 module

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
fn unknown_lint() {
    let m = Module::good();
    m.append("napt.toml", "[lints]\nunused-dependency = \"allow\"\n");
    m.passes();
    let m = Module::good();
    m.append("napt.toml", "[lints]\nunused-dependancy = \"allow\"\n");
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[unknown-lint]: there is no rule `unused-dependancy`
  --> napt.toml:11:1
   |
11 | unused-dependancy = "allow"
   | ^^^^^^^^^^^^^^^^^
   |
   = help: did you mean `unused-dependency`?

warning: 0 errors, 1 warning in 1 module

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
fn invalid_entrypoint() {
    for (given, help) in [
        ("src/run.py", "call it `run.py`, and the function in it `run`"),
        ("./run.py", "call it `run.py`, and the function in it `run`"),
        ("../debate/run.py", "call it `run.py`, and the function in it `run`"),
        ("/etc/passwd", "call it `passwd.py`, and the function in it `passwd`"),
        ("run", "call it `run.py`, and the function in it `run`"),
        ("my-run.py", "call it `my_run.py`, and the function in it `my_run`"),
        ("", "write for example `run.py`"),
    ] {
        let m = Module::good();
        m.write("debate/src/run.py", "def run(module_run): pass\n");
        m.edit("napt.toml", r#"name = "debate""#, &format!(r#"name = "debate"\nentrypoint = "{given}""#));
        let told = m.told(3);
        let message = format!("[invalid-entrypoint]: `{given}` is not the name of a Python file in the package folder");
        assert!(told.contains(&message), "{given}: {told}");
        assert!(told.contains(help), "{given}: {told}");
        assert!(told.contains("error: 1 error, 0 warnings"), "{given}: {told}");
    }
}

#[test]
fn not_packaged() {
    let m = Module::good();
    m.write(".gitignore", "*.pyc\n");
    m.passes();
    let m = Module::good();
    m.write(".gitignore", "llm_*.json\n");
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nexclude = ["schemas.py"]"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[not-packaged]: `debate/schemas.py` is not packaged
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = note: git ignores it, or `include` or `exclude` of `[module]` leaves it out
  = help: `napt package --list` shows what is packaged

error[not-packaged]: `debate/configs/llm_configs.json` is not packaged
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = note: git ignores it, or `include` or `exclude` of `[module]` leaves it out
  = help: `napt package --list` shows what is packaged

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}
