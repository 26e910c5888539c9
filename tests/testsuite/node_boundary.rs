//! What a module sees of the world, and what Naptha's own clients see of a node.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{send, signed},
    modules::{with_sdk, write_python},
    node::{TestNode, cache},
    provider::Provider,
    python::found,
    wait_for,
};

/// Returns all that it can see, and prints its credential in the ways in which it leaks.
const PROBE: &str = r#"
import base64, json, logging, os

from naptha_sdk.client.node import NodeClient
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput
from naptha_sdk.user import get_public_key


def environment_of(pid):
    try:
        return open("/proc/%d/environ" % pid).read()
    except PermissionError:
        return "refused"


async def run(module_run):
    logging.basicConfig(level=logging.DEBUG)
    token = os.environ["NAPT_RUN_TOKEN"]
    print(token, token.split(":")[1], base64.b64encode(token.encode()).decode(), os.environ)
    call = AgentRunInput(**{**module_run, "deployment": module_run["deployment"]["agent_deployments"][0]}, )
    child = await Agent().run(call)
    # By the door, whose client logs the headers that it sends.
    await NodeClient(call.deployment.node).check_user({"public_key": get_public_key(os.environ["PRIVATE_KEY"])})
    return {
        "env": dict(os.environ),
        "run": module_run,
        "public": get_public_key(os.environ["PRIVATE_KEY"]),
        "file": open(os.environ["PRIVATE_KEY_FULL_PATH"]).read(),
        "mode": os.stat(os.environ["PRIVATE_KEY_FULL_PATH"]).st_mode & 0o777,
        "cwd": sorted(os.listdir(".")),
        "parent": environment_of(os.getppid()),
        "child": json.loads(child.results[0]),
    }
"#;

/// The same without the SDK.
const PLAIN: &str = r#"
import os


def run(module_run):
    return {"env": dict(os.environ), "run": module_run}
"#;

/// Does what it is told.
const WORKER: &str = r#"
import time


def run(module_run):
    inputs = module_run["inputs"]
    if inputs.get("fail"):
        raise ValueError("on purpose")
    if inputs.get("seconds"):
        print("asleep", flush=True)
        time.sleep(inputs["seconds"])
    return f"got {inputs.get('word')}"
"#;

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Addresses in a JSON value: every `ip`.
fn addresses(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("ip").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| addresses(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| addresses(value, found)),
        _ => {}
    }
}

