//! Models: several providers, streams, embeddings; by HTTP, by command, by the real SDK, by a module on another node.

use std::process::Command;

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    faults::{Faults, Reply},
    http::{Answer, runtime, send, signed},
    modules::{with_sdk, write_python},
    node::{TestNode, cache},
    provider::Provider,
    python::{self, expect_success},
    wait_for,
};

const CHAT: &str = "/inference/chat/completions";

/// A node in a sandbox with some variables.
fn node(variables: &[(&str, &str)], flags: &[&str]) -> TestNode {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    variables.iter().for_each(|(name, value)| sandbox.set(name, value));
    TestNode::start_in(sandbox, flags)
}

/// A request that the operator signs.
fn ask(node: &TestNode, path: &str, body: &Value) -> Answer {
    let (url, body) = (format!("{}{path}", node.url), body.to_string());
    send("POST", &url, &[("authorization", &signed(&node.key(), "POST", &url, &body))], &body)
}

fn models(node: &TestNode) -> Vec<(String, String)> {
    let url = format!("{}/inference/models", node.url);
    let list = send("GET", &url, &[("authorization", &signed(&node.key(), "GET", &url, ""))], "").json();
    assert_eq!(list["object"], "list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let listed = list["data"].as_array().expect("a list").iter();
    listed.map(|model| (text(&model["id"]), text(&model["owned_by"]))).collect()
}

fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi there" }], "stream": stream })
}

/// The values of a stream's `data` lines.
fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

/// A provider whose streams end after their first word, in the middle of an event.
fn cut_off() -> Faults {
    let word = json!({ "choices": [{ "index": 0, "delta": { "content": "I " }, "finish_reason": null }] });
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n";
    let answer = format!("{head}data: {word}\n\ndata: {{");
    Faults::start(move |_, _| Reply::Raw(answer.clone().into()))
}

