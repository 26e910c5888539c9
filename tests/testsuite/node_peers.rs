//! Two nodes: a deployment that spans both, and who is believed by whom.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use napt::{
    identity::SecretKey,
    wire::{Envelope, SignedEnvelope},
};
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{Answer, send, signed},
    modules::{with_sdk, write_python},
    node::{TestNode, cache},
    wait_for,
};

/// An orchestrator that calls one agent by the SDK, and then storage and models of the agent's node.
const CALLER: &str = r#"
from naptha_sdk.inference import InferenceClient
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput
from naptha_sdk.storage.schemas import CreateStorageRequest, ReadStorageRequest
from naptha_sdk.storage.storage_client import StorageClient


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    agent = me.deployment.agent_deployments[0]
    call = AgentRunInput(consumer_id=me.consumer_id, inputs=me.inputs, deployment=agent, signature="x")
    ended = await Agent().run(call)
    if ended.error:
        raise RuntimeError(f"the agent failed: {ended.error_message}")
    storage = StorageClient(agent.node)
    for data in ({"schema": {"text": {"type": "text"}}}, {"data": {"text": "kept"}}):
        await storage.execute(CreateStorageRequest(storage_type="db", path="notes", data=data))
    rows = (await storage.execute(ReadStorageRequest(storage_type="db", path="notes"))).data
    models = InferenceClient(agent.node)
    chat = {"model": "napt/echo", "messages": [{"role": "user", "content": "hello"}]}
    said = (await models.run_inference(chat)).choices[0].message.content
    return {"agent": ended.results[0], "rows": rows, "said": said, "node": ended.deployment.node.ip}
"#;

/// Says what it got; with `sleep` it never does.
const AGENT: &str = r#"
import time


def run(module_run):
    if module_run["inputs"].get("sleep"):
        print("asleep", flush=True)
        time.sleep(600)
    return f"got {module_run['inputs']['word']}"
"#;

/// Writes the two modules above into the first node's work folder, the agent on a node.
fn modules(sandbox: &Sandbox, agent_node: &Value) {
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let more = "[dependencies]\n\"agent:worker\" = { path = \"../worker\", version = \"0.1\" }\n";
    write_python(sandbox, "m/caller", "orchestrator:caller", CALLER, more);
    with_sdk(sandbox, "m/caller", "caller");
    let deployment = json!([{
        "node": { "ip": "localhost" }, "module": { "name": "caller" }, "name": "caller",
        "agent_deployments": [{ "name": "worker" }],
    }]);
    sandbox.write("m/caller/caller/configs/deployment.json", deployment.to_string());
    let worker = json!([{ "node": agent_node, "module": { "name": "worker" }, "name": "worker" }]);
    sandbox.write("m/caller/caller/configs/agent_deployments.json", worker.to_string());
    write_python(sandbox, "m/worker", "agent:worker", AGENT, "");
}

/// All runs that the first node's operator has on a node.
fn runs(first: &TestNode, url: &str) -> Vec<Value> {
    let listed = first.napt(&["runs", "--all", "--limit", "200", "--node", url, "--message-format", "json"]).expect(0);
    listed.json()["data"]["runs"].as_array().expect("a list").clone()
}

/// Starts a run whose agent sleeps on the second node; gives both ids once it does.
fn start_sleeping(first: &TestNode, second: &TestNode) -> (String, String) {
    let inputs = "word=one sleep=true";
    let started = first.napt(&["run", "orchestrator:caller", "-p", inputs, "--detach"]).expect(0);
    let parent = started.stdout.trim().to_owned();
    let child = wait_for("the agent's run", || {
        let run = runs(first, &second.url).into_iter().find(|run| run["parent"] == parent)?;
        let id = run["id"].as_str().expect("an id").to_owned();
        first.napt(&["logs", &id, "--node", &second.url]).stdout.contains("asleep").then_some(id)
    });
    (parent, child)
}

