//! The projects of `tests/fixtures/naptha`: in the layouts of Naptha's own, and of all types.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::node::User;

/// Each with its type. What others call comes first.
pub const PROJECTS: [(&str, &str); 19] = [
    ("hello_world_agent", "agent"),
    ("random_number_agent", "agent"),
    ("richard_twitter", "persona"),
    ("poet", "persona"),
    ("simple_chat_agent", "agent"),
    ("groupchat_kb", "kb"),
    ("cognitive_memory", "memory"),
    ("wikipedia_kb", "kb"),
    ("wikipedia_agent", "agent"),
    ("keynesian_beauty_contest", "orchestrator"),
    ("generate_image_tool", "tool"),
    ("module_template", "agent"),
    ("src_agent", "agent"),
    // `setup.py`, and `setup.cfg` around a namespace package.
    ("weather_tool", "tool"),
    ("echo_agent", "agent"),
    ("chat_room", "environment"),
    // Lock files of Poetry, of uv, and `requirements.txt` with digests alone.
    ("locked_tool", "tool"),
    ("pinned_memory", "memory"),
    ("hashed_kb", "kb"),
];

/// Where a project is.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/naptha").join(name)
}

/// What a result must be.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// It contains a text.
    Text(&'static str),
    /// So many whole numbers from 1 to 100, which nobody knows beforehand; one is no list.
    Numbers(usize),
}

use Expected::{Numbers, Text};

/// Inputs, and what the result must be.
pub type Runs = Vec<(Value, Expected)>;

/// Runs of the modules, but for: personas, which are data; `wikipedia_agent` with its `wikipedia_kb`, whose answers are
/// the model's (`init` runs them); and `generate_image_tool`, which needs a key and the network.
pub fn runs() -> Vec<(&'static str, Runs)> {
    vec![
        ("agent:hello_world_agent", vec![(json!({"firstname": "sam", "surname": "smith"}), Text("Hello sam smith"))]),
        ("agent:random_number_agent", vec![(json!({}), Numbers(1))]),
        (
            "agent:simple_chat_agent",
            vec![(json!({"tool_name": "chat", "tool_input_data": "Hi"}), Text("I am gpt-4o-mini"))],
        ),
        (
            "kb:groupchat_kb",
            vec![
                (json!({"func_name": "init"}), Text("Successfully created table groupchat_kb")),
                (
                    json!({"func_name": "add_data", "func_input_data": {"run_id": "r1", "messages": [{"role": "a"}]}}),
                    Text("Successfully added run r1"),
                ),
                (json!({"func_name": "list_rows", "func_input_data": {"limit": 5}}), Text("r1")),
            ],
        ),
        (
            "memory:cognitive_memory",
            vec![
                (json!({"func_name": "init"}), Text("success")),
                (
                    json!({"func_name": "store_cognitive_item",
                           "func_input_data": {"cognitive_step": "thought", "content": "it rains"}}),
                    Text("success"),
                ),
                (
                    json!({"func_name": "get_cognitive_items", "func_input_data": {"cognitive_step": "thought"}}),
                    Text("it rains"),
                ),
            ],
        ),
        ("orchestrator:keynesian_beauty_contest", vec![(json!({"num_agents": 3}), Numbers(3))]),
        ("agent:module_template", vec![(json!({"func_name": "func", "func_input_data": "gm..."}), Text("gm..."))]),
        ("agent:src_agent", vec![(json!({"word": "hello"}), Text("goodbye"))]),
        ("tool:weather_tool", vec![(json!({"tool_name": "rain", "tool_input_data": "bergen"}), Text("2250"))]),
        ("agent:echo_agent", vec![(json!({"text": "ho"}), Text("ho ho"))]),
        (
            "environment:chat_room",
            vec![(json!({"function_name": "step", "function_input_data": {"messages": ["hi"]}}), Text("bob"))],
        ),
        // Newer ones than 2.0.0 would do for what these ask for.
        ("tool:locked_tool", vec![(json!({"package": "iniconfig"}), Text("2.0.0"))]),
        ("memory:pinned_memory", vec![(json!({"package": "iniconfig"}), Text("2.0.0"))]),
        ("kb:hashed_kb", vec![(json!({"package": "iniconfig"}), Text("2.0.0"))]),
    ]
}

/// Runs a module, and fails the test unless each result is as expected.
#[track_caller]
pub fn check(user: &User, module: &str, runs: &Runs) {
    for (inputs, expected) in runs {
        let ran = user.run(module, inputs.clone());
        let result = ran.result.unwrap_or_else(|| panic!("{module} {inputs}: {:?}", ran.error));
        let holds = match *expected {
            Text(text) => result.contains(text),
            Numbers(count) => {
                let numbers = numbers(&result);
                numbers.len() == count && numbers.iter().all(|number| matches!(number, Some(1..=100)))
            }
        };
        assert!(holds, "{module} {inputs}: {result} is not {expected:?}");
    }
}

/// The whole numbers of a result: itself, or its elements, which are results themselves.
fn numbers(result: &str) -> Vec<Option<u64>> {
    let of = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    match serde_json::from_str(result) {
        Ok(Value::Array(elements)) => elements.iter().map(of).collect(),
        Ok(value) => vec![of(&value)],
        Err(_) => Vec::new(),
    }
}