// Naptha's defects: B2, B3
#[test]
fn a_module_sees_its_node_its_run_and_a_key_of_its_own() {
    let mut sandbox = Sandbox::new();
    for (name, value) in [
        ("NAPT_CACHE_DIR", cache().as_str()),
        ("CANARY", "canary-in-the-environment"),
        ("NAPT_PROVIDER_KEY", "canary-of-the-provider"),
        ("OPENAI_API_KEY", "canary-of-openai"),
    ] {
        sandbox.set(name, value);
    }
    let node = TestNode::start_in(sandbox, &["--provider", "http://127.0.0.1:1/v1"]);
    let work = &node.sandbox;
    work.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let more = "[dependencies]\n\"agent:plain\" = { path = \"../plain\", version = \"0.1\" }\n";
    write_python(work, "m/probe", "orchestrator:probe", PROBE, more);
    with_sdk(work, "m/probe", "probe");
    let deployment =
        json!([{ "module": { "name": "probe" }, "name": "probe", "agent_deployments": [{ "name": "plain" }] }]);
    work.write("m/probe/probe/configs/deployment.json", deployment.to_string());
    work.write("m/probe/probe/configs/agent_deployments.json", r#"[{"module": {"name": "plain"}, "name": "plain"}]"#);
    write_python(work, "m/plain", "agent:plain", PLAIN, "");
    node.napt(&["deploy", "-m", "orchestrator:probe", "--no-verify"]).expect(0);
    let ran = node.napt(&["run", "orchestrator:probe", "-p", "word=one", "--message-format", "json"]).expect(0);
    let id = ran.json()["data"]["run"]["id"].as_str().expect("an id").to_owned();
    // As it is stored: the command's own output leaves credentials out.
    let url = format!("{}/v1/runs/{id}", node.url);
    let stored = send("GET", &url, &[("authorization", &signed(&node.key(), "GET", &url, ""))], "").json();
    let seen: Value = serde_json::from_str(stored["result"].as_str().expect("a result")).expect("JSON");

    let known = [
        "HOME",
        "LANG",
        "NAPT_NODE_URL",
        "NAPT_RUN_ID",
        "NAPT_RUN_TOKEN",
        "PATH",
        "PRIVATE_KEY",
        "PRIVATE_KEY_FULL_PATH",
        "TMPDIR",
    ];
    let port: u16 = node.address().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let mut secrets = Vec::new();
    for (seen, run) in [(&seen, Some(id.as_str())), (&seen["child"], None)] {
        let env = seen["env"].as_object().expect("an object");
        let mut names: Vec<&str> = env.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, known);
        let token = env["NAPT_RUN_TOKEN"].as_str().expect("text");
        let own = env["NAPT_RUN_ID"].as_str().expect("text");
        assert!(run.is_none_or(|run| run == own));
        assert_eq!((&seen["run"]["id"], &seen["run"]["consumer_id"]), (&json!(own), &json!(node.operator())));
        assert!(token.starts_with(&format!("{own}.local:")), "{token}");
        assert_eq!(env["NAPT_NODE_URL"], format!("http://{token}@127.0.0.1:{port}"));
        let mut found = Vec::new();
        addresses(&seen["run"], &mut found);
        assert!(!found.is_empty() && found.iter().all(|ip| *ip == format!("{token}@127.0.0.1")), "{found:?}");
        assert_eq!(seen["run"]["deployment"]["node"]["ports"], json!([port]));
        secrets.push(token.split_once(':').expect("a secret").1.to_owned());
    }
    assert_ne!(secrets[0], secrets[1], "a child has a credential of its own");
    let public = seen["public"].as_str().expect("a key");
    for key in [node.key(), node.node_key()] {
        assert_ne!(public, key.public().to_string());
        assert!(!seen.to_string().contains(&key.to_hex()));
    }
    assert_eq!((&seen["file"], &seen["mode"]), (&seen["env"]["PRIVATE_KEY"], &json!(0o600)));
    assert_eq!(seen["parent"], "refused", "what started it is not its business");

    let logs = node.napt(&["logs", &id]).expect(0);
    let url = format!("{}/v1/runs/{id}/events", node.url);
    let events = send("GET", &url, &[("authorization", &signed(&node.key(), "GET", &url, ""))], "").text;
    assert!(events.contains("Node URL: ws://") && events.contains("Basic "), "it did log: {events}");
    for secret in &secrets {
        assert!(!events.contains(secret) && !logs.stdout.contains(secret), "{events}");
    }
    for canary in ["canary-in-the-environment", "canary-of-the-provider", "canary-of-openai"] {
        for text in [&ran.stdout, &ran.stderr, &logs.stdout, &logs.stderr, &events, &stored.to_string(), &node.log()] {
            assert!(!text.contains(canary), "{canary} in {text}");
        }
        let mut all = Vec::new();
        files(&node.sandbox.home(), &mut all);
        assert!(all.len() > 5);
        for path in all {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let there = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!there, "{canary} in {}", path.display());
        }
    }
    assert_eq!(node.scratch().len(), 0, "nothing is left of it");
}

/// Deploys the worker.
fn with_worker(node: &TestNode) {
    write_python(&node.sandbox, "worker", "agent:worker", WORKER, "");
    node.napt(&["deploy", "worker", "--no-verify"]).expect(0);
}

fn expect_client(found: &Value, user: &str) {
    assert_eq!(found["user"]["id"], user);
    assert_eq!(found["created"], "worker");
    assert_eq!(found["success"], json!(["completed", false, ["got one"], ""]));
    assert_eq!(found["failure"], json!(["error", true, [], "ValueError: on purpose"]));
    assert_eq!(found["no inputs"], json!(["completed", false, ["got None"], ""]));
    for (what, part) in [
        ("unknown module", "`agent:nonesuch` is not deployed on this node"),
        ("bad signature", "Unauthorized: Invalid signature"),
        ("no signature", "Unauthorized: Invalid signature"),
    ] {
        let told = found[what].as_str().expect("text");
        assert!(told.starts_with("Server returned error response: {") && told.contains(part), "{told}");
    }
    assert_eq!(found["models"], json!(["napt/echo"]));
    assert_eq!(found["said"], "hello");
    assert_eq!(found["read"], json!([{ "text": "x'); DROP TABLE sdk; --" }]));
    assert!(found["delete"].as_str().expect("text").contains("422"), "{}", found["delete"]);
    assert_eq!(found["listed"], json!([{ "id": 1, "text": "changed" }]));
}

#[test]
fn the_sdk_works_with_a_token_in_the_nodes_url() {
    let node = TestNode::start(&[]);
    with_worker(&node);
    let url = node.url.replacen("http://", &format!("http://{}@", node.token(600)), 1);
    let found = found(include_str!("sdk_client.py"), &[&url, &node.key().to_hex()]);
    expect_client(&found, &node.operator());
}

#[test]
fn the_sdk_works_with_an_open_node() {
    let node = TestNode::start(&["--open"]);
    with_worker(&node);
    let key = napt::identity::SecretKey::generate();
    let found = found(include_str!("sdk_client.py"), &[&node.url, &key.to_hex()]);
    expect_client(&found, &key.public().user_id());
}

