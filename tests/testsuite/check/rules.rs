//! `napt check`, rule by rule: a hit with what a person sees, and a near miss that nothing is said about.

use snapbox::{assert_data_eq, str};

use super::Module;

#[test]
fn config_shape() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds": null"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds": "2""#);
    m.edit("debate/configs/llm_configs.json", r#""client": "openai""#, r#""client": "opnai""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[config-shape]: `max_rounds` must be an integer
 --> debate/configs/deployment.json:8:27
  |
8 |             "max_rounds": "2"
  |                           ^^^ this is a string

error[config-shape]: `client` must be one of `openai`, `azure_openai`, `anthropic`, `vllm`, `litellm`, `ollama`, `stability`
 --> debate/configs/llm_configs.json:2:38
  |
2 |     {"config_name": "gpt", "client": "opnai", "model": "napt/echo", "max_tokens": 100},
  |                                      ^^^^^^^ not one of them
  |
  = help: did you mean `openai`?

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn config_shape_beyond_the_schema() {
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""max_tokens": 4294967295"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""max_tokens": 4294967296"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[config-shape]: `max_tokens` cannot be used
 --> debate/configs/llm_configs.json:2:84
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": 4294967296},
  |                                                                                    ^^^^^^^^^^ invalid value: integer `4294967296`, expected u32

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn duplicate_name() {
    let m = Module::good();
    m.edit("debate/configs/agent_deployments.json", r#""name": "agent_2""#, r#""name": "agent_1_""#);
    m.edit("debate/configs/deployment.json", r#""name": "agent_2""#, r#""name": "agent_1_""#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/llm_configs.json", r#""config_name": "small""#, r#""config_name": "gpt""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[duplicate-name]: the name `gpt` is taken
 --> debate/configs/llm_configs.json:3:21
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": 100},
  |                     ----- first used here
3 |     {"config_name": "gpt", "client": "ollama", "model": "tiny"}
  |                     ^^^^^ this entry is never found

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn entry_signature() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run: dict, *args, level=1, **kwargs"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"inputs, worker_nodes"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` does not take `module_run`
 --> debate/run.py:3:11
  |
3 | async def run(inputs, worker_nodes):
  |           ^^^ nodes call `run(module_run=…)`
  |
  = help: write `async def run(module_run: dict)`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn entry_signature_more_than_nodes_give() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"**kwargs"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run: dict, config"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` requires `config` besides `module_run`
 --> debate/run.py:3:33
  |
3 | async def run(module_run: dict, config):
  |                                 ^^^^^^ nodes call `run(module_run=…)`
  |
  = help: give it a default, or remove it

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn entry_signature_by_position_only() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"a=1, /, module_run=None"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run, /"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` does not take `module_run`
 --> debate/run.py:3:11
  |
3 | async def run(module_run, /):
  |           ^^^ ---------- this one cannot be given by name
  |           |
  |           nodes call `run(module_run=…)`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_json() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds":\t2"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds": 2, // enough"#);
    m.edit("debate/configs/agent_deployments.json", r#""name": "agent_2""#, r#""name": "agent_2", "name": "agent_2""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-json]: cannot read `agent_deployments.json` as JSON
 --> debate/configs/agent_deployments.json:3:25
  |
3 |     {"name": "agent_2", "name": "agent_2", "module": {"name": "agent:chatter"}}
  |                         ^^^^^^ the key `name` stands twice in this object
  |
  = help: only the last one counts; remove the other

error[invalid-json]: cannot read `deployment.json` as JSON
 --> debate/configs/deployment.json:8:28
  |
8 |             "max_rounds": 2, // enough
  |                            ^ JSON has no trailing commas
  |
  = help: remove the comma

error[invalid-json]: cannot read `deployment.json` as JSON
 --> debate/configs/deployment.json:8:30
  |
8 |             "max_rounds": 2, // enough
  |                              ^^^^^^^^^ JSON has no comments
  |
  = help: remove it

error: 3 errors, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn invalid_json_at_all() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#"["#, r#"\n["#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/agent_deployments.json", r#""name": "agent_2""#, r#""name" "agent_2""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[invalid-json]: cannot read `agent_deployments.json` as JSON
 --> debate/configs/agent_deployments.json:3:13
  |
3 |     {"name" "agent_2", "module": {"name": "agent:chatter"}}
  |             ^^^^^^^^^ expected colon after the string or word in object property

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

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
fn max_rounds() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds": 1"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_rounds": 0"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[max-rounds]: with `max_rounds` 0 the orchestrator does nothing
 --> debate/configs/deployment.json:8:27
  |
8 |             "max_rounds": 0
  |                           ^
  |
  = help: allow at least one round

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_deployment() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""name": "deployment_1","#, r#""#);
    m.passes();
    let m = Module::good();
    m.remove("debate/configs/deployment.json");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-deployment]: there is no `configs/deployment.json` in the package folder
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = help: write one with a `name`, a `module` and a `config`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_entry_function() {
    let m = Module::good();
    m.write(
        "debate/run.py",
        r#"try:
    from .core import go as run
except ImportError:
    raise
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"def run"#, r#"def rum"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-entry-function]: `run.py` does not define `run`
--> debate/run.py
 = help: rename `rum` to `run`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_entrypoint() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nentrypoint = "main.py""#);
    m.write(
        "debate/main.py",
        r#"async def main(module_run):
    return 1
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nentrypoint = "rum.py""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-entrypoint]: the entrypoint `debate/rum.py` does not exist
 --> napt.toml:4:14
  |
4 | entrypoint = "rum.py"
  |              ^^^^^^^^
  |
  = help: did you mean `run.py`?

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_input_schema() {
    let m = Module::good();
    m.write(
        "debate/schemas.py",
        r#"from .shapes import Input as InputSchema
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/schemas.py", r#"InputSchema"#, r#"InputSchem"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-input-schema]: `schemas.py` does not define `InputSchema`
--> debate/schemas.py
 = note: a node validates inputs with it
 = help: rename `InputSchem` to `InputSchema`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_input_schema_file() {
    let m = Module::good();
    m.edit("debate/schemas.py", r#"prompt: str"#, r#"prompt: int"#);
    m.passes();
    let m = Module::good();
    m.remove("debate/schemas.py");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-input-schema]: the package has no `schemas.py`
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = note: a node validates inputs with the class `InputSchema` in it
  = help: write `debate/schemas.py` with a pydantic class `InputSchema`

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
fn missing_package() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nruntime = "python""#);
    m.passes();
    let m = Module::good();
    m.rename("debate", "debat");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-package]: there is no package folder `debate`
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = help: rename the folder `debat` to `debate`, or the module to `debat`

error: 1 error, 0 warnings in 1 module

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
fn module_mismatch() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""module": {"name": "debate"}"#,
        r#""module": {"name": "orchestrator:debate"}"#,
    );
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""module": {"name": "debate"}"#,
        r#""module": {"name": "agent:debate"}"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[module-mismatch]: this is a deployment of `agent:debate`, the module is `orchestrator:debate`
 --> debate/configs/deployment.json:4:28
  |
4 |         "module": {"name": "agent:debate"},
  |                            ^^^^^^^^^^^^^^
  |
 ::: napt.toml:3:8
  |
3 | name = "debate"
  |        -------- its name
  |
  = help: write `debate`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn node_address() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""node": {"ip": "localhost"}"#,
        r#""node": {"name": "node.example.org", "owner": "me"}"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#"{"ip": "localhost"}"#, r#"{"id": "node:00"}"#);
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""node": {"ip": "localhost"}"#,
        r#""node": {"user_communication_port": 7001}"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[node-address]: this node has no `ip`, `name` or `id`
 --> debate/configs/deployment.json:5:17
  |
5 |         "node": {"user_communication_port": 7001},
  |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `{"ip": "localhost"}`, or leave `node` out

error: 1 error, 0 warnings in 1 module

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
fn python_syntax() {
    let m = Module::good();
    m.write(
        "debate/more.py",
        r#"match 1:
    case 1:
        x = f"{1!r:>{10}}"
print(x)
"#,
    );
    m.passes();
    let m = Module::good();
    m.write(
        "debate/more.py",
        r#"def go(x)
    return x
"#,
    );
    m.write(
        "debate/old.py",
        r#"def go(x):
    print "x"
"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[python-syntax]: cannot read `more.py` as Python 3
 --> debate/more.py:1:1
  |
1 | def go(x)
  | ^^^^^^^^^ invalid syntax

error[python-syntax]: cannot read `old.py` as Python 3
 --> debate/old.py:2:5
  |
2 |     print "x"
  |     ^^^^^^^^^ this is Python 2
  |
  = help: `print` and `exec` are functions: put what follows in parentheses

error: 2 errors, 0 warnings in 1 module

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
  = help: add `"agent:chatter" = "…"` with the versions that work, or run `napt add agent:chatter`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn unknown_key() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""max_rounds": 2"#,
        r#""max_rounds": 2, "persona_module": {"any": 1}, "system_prompt": {"thing": 2}"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""max_rounds": 2"#, r#""max_round": 2"#);
    m.edit("napt.toml", r#"version ="#, r#"verison ="#);
    m.edit("debate/configs/llm_configs.json", r#""max_tokens": 100"#, r#""zzz": 100"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-key]: unknown key `max_round`
 --> debate/configs/deployment.json:8:13
  |
8 |             "max_round": 2
  |             ^^^^^^^^^^^
  |
  = help: did you mean `max_rounds`?

error[unknown-key]: unknown key `zzz`
 --> debate/configs/llm_configs.json:2:70
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "zzz": 100},
  |                                                                      ^^^^^
  |
  = help: the keys here are config_name, client, model, max_tokens, temperature, api_base, options

error[unknown-key]: unknown key `verison`
 --> napt.toml:4:1
  |
4 | verison = "0.1.0"
  | ^^^^^^^
  |
  = help: did you mean `version`?

error: 3 errors, 0 warnings in 1 module

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
fn unknown_llm_config() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""config_name": "gpt""#, r#""config_name": "small""#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""config_name": "gpt""#, r#""config_name": "gtp""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-llm-config]: no language model is called `gtp`
 --> debate/configs/deployment.json:7:43
  |
7 |             "llm_config": {"config_name": "gtp"},
  |                                           ^^^^^
  |
  = help: did you mean `gpt`?

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn unknown_llm_config_without_the_file() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#""llm_config": {"config_name": "gpt"},"#, r#""#);
    m.remove("debate/configs/llm_configs.json");
    m.passes();
    let m = Module::good();
    m.remove("debate/configs/llm_configs.json");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-llm-config]: no language model is called `gpt`
 --> debate/configs/deployment.json:7:43
  |
7 |             "llm_config": {"config_name": "gpt"},
  |                                           ^^^^^
  |
  = note: there is no `configs/llm_configs.json`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn unknown_subdeployment() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#"{"name": "agent_2"}"#,
        r#"{"name": "agent_2"}, {"name": "agent_3", "module": {"name": "chatter"}}"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#"{"name": "agent_2"}"#, r#"{"name": "agent_2"}, {"name": "agent_3"}"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-subdeployment]: no agent deployment is called `agent_3`
  --> debate/configs/deployment.json:10:82
   |
10 |         "agent_deployments": [{"name": "agent_1"}, {"name": "agent_2"}, {"name": "agent_3"}],
   |                                                                                  ^^^^^^^^^
   |
   = help: did you mean `agent_1`?

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn unknown_subdeployment_without_the_file() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""kb_deployments": [{"name": "kb_1"}]"#,
        r#""kb_deployments": [{"node": {"ip": "localhost"}}]"#,
    );
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#""kb_deployments""#,
        r#""memory_deployments": [{"name": "m"}, {}],\n        "kb_deployments""#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-subdeployment]: no memory deployment is called `m`
  --> debate/configs/deployment.json:11:41
   |
11 |         "memory_deployments": [{"name": "m"}, {}],
   |                                         ^^^
   |
   = note: there is no `configs/memory_deployments.json`

error[unknown-subdeployment]: nothing says which module this is a deployment of
  --> debate/configs/deployment.json:11:47
   |
11 |         "memory_deployments": [{"name": "m"}, {}],
   |                                               ^^
   |
   = note: there is no `configs/memory_deployments.json`

error: 2 errors, 0 warnings in 1 module

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
fn unused_subdeployment() {
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#"{"name": "agent_1"}"#, r#"{}"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/deployment.json", r#", {"name": "agent_2"}"#, r#""#);
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[unused-subdeployment]: no deployment uses the agent deployment `agent_2`
 --> debate/configs/agent_deployments.json:3:14
  |
3 |     {"name": "agent_2", "module": {"name": "agent:chatter"}}
  |              ^^^^^^^^^
  |
  = help: list it under `agent_deployments` in `deployment.json`, or remove it

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
fn old_storage_config() {
    let m = Module::good();
    m.edit(
        "debate/configs/kb_deployments.json",
        r#""node""#,
        r#""config": {"storage_config": {"storage_type": "db", "path": "turns"}}, "node""#,
    );
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/kb_deployments.json",
        r#""node""#,
        r#""config": {"storage_type": "db", "path": "turns", "schema": {}}, "node""#,
    );
    assert_data_eq!(
        m.told(0),
        str![[r#"
warning[old-storage-config]: storage is configured as before `naptha-sdk` 1.0
 --> debate/configs/kb_deployments.json:1:59
  |
1 | [{"name": "kb_1", "module": {"name": "facts"}, "config": {"storage_type": "db", "path": "turns", "schema": {}}, "node": {"name": "nod...
  |                                                           ^^^^^^^^^^^^^^
  |
  = help: put `storage_type`, `path`, `schema` into `storage_config`, `schema` as `storage_schema`

warning: 0 errors, 1 warning in 1 module

"#]]
    );
}

/// A good module whose agent lies beside it.
fn with_an_agent_beside_it() -> Module {
    let m = Module::good();
    m.edit("napt.toml", r#""agent:chatter" = "^0.1""#, r#""agent:chatter" = { path = "chatter" }"#);
    m.write(
        "chatter/napt.toml",
        "[module]\ntype = \"agent\"\nname = \"chatter\"\nversion = \"0.1.0\"\nruntime = \"python\"\n",
    );
    m.write("chatter/chatter/configs/llm_configs.json", r#"[{"config_name": "echo", "model": "napt/echo"}]"#);
    m
}

#[test]
fn unknown_llm_config_of_a_module_beside() {
    let config = |llm: &str| format!(r#""agent_1", "config": {{"llm_config": {llm}}}"#);
    for good in [r#"{"config_name": "echo"}"#, r#"{"config_name": "own", "model": "tiny"}"#] {
        let m = with_an_agent_beside_it();
        m.edit("debate/configs/agent_deployments.json", r#""agent_1""#, &config(good));
        m.passes();
    }
    let m = with_an_agent_beside_it();
    m.edit("debate/configs/agent_deployments.json", r#""agent_1""#, &config(r#"{"config_name": "ecco"}"#));
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[unknown-llm-config]: no language model of `agent:chatter` is called `ecco`
 --> debate/configs/agent_deployments.json:2:66
  |
2 |     {"name": "agent_1", "config": {"llm_config": {"config_name": "ecco"}}, "module": {"name": "chatter"}},
  |                                                                  ^^^^^^
  |
  = help: did you mean `echo`?

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn module_mismatch_with_a_list() {
    let m = Module::good();
    m.edit("debate/configs/kb_deployments.json", r#"{"name": "facts"}"#, r#"{"name": "kb:facts"}"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/configs/agent_deployments.json", r#""agent:chatter""#, r#""kb:facts""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[module-mismatch]: this list is of the type `agent`, and `kb:facts` is not
 --> debate/configs/agent_deployments.json:3:44
  |
3 |     {"name": "agent_2", "module": {"name": "kb:facts"}}
  |                                            ^^^^^^^^^^
  |
  = help: put it into `kb_deployments`

error: 1 error, 0 warnings in 1 module

"#]]
    );
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