fn view(first: &TestNode, url: &str, id: &str) -> Value {
    let shown = first.napt(&["status", id, "--node", url, "--message-format", "json"]).expect(0);
    shown.json()["data"]["run"].clone()
}

fn ended(first: &TestNode, url: &str, id: &str) -> Value {
    wait_for("the run's end", || Some(view(first, url, id)).filter(|run| !run["finished"].is_null()))
}

#[test]
fn a_scaffolded_orchestrator_spans_two_nodes() {
    let (first, second) = TestNode::pair();
    first.napt(&["new", "orchestrator", "debate", "--yes"]).expect(0);
    let configs = first.sandbox.work().join("debate/modules/debate/debate/configs");
    let change = |file: &str, index: usize, node: Value| {
        let path = configs.join(file);
        let mut list: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("a file")).expect("a list of deployments");
        list[index]["node"] = node;
        std::fs::write(path, list.to_string()).expect("a file");
    };
    let port: u16 = second.address().rsplit_once(':').expect("a port").1.parse().expect("a number");
    change("agent_deployments.json", 1, json!({ "ip": "127.0.0.1", "user_communication_port": port }));
    change("kb_deployments.json", 0, json!({ "name": second.url }));
    first.napt(&["deploy", "debate", "--no-verify"]).expect(0);
    let ran =
        first.napt(&["run", "orchestrator:debate", "-p", "prompt='Is it?'", "--message-format", "json"]).expect(0);
    let root = ran.json()["data"]["run"].clone();
    let turns: Value = serde_json::from_str(root["result"].as_str().expect("a result")).expect("JSON");
    assert_eq!(turns.as_array().expect("a list").len(), 10);

    let here = runs(&first, &first.url);
    let there = runs(&first, &second.url);
    let count = |runs: &[Value], module: &str| runs.iter().filter(|run| run["module"] == module).count();
    assert_eq!((count(&here, "orchestrator:debate"), count(&here, "agent:debate_agent"), here.len()), (1, 5, 6));
    assert_eq!((count(&there, "agent:debate_agent"), count(&there, "kb:debate_kb"), there.len()), (5, 12, 17));
    for run in here.iter().filter(|run| run["id"] != root["id"]).chain(&there) {
        assert_eq!((&run["parent"], &run["root"]), (&root["id"], &root["id"]), "{run}");
        assert_eq!((&run["consumer"], &run["status"]), (&json!(first.operator()), &json!("completed")), "{run}");
    }
    // The caller's own log names every call, whichever node it went to.
    let log = first.napt(&["logs", root["id"].as_str().expect("an id")]).expect(0);
    assert_eq!(log.stderr.matches("called ").count(), 22, "{}", log.stderr);
}

#[test]
fn what_is_shown_names_nodes_as_people_do() {
    let (first, second) = TestNode::pair();
    modules(&first.sandbox, &json!({ "name": second.url }));
    let command = ["deploy", "--module", "caller", "--no-verify", "--dry-run", "--show-merged"];
    let merged = first.napt(&command).expect(0).json();
    let url = |url: &str| json!({ "name": format!("{url}/") });
    assert_eq!(merged["node"], url(&first.url), "{merged:#}");
    assert_eq!(merged["agent_deployments"][0]["node"], url(&second.url), "{merged:#}");
    // What is shown is understood.
    let again = merged.to_string();
    first.napt(&[&command[..], &["--deployment", &again]].concat()).expect(0);
}

