//! `napt check`, rule by rule: the configuration files. A hit with what a person sees, and a near miss that nothing is said about.

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

hint: `napt check --fix` can mend 1 of them

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
error[config-shape]: `max_tokens` must be at most 4294967295
 --> debate/configs/llm_configs.json:2:84
  |
2 |     {"config_name": "gpt", "client": "openai", "model": "napt/echo", "max_tokens": 4294967296},
  |                                                                                    ^^^^^^^^^^ more than 4294967295

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

hint: `napt check --fix` can mend 2 of them

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

hint: `napt check --fix` can mend 1 of them

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
fn node_address_mistyped() {
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#"{"ip": "localhost"}"#,
        r#"{"ip": "localhost", "node_communication_protocol": "ws", "ports": [7001], "owner": "me"}"#,
    );
    m.passes();
    let m = Module::good();
    m.edit(
        "debate/configs/deployment.json",
        r#"{"ip": "localhost"}"#,
        r#"{"ipp": "localhost", "user_comunication_port": 7002}"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[node-address]: this node has no `ip`, `name` or `id`
 --> debate/configs/deployment.json:5:17
  |
5 |         "node": {"ipp": "localhost", "user_comunication_port": 7002},
  |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `ip` by `ipp`?

error[node-address]: unknown key `user_comunication_port`
 --> debate/configs/deployment.json:5:38
  |
5 |         "node": {"ipp": "localhost", "user_comunication_port": 7002},
  |                                      ^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean `user_communication_port`?

error: 2 errors, 0 warnings in 1 module

hint: `napt check --fix` can mend 1 of them

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

hint: `napt check --fix` can mend 2 of them

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
