//! A real language model, small and offline, from a node's provider to a module and to a person. What it says is its own
//! affair: only the shape of it is looked at.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::support::{
    Sandbox,
    http::{send, signed},
    modules::{with_sdk, write_python},
    node::{TestNode, cache},
    python,
};

/// The model's server.
struct Model {
    url: String,
    process: Child,
}

impl Model {
    fn start() -> Self {
        let script = include_str!("model_server.py");
        let mut command = Command::new(python::with_model());
        let log = std::fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("model.log")).expect("a file");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().expect("Python starts");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut url).expect("a line");
        assert!(url.starts_with("http://127.0.0.1:"), "the model's server did not start: {url:?}");
        Model { url: format!("{}/v1", url.trim()), process }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks the model by the SDK.
const ASKER: &str = r#"
from naptha_sdk.inference import InferenceClient
from naptha_sdk.schemas import AgentRunInput


async def run(module_run):
    me = AgentRunInput(**module_run)
    chat = {"model": "smollm2", "messages": [{"role": "user", "content": me.inputs["prompt"]}], "temperature": 0.0}
    answer = await InferenceClient(me.deployment.node).run_inference(chat)
    choice = answer.choices[0]
    return {"role": choice.message.role, "said": choice.message.content, "why": choice.finish_reason}
"#;

#[test]
fn a_real_model_answers_a_module_and_a_person() {
    let model = Model::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--provider", &format!("small={}", model.url)]);

    // As a whole, to a module that uses the SDK.
    write_python(&node.sandbox, "asker", "agent:asker", ASKER, "");
    with_sdk(&node.sandbox, "asker", "asker");
    node.napt(&["deploy", "asker", "--no-verify"]).expect(0);
    let run = node.user().run("agent:asker", json!({ "prompt": "What is the capital of France?" }));
    let answer: serde_json::Value =
        serde_json::from_str(&run.result.unwrap_or_else(|| panic!("{:?}", run.error))).expect("JSON");
    assert_eq!(answer["role"], "assistant");
    assert!(!answer["said"].as_str().expect("text").trim().is_empty(), "{answer}");
    assert!(["stop", "length"].contains(&answer["why"].as_str().expect("a reason")), "{answer}");

    // As a stream, in several pieces.
    let url = format!("{}/inference/chat/completions", node.url);
    let body = json!({
        "model": "smollm2", "messages": [{ "role": "user", "content": "Count to ten." }], "stream": true, "seed": null,
    });
    let body = body.to_string();
    let streamed = send("POST", &url, &[("authorization", &signed(&node.key(), "POST", &url, &body))], &body);
    assert_eq!(streamed.status, 200, "{streamed:?}");
    let pieces = streamed.text.lines().filter(|line| line.starts_with("data: {")).count();
    assert!(pieces > 1 && streamed.text.ends_with("data: [DONE]\n\n"), "{}", streamed.text);

    // To a person.
    let command = ["inference", "chat", "Say hello.", "--model", "small/smollm2", "--message-format", "json"];
    let data = node.napt(&command).expect(0).json()["data"].clone();
    assert!(!data["content"].as_str().expect("text").is_empty(), "{data}");
    assert!(data["usage"]["completion_tokens"].as_u64().expect("a number") > 0, "{data}");
    let models = node.napt(&["inference", "models"]).expect(0).stdout;
    assert!(models.contains("SmolLM2"), "{models}");
}