/// What a stream says.
fn said(text: &str) -> String {
    events(text).iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[test]
fn a_model_is_answered_for_by_the_first_provider_whose_patterns_match() {
    let (local, other, rest) =
        (Provider::with_models(&["llama-3", "hidden"]), Provider::with_models(&["llama-3"]), Provider::start());
    let flags = [
        "--provider",
        &rest.url,
        "--provider",
        &format!("local={},models=llama-*,named", local.url),
        "--provider",
        &format!("other={},models=llama-3", other.url),
        "--provider",
        "down=http://127.0.0.1:1/v1,models=down-*",
    ];
    let keys = [("NAPT_PROVIDER_KEY", "key-of-the-rest-0123"), ("NAPT_PROVIDER_KEY_LOCAL", "key-of-local-0123456")];
    let node = node(&keys, &flags);
    for model in ["llama-3", "other/llama-3", "local/llama-9", "good", "local/hidden"] {
        let answer = ask(&node, CHAT, &chat(model, false));
        assert_eq!(answer.status, 200, "{model}: {answer:?}");
    }
    let asked = |provider: &Provider| -> Vec<(String, String)> {
        let model = |body: &Value| body["model"].as_str().expect("text").to_owned();
        provider.asked().iter().map(|(key, body)| (key.clone(), model(body))).collect()
    };
    let pair = |key: &str, model: &str| (key.to_owned(), model.to_owned());
    let (local_key, rest_key) = ("Bearer key-of-local-0123456", "Bearer key-of-the-rest-0123");
    assert_eq!(asked(&local), [pair(local_key, "llama-3"), pair(local_key, "llama-9")]);
    assert_eq!(asked(&other), [pair("", "llama-3")], "no key but its own");
    assert_eq!(asked(&rest), [pair(rest_key, "good"), pair(rest_key, "local/hidden")]);

    // One that is down is left out, and what is listed can be asked for by that name.
    for _ in 0..3 {
        let listed = models(&node);
        let expected = [
            ("napt/echo", "napt"),
            ("llama-3", "local"),
            ("named", "local"),
            ("other/llama-3", "other"),
            ("good", "provider"),
            ("other", "provider"),
        ];
        assert_eq!(listed, expected.map(|(id, owner)| pair(id, owner)));
    }
    assert_eq!((local.listed(), rest.listed()), (1, 1), "lists are kept for a while");
    let down = ask(&node, CHAT, &chat("down-1", false));
    assert_eq!((down.status, &down.json()["detail"]), (502, &json!("the model provider `down` cannot be reached")));
    assert!(!node.log().contains("key-of"));
}

#[test]
fn a_model_that_nobody_serves_is_told_with_those_that_are() {
    let provider = Provider::with_models(&["llama-3"]);
    let node = node(&[], &["--provider", &format!("local={},models=llama-*", provider.url)]);
    for (path, body) in [
        (CHAT, chat("gpt", false)),
        (CHAT, chat("gpt", true)),
        ("/inference/completions", json!({ "model": "gpt", "prompt": "x" })),
        ("/inference/embeddings", json!({ "model": "local/gpt", "input": "x" })),
    ] {
        let answer = ask(&node, path, &body);
        assert_eq!(answer.status, 404, "{answer:?}");
        let hint = answer.json()["hint"].as_str().expect("a hint").to_owned();
        assert!(hint.starts_with("it serves `napt/echo`, `llama-3`, and all that fit `llama-*`; "), "{hint}");
    }
    assert!(provider.asked().is_empty());
}

#[test]
fn providers_stand_in_the_operators_own_file_alone() {
    let provider = Provider::with_models(&["llama-3"]);
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.napt(&["config", "set", "color", "never"]).expect(0);
    let path = sandbox.home().join("napt/config/config.toml");
    let settings =
        format!("[providers.local]\nurl = \"{}\"\nmodels = [\"llama-*\"]\nkey = \"key-of-the-file\"\n", provider.url);
    std::fs::write(&path, &settings).expect("a file");
    sandbox.napt(&["config"]).expect(0);
    let node = TestNode::start_in(sandbox, &[]);
    assert_eq!(ask(&node, CHAT, &chat("llama-3", false)).status, 200);
    assert_eq!(provider.asked()[0].0, "Bearer key-of-the-file");

    node.sandbox.write(".napt/config.toml", &settings);
    let refused = node.napt(&["config"]).expect(2);
    assert!(refused.stderr.contains("`[providers]` in") && !refused.stderr.contains("key-of"), "{}", refused.stderr);
    std::fs::remove_file(node.sandbox.work().join(".napt/config.toml")).expect("a file");
    for bad in ["Local=http://h/v1", "local=h", "local=http://h/v1,models=a,,b", "=http://h"] {
        node.napt(&["node", "--provider", bad]).expect(2);
    }
    let twice = ["node", "--provider", "a=http://h/v1", "--provider", "a=http://i/v1"];
    assert!(node.napt(&twice).expect(2).stderr.contains("two providers are called `a`"));
}

#[test]
fn a_stream_is_passed_on_as_it_comes() {
    let provider = Provider::start();
    let node = node(&[], &["--provider", &provider.url]);
    let body = chat("held", true).to_string();
    let url = format!("{}{CHAT}", node.url);
    let header = signed(&node.key(), "POST", &url, &body);
    runtime().block_on(async {
        let request = reqwest::Client::new().post(&url).header("authorization", header).body(body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut chunks = response.bytes_stream();
        let mut text = String::new();
        while said(&text) != "I " {
            let chunk = chunks.next().await.expect("more").expect("a chunk");
            text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
        assert!(text.starts_with(": on its way\n\n"), "also what keeps it alive: {text}");
        // Only now does the provider go on.
        provider.release();
        while let Some(chunk) = chunks.next().await {
            text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("UTF-8"));
        }
        assert_eq!(said(&text), "I am held");
        assert_eq!(text.matches("data: [DONE]\n\n").count(), 1);
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    });
    let sent = json!({ "model": "held", "messages": [{ "role": "user", "content": "hi there" }], "stream": true });
    assert_eq!(provider.asked()[0].1, sent, "without nulls");
    // One that a provider ended well without the mark gets it.
    let unmarked = ask(&node, CHAT, &chat("unmarked", true));
    assert!(unmarked.text.ends_with("data: [DONE]\n\n"), "{unmarked:?}");
}

#[test]
fn whoever_hangs_up_ends_the_providers_work() {
    let provider = Provider::start();
    let node = node(&[], &["--provider", &provider.url]);
    let body = chat("held", true).to_string();
    let url = format!("{}{CHAT}", node.url);
    let header = signed(&node.key(), "POST", &url, &body);
    runtime().block_on(async {
        let request = reqwest::Client::new().post(&url).header("authorization", header).body(body);
        let mut response = request.send().await.expect("an answer");
        response.chunk().await.expect("a chunk").expect("some");
    });
    wait_for("the provider's stream to be given up", || (provider.hung_up() == 1).then_some(()));
}

#[test]
fn what_goes_wrong_in_a_stream_is_told_in_it_and_before_it_by_status() {
    let provider = Provider::start();
    let key = "sk-canary-0123456789";
    let broken = cut_off();
    let flag = format!("broken={},models=cut", broken.url);
    let node = node(&[("NAPT_PROVIDER_KEY", key)], &["--provider", &provider.url, "--provider", &flag]);
    let cut = ask(&node, CHAT, &chat("cut", true));
    assert_eq!(cut.status, 200);
    let last = events(&cut.text).pop().expect("an event");
    let told = json!({ "error": {
        "message": "the model provider `broken` broke its answer off", "type": "upstream_error", "code": 502,
    } });
    assert_eq!((last, cut.text.contains("[DONE]")), (told, false));
    let tells = ask(&node, CHAT, &chat("tells", true));
    assert!(tells.text.contains("… is worn out") && !tells.text.contains(key), "{tells:?}");
    for (model, told) in [
        ("refused", "the model provider answered 401 Unauthorized: Incorrect API key provided: …"),
        ("busy", "the model provider answered 429 Too Many Requests: no reason given"),
        ("garbage", "the model provider answered 200 OK without a stream"),
    ] {
        let answer = ask(&node, CHAT, &chat(model, true));
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (502, Some(told)), "{model}");
    }
    assert!(!node.log().contains(key));
}

#[test]
fn completions_embeddings_and_tool_calls_go_through() {
    let provider = Provider::start();
    let node = node(&[], &["--provider", &provider.url]);
    let completion = ask(&node, "/inference/completions", &json!({ "model": "m", "prompt": "x", "stop": null }));
    assert_eq!(completion.json()["choices"][0]["text"], "after x");
    let embedded = ask(&node, "/inference/embeddings", &json!({ "model": "m", "input": "x" }));
    assert_eq!(embedded.json()["data"][0]["embedding"], json!([0.5, 0.25]));
    let called = ask(&node, CHAT, &chat("tools", false)).json();
    let message = &called["choices"][0]["message"];
    assert_eq!((&message["content"], &message["tool_calls"][0]["function"]["name"]), (&Value::Null, &json!("f")));
    for (path, body) in [
        (CHAT, json!({})),
        (CHAT, json!([])),
        ("/inference/embeddings", json!({ "model": "m", "input": "x", "stream": true })),
    ] {
        assert_eq!(ask(&node, path, &body).status, 422, "{body}");
    }
}

#[test]
fn the_built_in_model_does_all_of_it() {
    let node = node(&[], &[]);
    let streamed = ask(&node, CHAT, &chat("napt/echo", true));
    assert_eq!(said(&streamed.text), "hi there");
    let shown = events(&streamed.text);
    assert_eq!(shown.last(), Some(&json!("[DONE]")));
    assert_eq!(shown[shown.len() - 2]["choices"][0]["finish_reason"], "stop");
    let mut with_usage = chat("napt/echo", true);
    with_usage["stream_options"] = json!({ "include_usage": true });
    let shown = events(&ask(&node, CHAT, &with_usage).text);
    assert_eq!(shown[shown.len() - 2]["usage"]["completion_tokens"], 2);
    let completed = ask(&node, "/inference/completions", &json!({ "model": "napt/echo", "prompt": "one two" })).json();
    assert_eq!((&completed["choices"][0]["text"], &completed["usage"]["total_tokens"]), (&json!("one two"), &json!(4)));
    let streamed = json!({ "model": "napt/echo", "prompt": "one two", "stream": true });
    let shown = events(&ask(&node, "/inference/completions", &streamed).text);
    let texts: String = shown.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(texts, "one two");
    let embed = |more: Value| {
        let mut body = json!({ "model": "napt/echo", "input": ["a hot dog", "a sandwich"] });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask(&node, "/inference/embeddings", &body)
    };
    let (first, again) = (embed(json!({})).json(), embed(json!({})).json());
    assert_eq!(first["data"], again["data"], "the same each time");
    assert_eq!(first["data"][1]["embedding"].as_array().map(Vec::len), Some(256));
    assert_eq!(embed(json!({ "dimensions": 8 })).json()["data"][0]["embedding"].as_array().map(Vec::len), Some(8));
    assert!(embed(json!({ "encoding_format": "base64" })).json()["data"][0]["embedding"].is_string());
    for bad in [json!({ "dimensions": 0 }), json!({ "dimensions": 1_000_000 }), json!({ "input": 3 })] {
        assert_eq!(embed(bad).status, 422);
    }
}

#[test]
fn models_are_used_by_command() {
    let provider = Provider::start();
    let broken = cut_off();
    let broken = format!("broken={},models=cut", broken.url);
    let node = node(&[], &["--provider", &broken, "--provider", &format!("local={}", provider.url)]);
    let listed = node.napt(&["inference", "models"]).expect(0);
    assert_eq!(listed.stdout, "napt/echo  napt\ncut        broken\ngood       local\nother      local\n");
    let said = node.napt(&["inference", "chat", "two words"]).expect(0);
    assert_eq!(said.stdout, "two words\n");
    assert_eq!(node.napt(&["inference", "completions", "hi", "-m", "good"]).expect(0).stdout, "I am good\n");
    let json = ["inference", "chat", "hi", "--model", "good", "--system", "Be brief.", "--message-format", "json"];
    let data = node.napt(&json).expect(0).json()["data"].clone();
    let expected = json!({
        "model": "good", "content": "I am good", "finish_reason": "stop",
        "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
    });
    assert_eq!(data, expected);
    let sent = provider.asked().pop().expect("asked").1;
    assert_eq!(sent["messages"][0], json!({ "role": "system", "content": "Be brief." }));
    let cut = node.napt(&["inference", "chat", "hi", "--model", "cut"]).expect(4);
    assert_eq!(cut.stdout, "I ");
    assert!(cut.stderr.contains("the model provider `broken` broke its answer off"), "{}", cut.stderr);
    let refused = node.napt(&["inference", "chat", "hi", "--model", "busy"]).expect(4);
    assert!(refused.stderr.contains("429 Too Many Requests"), "{}", refused.stderr);
    let vectors = node.napt(&["inference", "embed", "a hot dog", "a sandwich"]).expect(0);
    assert_eq!(vectors.stdout.lines().count(), 2);
    assert!(vectors.stdout.starts_with('['), "{}", vectors.stdout);
}

/// The SDK's inference client, as a script uses it.
const SDK: &str = r#"
import asyncio, json, sys

from naptha_sdk.inference import InferenceClient
from naptha_sdk.utils import url_to_node

client = InferenceClient(url_to_node(sys.argv[1]))
found = {}


async def main():
    found["models"] = [model["id"] for model in (await client.list_models())["data"]]
    for model in ("good", "napt/echo", "refused", "nobody/x", "tools"):
        chat = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        try:
            found[model] = (await client.run_inference(chat)).choices[0].message.content
        except Exception as error:
            found[model] = f"{type(error).__name__}: {error}"


asyncio.run(main())
print("\n" + json.dumps(found))
"#;

// Naptha's defects: A11, G11
#[test]
fn the_real_sdk_uses_models_with_a_credential_and_not_without() {
    let provider = Provider::start();
    let flag = format!("local={},models=good,refused,tools", provider.url);
    let run = |node: &TestNode, url: &str| -> Value {
        let script = node.sandbox.write("script.py", SDK);
        let output =
            expect_success(Command::new(python::with_sdk()).arg(script).arg(url).current_dir(node.sandbox.work()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    };
    let open = node(&[], &["--open", "--provider", &flag]);
    let found = run(&open, &open.url);
    assert_eq!(found["models"], json!(["napt/echo", "good", "refused", "tools"]));
    assert_eq!((&found["good"], &found["napt/echo"]), (&json!("I am good"), &json!("hello")));
    let told = |model: &str| found[model].as_str().expect("text").to_owned();
    assert!(told("refused").contains("502 Bad Gateway"), "{found}");
    assert!(told("nobody/x").contains("404 Not Found"), "{found}");
    // The answer is passed on as it is; the SDK's own model of it has no place for a message without text.
    assert!(told("tools").starts_with("ValidationError"), "{found}");

    let closed = node(&[], &["--provider", &flag]);
    let before = provider.asked().len();
    let script = closed.sandbox.write("script.py", SDK);
    let refused = Command::new(python::with_sdk()).arg(script).arg(&closed.url).output().expect("it starts");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401 Unauthorized"), "{refused:?}");
    assert_eq!(provider.asked().len(), before, "the provider is not asked for strangers");
    let url = closed.url.replacen("http://", &format!("http://{}@", closed.token(60)), 1);
    let found = run(&closed, &url);
    assert_eq!(found["good"], "I am good");
}

/// Streams a chat from the node that its agent is on.
const STREAMER: &str = r#"
import asyncio, json

import httpx
from naptha_sdk.schemas import OrchestratorRunInput
from naptha_sdk.utils import node_to_url


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    said = {}
    for name, node in {"here": me.deployment.node, "there": me.deployment.agent_deployments[0].node}.items():
        chat = {"model": "held", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        said[name] = ""
        async with httpx.AsyncClient(timeout=60) as client:
            async with client.stream("POST", node_to_url(node) + "/inference/chat/completions", json=chat) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        choices = json.loads(line[6:])["choices"]
                        piece = choices[0]["delta"].get("content") if choices else None
                        if piece:
                            said[name] += piece
                            print(name, piece, flush=True)
    return said
"#;

#[test]
fn a_run_streams_from_its_own_node_and_from_a_peer_and_what_it_used_is_told() {
    let (here, there) = (Provider::start(), Provider::start());
    let (mut first, mut second) = (Sandbox::new(), Sandbox::new());
    first.set("NAPT_CACHE_DIR", &cache());
    second.set("NAPT_CACHE_DIR", &cache());
    let later = crate::support::node::free_address();
    let flag = |provider: &Provider| format!("local={}", provider.url);
    let first = TestNode::start_in(first, &["--peer", &format!("http://{later}"), "--provider", &flag(&here)]);
    let flags = ["--peer", &first.url, "--user", &first.operator(), "--provider", &flag(&there)];
    let second = TestNode::start_at(second, &later, &flags);
    let work = &first.sandbox;
    work.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let more = "[dependencies]\n\"agent:worker\" = { path = \"../worker\", version = \"0.1\" }\n";
    write_python(work, "m/streamer", "orchestrator:streamer", STREAMER, more);
    with_sdk(work, "m/streamer", "streamer");
    let deployment = json!([{
        "module": { "name": "streamer" }, "name": "streamer", "agent_deployments": [{ "name": "worker" }],
    }]);
    work.write("m/streamer/streamer/configs/deployment.json", deployment.to_string());
    let worker = json!([{ "node": { "name": second.url }, "module": { "name": "worker" }, "name": "worker" }]);
    work.write("m/streamer/streamer/configs/agent_deployments.json", worker.to_string());
    write_python(work, "m/worker", "agent:worker", "def run(module_run):\n    return 'x'\n", "");
    first.napt(&["deploy", "-m", "orchestrator:streamer", "--no-verify"]).expect(0);

    let user = first.user();
    let run = user.start("orchestrator:streamer", json!({}));
    for (name, provider) in [("here", &here), ("there", &there)] {
        // The module has the first word while the provider still holds back the rest.
        assert_eq!(user.line(&run.id, name), "I", "{name}");
        provider.release();
    }
    let ended = user.ended(&run.id);
    assert_eq!(ended.result.as_deref(), Some(r#"{"here": "I am held", "there": "I am held"}"#), "{ended:?}");
    let log = wait_for("what was used", || {
        let log = first.napt(&["logs", &run.id]).expect(0);
        log.stderr.contains("used model").then_some(log.stderr)
    });
    assert!(log.contains("used model held of local: 7 + 3 tokens"), "{log}");
}
