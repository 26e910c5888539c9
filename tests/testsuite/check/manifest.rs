//! `napt check`, rule by rule: the manifest and what it names. A hit with what a person sees, and a near miss that nothing is said about.

use snapbox::{assert_data_eq, str};

use super::Module;
use crate::support::Sandbox;

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
fn invalid_permissions() {
    let m = Module::good();
    m.append("napt.toml", "[permissions]\nhosts = [\"api.example.com\", \"*.example.org:8443\", \"localhost\"]\n");
    m.passes();
    let m = Module::good();
    m.append("napt.toml", "[permissions]\nhosts = [\"https://api.example.com/v1\", \"*\", \"10.0.0.1\"]\n");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-permissions]: this entry of `hosts` names no host
  --> napt.toml:11:10
   |
11 | hosts = ["https://api.example.com/v1", "*", "10.0.0.1"]
   |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `https://api.example.com/v1` is a URL, not the name of a host
   |
   = help: write `api.example.com`

error[invalid-permissions]: this entry of `hosts` names no host
  --> napt.toml:11:40
   |
11 | hosts = ["https://api.example.com/v1", "*", "10.0.0.1"]
   |                                        ^^^ `*` would be every host
   |
   = help: name the hosts that it needs

error[invalid-permissions]: this entry of `hosts` names no host
  --> napt.toml:11:45
   |
11 | hosts = ["https://api.example.com/v1", "*", "10.0.0.1"]
   |                                             ^^^^^^^^^^ `10.0.0.1` is an address, not the name of a host
   |
   = help: give the machine a name; its operator can say what it stands for

error: 3 errors, 0 warnings in 1 module

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

hint: `napt check --fix` can mend 1 of them

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

hint: `napt check --fix` can mend 1 of them

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

hint: `napt check --fix` can mend 1 of them

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
  = help: `napt init` writes one

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
  = help: add a `pyproject.toml` or a `Cargo.toml` beside `napt.toml`; only a `persona` is data alone

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
fn invalid_entrypoint() {
    let m = Module::good();
    m.edit("napt.toml", r#"version ="#, r#"entrypoint = "start_it.py"\nversion ="#);
    m.rename("debate/run.py", "debate/start_it.py");
    m.edit("debate/start_it.py", "def run", "def start_it");
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"version ="#, r#"entrypoint = "src/run.py"\nversion ="#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-entrypoint]: `src/run.py` is not the name of a Python file in the package folder
 --> napt.toml:4:14
  |
4 | entrypoint = "src/run.py"
  |              ^^^^^^^^^^^^
  |
  = help: call it `run.py`, and the function in it `run`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_entrypoint_of_many_forms() {
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

#[test]
fn invalid_persona() {
    let m = Module::good();
    m.edit("napt.toml", r#"type = "orchestrator""#, r#"type = "persona"\nruntime = "data"\nentrypoint = "ada.json""#);
    m.edit("napt.toml", "[dependencies]\n\"agent:chatter\" = \"^0.1\"\n\"kb:facts\" = \"^1\"\n", "");
    m.write("ada.json", "{}\n");
    m.passes();
    m.write("ada.json", "{\"name\": \"Ada\",}\n");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-persona]: the persona file `ada.json` cannot be used: trailing comma at line 1 column 16
 --> napt.toml:4:14
  |
4 | entrypoint = "ada.json"
  |              ^^^^^^^^^^

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_persona_of_many_forms() {
    let large = format!("bio: {}\n", "x".repeat(256 << 10));
    for (entrypoint, file, text, message) in [
        ("entrypoint = \"p.json\"", "q.json", "{}", "there is no persona file `p.json`"),
        ("entrypoint = \"../p.json\"", "p.json", "{}", "`../p.json` is not a path within the module"),
        ("entrypoint = \"p.toml\"", "p.toml", "a = 1", "`p.toml` is neither `.json` nor `.yaml`"),
        ("entrypoint = \"p.yaml\"", "p.yaml", "- Ada", "`p.yaml` cannot be used: it must be a mapping"),
        ("entrypoint = \"p.yml\"", "p.yml", "a: !!python/object:x.Y {}", "`p.yml` cannot be used"),
        ("entrypoint = \"p.yaml\"", "p.yaml", &large, "more than 262144"),
        ("", "p.yaml", "name: Ada", "nothing says which file the persona is in"),
    ] {
        let sandbox = Sandbox::new();
        let manifest = "[module]\ntype = \"persona\"\nname = \"ada\"\nversion = \"0.1.0\"\n";
        sandbox.write("napt.toml", format!("{manifest}{entrypoint}\n"));
        sandbox.write(file, text);
        let told = sandbox.napt(&["check"]).expect(3).stderr;
        assert!(told.contains("error[invalid-persona]: ") && told.contains(message), "{told}");
    }
}

#[test]
fn not_packaged_of_a_persona() {
    let sandbox = Sandbox::new();
    let manifest = "[module]\ntype = \"persona\"\nname = \"ada\"\nversion = \"0.1.0\"\nentrypoint = \"p.json\"\n";
    sandbox.write("napt.toml", format!("{manifest}exclude = [\"*.json\"]\n"));
    sandbox.write("p.json", "{}");
    let told = sandbox.napt(&["check"]).expect(3).stderr;
    assert!(told.contains("error[not-packaged]: `p.json` is not packaged"), "{told}");
}

/// Makes the module one in Rust.
fn in_rust(m: &Module) {
    m.remove("pyproject.toml");
    m.rename("debate/configs", "configs");
    m.write("Cargo.toml", "[package]\nname = \"debate\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    m.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"debate\"\nversion = \"0.1.0\"\n");
    m.write("src/main.rs", "fn main() {}\n");
}

#[test]
fn missing_cargo_lock() {
    let m = Module::good();
    in_rust(&m);
    m.write("target/debug/Cargo.lock", "");
    m.passes();
    let m = Module::good();
    in_rust(&m);
    m.remove("Cargo.lock");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-cargo-lock]: there is no `Cargo.lock`
--> Cargo.toml
 = help: `cargo generate-lockfile` writes it

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_binary() {
    let m = Module::good();
    in_rust(&m);
    m.rename("src/main.rs", "src/lib.rs");
    m.write("src/bin/talk.rs", "fn main() {}\n");
    m.passes();
    let m = Module::good();
    in_rust(&m);
    m.rename("src/main.rs", "src/lib.rs");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-binary]: no binary of this package is the one to run
--> Cargo.toml
 = help: write `src/main.rs`; of several, name one as `entrypoint` in `[module]`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn crate_source() {
    let m = Module::good();
    in_rust(&m);
    m.append("Cargo.toml", "[dependencies]\nserde = \"1\"\nvoices = { path = \"./voices\" }\n");
    m.passes();
    let m = Module::good();
    in_rust(&m);
    m.append(
        "Cargo.toml",
        "[dependencies]\nvoices = { path = \"../voices\" }\n[target.'cfg(unix)'.build-dependencies]\n\
         noise = { git = \"https://example.org/noise\" }\n",
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[crate-source]: the crate `voices` is in a folder outside of the module
 --> Cargo.toml:6:1
  |
6 | voices = { path = "../voices" }
  | ^^^^^^
  |
  = note: nodes take crates from crates.io and from the module's own folders

error[crate-source]: the crate `noise` is from a git repository
 --> Cargo.toml:8:1
  |
8 | noise = { git = "https://example.org/noise" }
  | ^^^^^
  |
  = note: nodes take crates from crates.io and from the module's own folders

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}