#[test]
fn clients_are_told_where_each_part_is() {
    let (first, second) = TestNode::pair();
    modules(&first.sandbox, &json!({ "name": second.url }));
    first.napt(&["deploy", "--module", "caller", "--no-verify"]).expect(0);
    let url = format!("{}/orchestrator/create", first.url);
    let body = json!({ "node": { "ip": "localhost" }, "module": { "name": "caller" } }).to_string();
    let created = send("POST", &url, &[("authorization", &signed(&first.key(), "POST", &url, &body))], &body).json();
    for (told, node) in [(&created["node"], &first), (&created["agent_deployments"][0]["node"], &second)] {
        let key = node.node_key().public();
        assert_eq!((&told["id"], &told["public_key"]), (&json!(key.node_id()), &json!(key.to_string())), "{told}");
        assert_eq!(format!("{}:{}", told["ip"].as_str().expect("a host"), told["http_port"]), node.address());
        assert_eq!((&told["servers"][0]["node_id"], &told["ports"][0]), (&told["id"], &told["http_port"]), "{told}");
    }
    // What is told is understood.
    let body = json!({ "agent_deployments": created["agent_deployments"], "module": { "name": "caller" } }).to_string();
    let again = send("POST", &url, &[("authorization", &signed(&first.key(), "POST", &url, &body))], &body);
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json()["agent_deployments"][0]["node"], created["agent_deployments"][0]["node"]);
}

#[test]
fn a_module_uses_what_is_on_the_other_node_also_after_a_restart() {
    let (mut first, second) = TestNode::pair();
    modules(&first.sandbox, &json!({ "name": second.url }));
    first.napt(&["deploy", "-m", "orchestrator:caller", "--no-verify"]).expect(0);
    for round in 1..=2 {
        let ran = first.napt(&["run", "orchestrator:caller", "-p", "word=one", "--message-format", "json"]).expect(0);
        let run = &ran.json()["data"]["run"];
        let result: Value = serde_json::from_str(run["result"].as_str().expect("a result")).expect("JSON");
        assert_eq!((&result["agent"], &result["said"]), (&json!("got one"), &json!("hello")));
        // The rows are on the second node, and outlive the first one's restart.
        assert_eq!(result["rows"].as_array().expect("rows").len(), round);
        let own = format!("{}.", run["id"].as_str().expect("an id"));
        assert!(
            result["node"].as_str().expect("text").starts_with(&own),
            "the record has the caller's address: {result}"
        );
        first.kill();
        first.restart();
    }
    // The consumer is known there.
    let body = json!({ "public_key": first.key().public().to_string() }).to_string();
    let url = format!("{}/user/check", second.url);
    let checked = send("POST", &url, &[("authorization", &signed(&second.key(), "POST", &url, &body))], &body);
    assert_eq!(checked.json()["is_registered"], true, "{checked:?}");
    // And has the rows in tables of their own.
    let url = format!("{}/storage/db/read/notes", second.url);
    let read = |key: &SecretKey| send("GET", &url, &[("authorization", &signed(key, "GET", &url, ""))], "");
    assert_eq!(read(&first.key()).json().as_array().expect("rows").len(), 2);
    assert_eq!(read(&second.key()).status, 404, "another user's tables are another's");
}

#[test]
fn ends_cross_nodes() {
    let (mut first, mut second) = TestNode::pair();
    modules(&first.sandbox, &json!({ "name": second.url }));
    first.napt(&["deploy", "-m", "orchestrator:caller", "--no-verify"]).expect(0);

    let (parent, child) = start_sleeping(&first, &second);
    first.napt(&["cancel", &parent]).expect(0);
    assert_eq!(ended(&first, &first.url, &parent)["status"], "cancelled");
    assert_eq!(ended(&first, &second.url, &child)["status"], "cancelled");

    let (_, child) = start_sleeping(&first, &second);
    first.kill();
    first.restart();
    assert_eq!(ended(&first, &second.url, &child)["status"], "cancelled", "its caller is gone");

    let (parent, _) = start_sleeping(&first, &second);
    second.kill();
    let run = ended(&first, &first.url, &parent);
    assert_eq!(run["status"], "error");
    let error = run["error"].as_str().expect("an error");
    assert!(error.contains(&format!("node `{}/` went away before the run ended", second.url)), "{error}");

    // A node that is down is named as such.
    let ran = first.napt(&["run", "orchestrator:caller", "-p", "word=one"]).expect(1);
    let told = format!("node `{}/` does not answer: ", second.url);
    assert!(ran.stderr.contains(&told) && ran.stderr.to_lowercase().contains("refused"), "{}", ran.stderr);
}

