//! Each documented rule of the resolution, then whatever shape the files have.

use std::{collections::HashMap, sync::LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Modules by id, each with its files as JSON.
struct Files(HashMap<ModuleId, ModuleConfigs>);

impl Catalog for Files {
    fn configs(&self, id: &ModuleId) -> Option<&ModuleConfigs> {
        self.0.get(id)
    }

    fn persona(&self, id: &ModuleId) -> Option<&Map<String, Value>> {
        static PERSONA: LazyLock<Map<String, Value>> = LazyLock::new(|| object(json!({"name": "Ada"})));
        (id.to_string() == "persona:ada").then_some(&*PERSONA)
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

impl Files {
    fn of(modules: &[(&str, Value)]) -> Self {
        Files(modules.iter().map(|(id, files)| (id.parse().expect("an id"), configs(files))).collect())
    }

    fn resolve(&self, given: Value) -> Result<Value, ConfigError> {
        let given = serde_json::from_value(given).expect("a deployment");
        let resolved = resolve(&"orchestrator:chat".parse().expect("an id"), &given, self)?;
        Ok(serde_json::to_value(resolved).expect("JSON"))
    }
}

/// `{"deployment": […], "llm": […], "agent": […], …}`
fn configs(files: &Value) -> ModuleConfigs {
    let list = |key: &str| serde_json::from_value(files.get(key).cloned().unwrap_or(json!([]))).expect("a list");
    ModuleConfigs {
        deployments: list("deployment"),
        llm_configs: serde_json::from_value(files.get("llm").cloned().unwrap_or(json!([]))).expect("a list"),
        subs: SUB_DEPLOYMENTS.map(|(module_type, _, _)| list(module_type.as_str())),
    }
}

/// An orchestrator of two agents of one module, which has settings of its own.
fn chat() -> Files {
    Files::of(&[
        (
            "orchestrator:chat",
            json!({
                "deployment": [{
                    "name": "chat_1",
                    "config": {"max_rounds": 3, "llm_config": {"config_name": "fast", "temperature": 0.5}},
                    "agent_deployments": [{"name": "first"}, {"name": "second"}],
                    "odd": {"kept": true}
                }],
                "agent": [
                    {"name": "first", "module": {"name": "talker"}, "config": {"system_prompt": {"role": "one"}}},
                    {"name": "second", "module": {"name": "agent:talker"}, "config": {"system_prompt": {"role": "two"}}}
                ],
                "llm": [{"config_name": "fast", "client": "openai", "model": "napt/echo", "temperature": 0.0, "max_tokens": 9}]
            }),
        ),
        (
            "agent:talker",
            json!({
                "deployment": [{
                    "name": "talker_1",
                    "config": {
                        "llm_config": {"config_name": "own"},
                        "system_prompt": {"role": "nobody", "tone": "calm"}
                    }
                }],
                "llm": [{"config_name": "own", "model": "napt/echo"}]
            }),
        ),
    ])
}

fn field(resolved: &Value, pointer: &str) -> Value {
    resolved.pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer} in {resolved:#}"))
}

// Naptha's defects: F1
#[test]
fn absent_null_and_empty_lists_are_filled_from_the_defaults() {
    for given in [json!({}), json!({"agent_deployments": null}), json!({"agent_deployments": []})] {
        let resolved = chat().resolve(given).expect("a deployment");
        assert_eq!(field(&resolved, "/agent_deployments").as_array().map(Vec::len), Some(2));
        assert_eq!(field(&resolved, "/agent_deployments/1/config/system_prompt/role"), "two");
        assert_eq!(field(&resolved, "/agent_deployments/0/node/ip"), "localhost");
        assert_eq!(field(&resolved, "/config/max_rounds"), 3);
    }
}

// Naptha's defects: F1
#[test]
fn more_nodes_than_defaults_repeat_the_last() {
    let nodes: Vec<Value> = (1..=4).map(|host| json!({"node": {"ip": format!("10.0.0.{host}")}})).collect();
    let resolved = chat().resolve(json!({"agent_deployments": nodes})).expect("a deployment");
    let names: Vec<Value> = (0..4).map(|i| field(&resolved, &format!("/agent_deployments/{i}/name"))).collect();
    assert_eq!(names, ["first", "second", "second", "second"]);
    assert_eq!(field(&resolved, "/agent_deployments/3/node/ip"), "10.0.0.4");
    assert_eq!(field(&resolved, "/agent_deployments/3/module/name"), "talker");
}

#[test]
fn fewer_nodes_than_defaults_are_fewer_agents() {
    let resolved = chat().resolve(json!({"agent_deployments": [{"node": {"ip": "h"}}]})).expect("a deployment");
    assert_eq!(field(&resolved, "/agent_deployments").as_array().map(Vec::len), Some(1));
}

#[test]
fn a_modules_own_defaults_are_below_its_callers() {
    let given = json!({"agent_deployments": [{"config": {"system_prompt": {"mood": "keen"}}}]});
    let resolved = chat().resolve(given).expect("a deployment");
    assert_eq!(
        field(&resolved, "/agent_deployments/0/config/system_prompt"),
        json!({"role": "one", "tone": "calm", "mood": "keen"})
    );
    // Its language model is looked up in its own files.
    assert_eq!(field(&resolved, "/agent_deployments/0/config/llm_config/config_name"), "own");
}

#[test]
fn what_is_given_is_merged_over_the_named_language_model() {
    let resolved = chat().resolve(json!({"config": {"llm_config": {"max_tokens": 5}}})).expect("a deployment");
    let llm = field(&resolved, "/config/llm_config");
    assert_eq!((&llm["model"], &llm["temperature"], &llm["max_tokens"]), (&json!("napt/echo"), &json!(0.5), &json!(5)));
}

#[test]
fn unknown_keys_survive() {
    let given = json!({"more": 1, "config": {"storage_type": "db"}, "agent_deployments": [{"extra": [null]}]});
    let resolved = chat().resolve(given).expect("a deployment");
    assert_eq!(field(&resolved, "/odd/kept"), true);
    assert_eq!(field(&resolved, "/more"), 1);
    assert_eq!(field(&resolved, "/config/storage_type"), "db");
    assert_eq!(field(&resolved, "/agent_deployments/0/extra"), json!([null]));
}

#[test]
fn an_unknown_deployment_name_takes_the_first_and_is_kept() {
    let resolved = chat().resolve(json!({"name": "elsewhere"})).expect("a deployment");
    assert_eq!(field(&resolved, "/name"), "elsewhere");
    assert_eq!(field(&resolved, "/config/max_rounds"), 3);
}

// Naptha's defects: F2
#[test]
fn an_unknown_language_model_lists_the_names_and_the_module() {
    let given = json!({"agent_deployments": [{"config": {"llm_config": {"config_name": "huge"}}}]});
    let error = chat().resolve(given).expect_err("no such name");
    assert_eq!(error.to_string(), "`agent:talker` has no LLM configuration `huge`");
    assert_eq!(error.hint().as_deref(), Some("the names are own"));
    // One that is complete needs no file.
    let given = json!({"config": {"llm_config": {"config_name": "huge", "model": "m"}}});
    assert_eq!(field(&chat().resolve(given).expect("complete"), "/config/llm_config/model"), "m");
}

#[test]
fn an_undescribed_sub_deployment_lists_the_names() {
    let mut files = chat();
    let id: ModuleId = "orchestrator:chat".parse().expect("an id");
    files.0.get_mut(&id).expect("it is there").subs[0][0].name = Some("frist".to_owned());
    let error = files.resolve(json!({})).expect_err("`first` is described nowhere");
    assert_eq!(error.to_string(), "`orchestrator:chat` has no agent_deployments `first`");
    assert_eq!(error.hint().as_deref(), Some("did you mean `frist`?"));
}

#[test]
fn a_module_of_another_type_than_its_list_is_refused_by_name() {
    let error = chat().resolve(json!({"kb_deployments": [{"module": {"name": "agent:talker"}}]})).expect_err("no kb");
    assert_eq!(error.to_string(), "element 0 of `kb_deployments` is of `agent:talker`, which is not of the type `kb`");
}

#[test]
fn an_element_that_names_no_module_is_refused() {
    let error = chat().resolve(json!({"tool_deployments": [{"node": {"ip": "h"}}]})).expect_err("no module");
    assert_eq!(error.to_string(), "element 0 of `tool_deployments` does not say which module it is of");
}

#[test]
fn cycles_and_avalanches_end() {
    let next = |name: &str, count: usize| {
        let element = json!({"module": {"name": name}});
        json!({"deployment": [{"agent_deployments": vec![element; count]}]})
    };
    let cycle = Files::of(&[("orchestrator:chat", next("a", 1)), ("agent:a", next("b", 1)), ("agent:b", next("a", 1))]);
    assert_eq!(cycle.resolve(json!({})).expect_err("a cycle").to_string(), "`agent:a` is deployed inside of itself");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut modules = vec![("orchestrator:chat".to_owned(), next("a", 30))];
    modules.extend(names.windows(2).map(|pair| (format!("agent:{}", pair[0]), next(pair[1], 30))));
    modules.push(("agent:h".to_owned(), json!({})));
    let modules: Vec<(&str, Value)> = modules.iter().map(|(id, files)| (id.as_str(), files.clone())).collect();
    let error = Files::of(&modules).resolve(json!({})).expect_err("30⁸ agents");
    assert!(matches!(error, ConfigError::TooMany(_)), "{error}");
}

#[test]
fn deep_nesting_is_refused_wherever_it_is() {
    let chain = |length: usize| {
        let name = |at: usize| if at == 0 { "orchestrator:chat".to_owned() } else { format!("agent:m{at}") };
        let next = |at: usize| json!({"deployment": [{"agent_deployments": [{"module": {"name": format!("m{at}")}}]}]});
        let mut modules: Vec<(String, Value)> = (0..length).map(|at| (name(at), next(at + 1))).collect();
        modules.push((name(length), json!({})));
        let modules: Vec<(&str, Value)> = modules.iter().map(|(id, files)| (id.as_str(), files.clone())).collect();
        Files::of(&modules).resolve(json!({}))
    };
    chain(MAX_DEPTH).expect("deep, but not too deep");
    assert!(matches!(chain(MAX_DEPTH + 1), Err(ConfigError::TooDeep(_))));
    let text = "{\"agent_deployments\":[".repeat(50) + &"]}".repeat(50);
    let error = serde_json::from_str::<Deployment>(&text).expect_err("too deep");
    assert!(error.to_string().contains("nested more than 16 deep"), "{error}");
    // An error leaves nothing behind.
    serde_json::from_str::<Deployment>("{\"agent_deployments\":[{}]}").expect("a deployment");
}

/// JSON of any shape, made of keys that mean something.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "name",
        "module",
        "node",
        "ip",
        "config",
        "llm_config",
        "config_name",
        "model",
        "max_rounds",
        "system_prompt",
        "persona_module",
        "storage_config",
        "storage_type",
        "path",
        "agent_deployments",
        "kb_deployments",
        "odd",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["chat", "talker", "agent:talker", "kb:x", "first", "fast", "own", "é:", ":", ""])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// Deployments whose shape is right and whose content is not.
fn deployment() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["first", "second", "nobody", "talker", "agent:talker", "chat", "kb:x", ""]);
    let node = (proptest::option::of(name.clone()), proptest::option::of(name), any::<bool>()).prop_map(
        |(name, module, empty)| {
            let mut map = serde_json::Map::new();
            if empty {
                map.insert("config".to_owned(), json!({"llm_config": {"config_name": name}}));
            }
            map.insert("name".to_owned(), json!(name));
            map.insert("module".to_owned(), module.map_or(Value::Null, |name| json!({ "name": name })));
            Value::Object(map)
        },
    );
    node.prop_recursive(5, 40, 4, |inner| {
        (prop::collection::vec(inner.clone(), 0..4), prop::collection::vec(inner, 0..3))
            .prop_map(|(agents, kbs)| json!({"name": "first", "agent_deployments": agents, "kb_deployments": kbs}))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_breaks_the_reader(text in prop_oneof![
        any::<String>(),
        anything().prop_map(|value| value.to_string()),
        (0..5000usize).prop_map(|depth| format!("[{}", "{\"agent_deployments\":[".repeat(depth))),
    ]) {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs_err::write(folder.path().join(DEPLOYMENT_FILE), &text).expect("a file");
        fs_err::write(folder.path().join(LLM_CONFIGS_FILE), &text).expect("a file");
        if let Err(error) = ModuleConfigs::read(folder.path()) {
            prop_assert!(error.to_string().contains(".json"), "{}", error);
        }
    }

    #[test]
    fn every_resolution_ends(
        given in prop_oneof![deployment(), anything()],
        own in deployment(),
        described in prop::collection::vec(deployment(), 0..3),
        below in deployment(),
    ) {
        let Ok(given) = serde_json::from_value::<Deployment>(given) else { return Ok(()) };
        let mut files = chat();
        for (id, deployment) in [("orchestrator:chat", own), ("agent:talker", below)] {
            let configs = files.0.get_mut(&id.parse().expect("an id")).expect("it is there");
            configs.deployments = vec![serde_json::from_value(deployment).expect("a deployment")];
            let described = described.iter().cloned().map(|value| serde_json::from_value(value).expect("a deployment"));
            configs.subs[0].extend(described);
        }
        if let Ok(resolved) = resolve(&"orchestrator:chat".parse().expect("an id"), &given, &files) {
            // What is resolved is complete: it resolves to itself.
            let again = resolve(&"orchestrator:chat".parse().expect("an id"), &resolved, &files);
            prop_assert_eq!(again.expect("it was complete"), resolved);
        }
    }
}

#[test]
fn a_persona_is_told_to_its_agent() {
    let id: ModuleId = "agent:a".parse().expect("an id");
    let agent = |config: Value| Files::of(&[("agent:a", json!({"deployment": [{"name": "a", "config": config}]}))]);
    for name in ["ada", "persona:ada"] {
        let files = agent(json!({"persona_module": {"name": name}, "system_prompt": {"role": "a poet"}}));
        let config = resolve(&id, &Deployment::default(), &files).expect("a deployment").config.expect("a config");
        let expected = object(json!({"role": "a poet", "persona": {"name": "Ada"}}));
        assert_eq!(config.system_prompt, Some(expected));
    }
    let files = agent(json!({"persona_module": {"name": "ada"}}));
    let alone = resolve(&id, &Deployment::default(), &files).expect("a deployment");
    let prompt = alone.config.and_then(|config| config.system_prompt);
    assert_eq!(prompt, Some(object(json!({"persona": {"name": "Ada"}}))), "without a system prompt there is one now");

    for (entry, message) in [
        (json!({"name": "bob"}), "`agent:a` has the persona `bob`, which is not part of this deployment"),
        (json!({"name": "agent:ada"}), "the persona `agent:ada`"),
        (json!({"url": "x"}), "`persona_module` of `agent:a` does not name a persona"),
    ] {
        let files = agent(json!({"persona_module": entry}));
        let error = resolve(&id, &Deployment::default(), &files).expect_err("no persona");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().is_some());
    }
}