// Naptha's defects: A1
#[test]
fn the_websocket_door() {
    let node = TestNode::start(&[]);
    with_worker(&node);
    // Python's `websockets` takes no user name without a password; any will do.
    let url = node.url.replacen("http://", &format!("http://{}:x@", node.token(600)), 1);
    let user = node.operator();
    let found = found(include_str!("websocket_client.py"), &[&url, &user, &node.key().sign_consumer(&user)]);
    assert_eq!(found["long"], json!([true, "success", "completed", ["got None"]]));
    assert_eq!(found["large"], json!(["success", true]));
    assert_eq!(found["another library"], "success");
    for (what, limit) in [("too large", "more than the 1048576 "), ("still too large", "more than the 2097152 ")] {
        assert_eq!(found[what]["status"], "error", "{found}");
        let told = found[what]["message"].as_str().expect("text");
        assert!(told.contains(limit) && told.contains("`run_agent_and_poll` of the SDK"), "{told}");
        // What it names is there.
        let (_, run) = told.split_once("`napt status ").expect("a command");
        let shown = node.napt(&["status", run.split('`').next().expect("an id"), "--message-format", "json"]).expect(0);
        assert_eq!(shown.json()["data"]["run"]["result"].as_str().map(str::len), Some((5 << 20) + 4));
    }
    assert_eq!(found["failed"], json!(["success", "error", true, "ValueError: on purpose"]));
    for (what, part) in [
        ("invalid JSON", "EOF while parsing"),
        ("no call", "not as expected"),
        ("unknown type", "Invalid module type: foo"),
        ("data", "Invalid module type: persona"),
        ("unknown module", "`agent:nonesuch` is not deployed on this node"),
        ("bad signature", "Invalid signature"),
        ("another consumer", "another consumer"),
        ("no key", "key"),
    ] {
        assert_eq!(found[what]["status"], "error", "{what}: {found}");
        assert!(found[what]["message"].as_str().expect("text").contains(part), "{what}: {found}");
    }
    let public = node.key().public().to_string();
    assert_eq!(found["check"], json!({ "public_key": public, "id": user, "is_registered": true }));
    assert_eq!(found["register"], json!({ "public_key": public, "id": user }));
    // Those whose callers left are cancelled, and none is left half accepted.
    let statuses = wait_for("the runs' ends", || {
        let runs = node.napt(&["runs", "--limit", "100", "--message-format", "json"]).expect(0).json();
        let runs = runs["data"]["runs"].as_array().expect("a list").clone();
        let ended = runs.iter().all(|run| !run["finished"].is_null());
        ended.then(|| runs.iter().map(|run| run["status"].as_str().expect("text").to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(statuses[0], "cancelled");
    assert_eq!(statuses.iter().filter(|status| *status != "cancelled").count(), 6, "{statuses:?}");
}

#[test]
fn storage_takes_no_orders_from_names_and_values() {
    let (node, other) = TestNode::pair();
    let form = |data: &Value| {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &data.to_string()).finish()
    };
    // The first node's operator is a user of the second: two users of one node.
    let ask = |owner: &TestNode, method: &str, path: &str, data: Option<Value>| {
        let (url, body) = (format!("{}/storage/db/{path}", other.url), data.map_or(String::new(), |data| form(&data)));
        send(method, &url, &[("authorization", &signed(&owner.key(), method, &url, &body))], &body)
    };
    let query = |name: &str, value: &Value| {
        url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &value.to_string()).finish()
    };
    let schema = json!({ "schema": { "id": { "type": "integer", "primary_key": true }, "text": { "type": "text" } } });
    for owner in [&node, &other] {
        assert_eq!(ask(owner, "POST", "create/notes", Some(schema.clone())).text, "true");
        let row = json!({ "data": { "id": 1, "text": format!("of {}", owner.operator()) } });
        assert_eq!(ask(owner, "POST", "create/notes", Some(row)).status, 200);
    }
    let injection = "x\"; DROP TABLE notes; --";
    let encoded: String =
        url::form_urlencoded::byte_serialize(injection.as_bytes()).collect::<String>().replace('+', "%20");
    let read = |options: Value| format!("read/notes?{}", query("options", &options));
    for (method, path, data) in [
        ("GET", format!("read/{encoded}"), None),
        ("GET", "read/sqlite_master".to_owned(), None),
        ("GET", "read/..%2fnotes".to_owned(), None),
        ("POST", format!("create/{encoded}"), Some(schema.clone())),
        ("POST", "create/t".to_owned(), Some(json!({ "schema": { injection: { "type": "text" } } }))),
        ("POST", "create/t".to_owned(), Some(json!({ "schema": { "a": { "type": injection } } }))),
        ("POST", "create/notes".to_owned(), Some(json!({ "data": { injection: 1 } }))),
        ("GET", read(json!({ "columns": ["count(*)"] })), None),
        ("GET", read(json!({ "columns": [injection] })), None),
        ("GET", read(json!({ "order_by": injection })), None),
        ("GET", read(json!({ "order_by": "id", "order_direction": injection })), None),
        ("GET", read(json!({ "conditions": [{ injection: 1 }] })), None),
        ("GET", read(json!({ "limit": injection })), None),
        ("GET", read(json!({ "nonesuch": 1 })), None),
        (
            "PUT",
            format!("update/notes?{}", query("condition", &json!({ injection: 1 }))),
            Some(json!({ "data": { "text": "x" } })),
        ),
        ("PUT", "update/notes".to_owned(), Some(json!({ "data": { "text": "x" } }))),
        ("PUT", "update/notes?condition=".to_owned(), Some(json!({ "data": { "text": "x" } }))),
        ("DELETE", format!("delete/notes?{}", query("condition", &json!({ injection: 1 }))), None),
        ("DELETE", "delete/notes".to_owned(), None),
        ("DELETE", "delete/notes?condition=%7B%7D".to_owned(), None),
    ] {
        let answer = ask(&other, method, &path, data);
        assert_eq!(answer.status, 422, "{method} {path}: {answer:?}");
    }
    // Values are only values, and control characters are left out.
    for (id, text, kept) in [(2, injection, injection), (3, "a\u{0}b\u{1b}[31mc\n\t", "ab[31mc\n\t")] {
        let row = json!({ "data": { "id": id, "text": text } });
        assert_eq!(ask(&other, "POST", "create/notes", Some(row)).status, 200);
        let rows = ask(&other, "GET", &read(json!({ "conditions": [{ "text": kept }] })), None).json();
        assert_eq!(rows, json!([{ "id": id, "text": kept }]));
    }
    let theirs = ask(&node, "GET", "read/notes", None).json();
    assert_eq!(theirs, json!([{ "id": 1, "text": format!("of {}", node.operator()) }]), "users' tables are apart");
}

#[test]
fn a_provider_is_asked_with_its_key_and_never_betrays_it() {
    let provider = Provider::start();
    let key = "sk-canary-0123456789";
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NAPT_PROVIDER_KEY", key);
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    let url = format!("{}/inference/chat/completions", node.url);
    let chat = |model: &str| {
        let body = json!({
            "model": model, "messages": [{ "role": "user", "content": "hi" }],
            "temperature": 0.5, "max_tokens": null, "tools": null, "stream": null,
        });
        let body = body.to_string();
        send("POST", &url, &[("authorization", &signed(&node.key(), "POST", &url, &body))], &body)
    };
    assert_eq!(chat("good").json()["choices"][0]["message"]["content"], "I am good");
    let sent = json!({ "model": "good", "messages": [{ "role": "user", "content": "hi" }], "temperature": 0.5 });
    assert_eq!(provider.asked(), [(format!("Bearer {key}"), sent)], "without nulls, with its key");
    assert_eq!(chat("napt/echo").json()["choices"][0]["message"]["content"], "hi");
    assert_eq!(provider.asked().len(), 1, "the built-in model stays here");
    for (model, told) in [
        ("refused", "the model provider answered 401 Unauthorized: Incorrect API key provided: …"),
        ("busy", "the model provider answered 429 Too Many Requests: no reason given"),
        ("garbage", "the model provider answered 200 OK without JSON"),
        ("odd", "the model provider answered 200 OK with JSON that is no completion"),
        ("cut", "the model provider broke its answer off"),
        ("elsewhere", "the model provider answered 302 Found without JSON"),
    ] {
        let answer = chat(model);
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (502, Some(told)), "{model}");
    }
    assert!(!node.log().contains(key));

    let alone = TestNode::start(&[]);
    let url = format!("{}/inference/chat/completions", alone.url);
    let body = "{\"model\":\"good\",\"messages\":[]}";
    let answer = send("POST", &url, &[("authorization", &signed(&alone.key(), "POST", &url, body))], body);
    assert_eq!(answer.status, 404);
    assert!(answer.json()["hint"].as_str().expect("a hint").contains("napt/echo"), "{answer:?}");
    let gone = TestNode::start(&["--provider", "http://127.0.0.1:1/v1"]);
    let url = format!("{}/inference/chat/completions", gone.url);
    let answer = send("POST", &url, &[("authorization", &signed(&gone.key(), "POST", &url, body))], body);
    assert_eq!(answer.json()["detail"], "the model provider cannot be reached");
}