#[test]
fn nodes_that_are_not_peers_refuse_each_other() {
    let (first, second) = TestNode::pair();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let stranger = TestNode::start_in(sandbox, &["--peer", &second.url]);
    // It knows the second node, which does not know it.
    modules(&stranger.sandbox, &json!({ "name": second.url }));
    let refused = stranger.napt(&["deploy", "-m", "orchestrator:caller", "--no-verify"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("is not a peer of this node") && refused.stderr.contains("`napt node --peer URL`"),
        "{}",
        refused.stderr
    );
    // And the other way round.
    modules(&first.sandbox, &json!({ "name": stranger.url }));
    let refused = first.napt(&["deploy", "-m", "orchestrator:caller", "--no-verify"]);
    assert_ne!(refused.code, Some(0));
    let told = format!("node `{}` is not known to this node", stranger.url);
    assert!(refused.stderr.contains(&told) && refused.stderr.contains(&second.url), "{}", refused.stderr);
    assert!(runs(&first, &second.url).is_empty());
}

/// The second node's answer to an envelope for one of its archives; it has none, so a good one is answered with 404.
fn ask(second: &TestNode, envelope: &SignedEnvelope, path: &str, body: &str) -> Answer {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(envelope).expect("JSON"));
    send("GET", &format!("{}{path}", second.url), &[("napt-envelope", &header)], body)
}

#[test]
fn an_envelope_is_good_once_for_one_call_of_a_peer() {
    let (first, second) = TestNode::pair();
    let path = format!("/v1/forward/archives/{}", "0".repeat(64));
    let own = second.node_key().public().node_id();
    let now = jiff::Timestamp::now().as_second();
    let user = first.operator();
    let sign = |key: &SecretKey, to: &str, path: &str, body: &str, now: i64| {
        Envelope::sign(key, to, path, body.as_bytes(), &user, "", "", now)
    };
    let key = first.node_key();
    let good = sign(&key, &own, &path, "", now);
    assert_eq!(ask(&second, &good, &path, "").status, 404);
    assert_eq!(ask(&second, &good, &path, "").status, 401, "sent before");
    let mut altered = sign(&key, &own, &path, "", now);
    altered.claims = altered.claims.replace(&user, &second.operator());
    for (what, envelope, status) in [
        ("altered", altered, 401),
        ("expired", sign(&key, &own, &path, "", now - 100), 401),
        ("from the future", sign(&key, &own, &path, "", now + 1000), 401),
        ("for another node", sign(&key, &key.public().node_id(), &path, "", now), 401),
        ("for another path", sign(&key, &own, "/v1/forward/deploy", "", now), 401),
        ("for another query", sign(&key, &own, &format!("{path}?a=b"), "", now), 401),
        ("for another body", sign(&key, &own, &path, "x", now), 401),
        ("of a stranger", sign(&SecretKey::generate(), &own, &path, "", now), 403),
        ("of a user", sign(&first.key(), &own, &path, "", now), 403),
        ("of itself", sign(&second.node_key(), &own, &path, "", now), 403),
    ] {
        let answer = ask(&second, &envelope, &path, "");
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    // A call that reaches a body: what is refused is not executed.
    let deploy = "{\"root\":\"agent:x\",\"modules\":[]}";
    let url = format!("{}/v1/forward/deploy", second.url);
    for headers in [vec![], vec![("napt-envelope", "garbage")]] {
        assert_eq!(send("POST", &url, &headers, deploy).status, 401);
    }
    // A user's own credential opens none of it.
    for (method, path) in [
        ("POST", "/v1/forward/deploy"),
        ("POST", "/v1/forward/run/agent?deployment=x&revision=1&depth=0"),
        ("GET", "/v1/forward/storage/db/read/t"),
        ("POST", "/v1/forward/inference/chat/completions"),
    ] {
        let url = format!("{}{path}", second.url);
        let answer = send(method, &url, &[("authorization", &signed(&second.key(), method, &url, ""))], "");
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
    }
}
