//! What the SDK 1.0.5 sends to a node, word for word, and what the node answers.

use std::path::Path;

use serde_json::{Value, json};
use snapbox::{Data, assert_data_eq};

use crate::support::{http::send, modules::write_python, node::TestNode, registry::TestRegistry, websocket::Socket};

/// What the SDK puts into its headers when it has no token, which is always.
const HEADERS: [(&str, &str); 2] = [("content-type", "application/json"), ("authorization", "Bearer None")];

const ANSWERER: &str = "\
def run(module_run):
    inputs = module_run['inputs']
    if inputs.get('fail'):
        raise ValueError(inputs['fail'])
    return 'heard ' + inputs['prompt']
";

const CHAT: &str = "\
def run(module_run):
    deployment = module_run['deployment']
    agents = [agent['module']['name'] for agent in deployment['agent_deployments']]
    return {'prompt': module_run['inputs']['prompt'], 'agents': agents, 'rounds': deployment['config']['max_rounds']}
";

fn with_modules(registry: &TestRegistry) -> TestNode {
    let node = TestNode::start(&["--open", "--registry", registry.url.as_str()]);
    write_python(&node.sandbox, "answerer", "agent:answerer", ANSWERER, "");
    write_python(&node.sandbox, "notes", "kb:notes", "def run(module_run):\n    return 'noted'\n", "");
    let more = "[dependencies]\n\"agent:answerer\" = { path = \"../answerer\", version = \"0.1\" }\n\
                \"kb:notes\" = { path = \"../notes\", version = \"0.1\" }\n";
    write_python(&node.sandbox, "chat", "orchestrator:chat", CHAT, more);
    let configs = |file: &str, content: Value| {
        node.sandbox.write(format!("chat/chat/configs/{file}.json"), json!([content]).to_string());
    };
    let config = json!({ "config_name": "chat_config", "max_rounds": 10 });
    configs(
        "deployment",
        json!({ "name": "chat_1", "module": { "name": "chat" }, "node": { "ip": "localhost" }, "config": config,
                "agent_deployments": [{ "name": "one" }], "kb_deployments": [{ "name": "notes_1" }] }),
    );
    configs(
        "agent_deployments",
        json!({ "name": "one", "module": { "name": "answerer" }, "node": { "ip": "localhost" } }),
    );
    configs(
        "kb_deployments",
        json!({ "name": "notes_1", "module": { "name": "notes" }, "node": { "ip": "localhost" } }),
    );
    for folder in ["answerer", "chat"] {
        node.napt(&["deploy", folder, "--no-verify"]).expect(0);
    }
    node
}

/// Puts names in place of what is another each time: times, and what this machine is.
fn redact(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(redact),
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "created_time" | "start_processing_time" | "completed_time" if !value.is_null() => {
                        let time = value.as_str().expect("text");
                        assert!(
                            time.parse::<jiff::Timestamp>().is_ok() || time.parse::<jiff::civil::DateTime>().is_ok()
                        );
                        *value = json!("{TIME}");
                    }
                    "duration" if !value.is_null() => {
                        assert!(value.as_f64().is_some_and(|seconds| (0.0..600.0).contains(&seconds)), "{value}");
                        *value = json!("{SECONDS}");
                    }
                    "arch" | "os" => *value = json!("{MACHINE}"),
                    _ => redact(value),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_sdks_requests_word_for_word() {
    let registry = TestRegistry::start();
    let node = with_modules(&registry);
    let (key, user) = (node.key(), node.user());
    let (public, id) = (key.public().to_string(), key.public().user_id());
    let names = [
        ("{SIG}", key.sign_consumer(&id)),
        ("{PK}", public),
        ("{NODE}", node.node_key().public().to_string()),
        ("{REGISTRY}", registry.url.as_str().trim_end_matches('/').to_owned()),
        ("{PORT}", node.address().rsplit(':').next().expect("a port").to_owned()),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/node/session.txt");
    let mut transcript = String::new();
    let (mut run, mut here) = (String::new(), String::new());
    for line in std::fs::read_to_string(&path).expect("a fixture").lines() {
        let Some(request) = line.strip_prefix("> ") else {
            if line.starts_with('#') {
                transcript.push_str(&format!("{line}\n"));
            }
            continue;
        };
        let (method, rest) = request.split_once(' ').expect("a method");
        let (target, body) = rest.split_once(' ').expect("a path");
        let filled = names.iter().fold(body.replace("{ID}", &run), |body, (name, value)| body.replace(name, value));
        let mut answer = if method == "WS" {
            json!([Socket::open(node.address(), target, "").expect("an open door").ask(&filled)])
        } else {
            if target.ends_with("/check") && body.contains("{ID}") {
                user.ended(&run);
            }
            let answer = send(method, &format!("{}{target}", node.url), &HEADERS, &filled);
            json!([answer.status, answer.json()])
        };
        let record = answer.as_array().and_then(|parts| parts.last()).expect("a body");
        let told = record["id"].as_str().or(record["data"]["id"].as_str()).unwrap_or_default().to_owned();
        if !told.starts_with("user:") && !told.is_empty() {
            run = told;
        }
        // A new run may have started, and even ended, before its record is told.
        if method == "POST" && target.ends_with("/run") && answer[0] == 200 {
            answer[1]["status"] = json!("pending");
            answer[1]["error"] = json!(false);
            answer[1]["error_message"] = json!("");
            answer[1]["results"] = json!([]);
            for time in ["start_processing_time", "completed_time", "duration"] {
                answer[1][time] = Value::Null;
            }
        }
        redact(&mut answer);
        if here.is_empty()
            && let node @ Value::Object(_) = &answer[1]["node"]
        {
            // Every deployment has it, so it is shown once.
            here = node.to_string();
            let shown = names.iter().fold(here.clone(), |shown, (name, value)| shown.replace(value, name));
            transcript.push_str(&format!("= {{HERE}} {shown}\n"));
        }
        let parts: Vec<String> = answer.as_array().expect("a list").iter().map(Value::to_string).collect();
        let mut shortened = parts.join(" ");
        // First of all: digits of an id may be those of the port.
        if !run.is_empty() {
            shortened = shortened.replace(&run, "{ID}");
        }
        if !here.is_empty() {
            shortened = shortened.replace(&here, "{HERE}");
        }
        let told = names.iter().fold(shortened, |told, (name, value)| told.replace(value, name));
        transcript.push_str(&format!("> {request}\n< {told}\n"));
    }
    assert!(transcript.lines().filter(|line| line.starts_with("> ")).count() > 15, "{transcript}");
    assert_data_eq!(transcript, Data::read_from(&path, None).raw());
}
