//! Naptha's gRPC door, by the SDK's client.

use napt::identity::CredentialStore;
use serde_json::{Value, json};

use crate::support::{Sandbox, http::signed, modules::write_python, node::TestNode, python::found};

/// Says what it was given.
const TELLER: &str = r#"
import os, time


def run(module_run):
    inputs = module_run["inputs"]
    if inputs.get("fail"):
        raise ValueError("on purpose")
    if inputs.get("tell"):
        told = os.path.join(os.environ["HOME"], "told")
        with open(told + ".new", "w") as file:
            file.write(os.environ["NAPT_RUN_ID"] + " " + os.environ["NAPT_RUN_TOKEN"])
        os.rename(told + ".new", told)
        while os.path.exists(told):
            time.sleep(0.02)
    time.sleep(inputs.get("seconds", 0))
    return {"inputs": inputs, "signed": bool(module_run["signature"])}
"#;

fn with_tellers(node: &TestNode) {
    for kind in ["agent", "tool", "kb", "environment", "memory"] {
        write_python(&node.sandbox, kind, &format!("{kind}:{kind}"), TELLER, "");
        node.napt(&["deploy", kind, "--no-verify"]).expect(0);
    }
}

// Naptha's defects: A2, A12, F8
#[test]
fn the_sdk_runs_modules_over_grpc() {
    let node = TestNode::start(&["--open"]);
    with_tellers(&node);
    let url = format!("{}/agent.GrpcServer/CheckModuleRun", node.url);
    let signature = signed(&node.key(), "POST", &url, "").trim_start_matches("Napt ").to_owned();
    let key = node.key();
    let found = found(
        include_str!("grpc_client.py"),
        &[&node.url, &key.to_hex(), &node.token(600), &signature, &node.token(1), &node.data().to_string_lossy()],
    );
    let (user, public) = (key.public().user_id(), key.public().to_string());
    assert_eq!(found["unknown"], false);
    assert_eq!(found["registered"], json!({ "id": user, "public_key": public }));
    assert_eq!(found["known"], json!({ "is_registered": true, "id": user, "public_key": public }));
    let given = json!({ "n": 1, "half": 0.5, "none": null, "deep": [{ "word": "it's" }] });
    for kind in ["agent", "tool", "kb", "environment"] {
        assert_eq!(found[kind][0], "completed", "{found}");
        let told: Value = serde_json::from_str(found[kind][2][0].as_str().expect("text")).expect("JSON");
        // Whole numbers are whole again.
        assert_eq!(told, json!({ "inputs": given, "signed": true }));
        assert_eq!((&found[kind][1], &found[kind][3], &found[kind][4]), (&json!(false), &json!(""), &json!(true)));
    }
    assert_eq!(found["failure"], json!(["error", true, [], "ValueError: on purpose"]));
    // Longer than the time after which callers are told that it goes on.
    assert_eq!(found["long"], json!(["completed", true]));
    let statuses: Vec<&str> = found["statuses"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let (last, before) = statuses.split_last().expect("an answer");
    assert!(*last == "completed" && !before.is_empty() && before.iter().all(|status| *status == "running"), "{found}");
    let remembered = r#"{"inputs": {"word": "one"}, "signed": true}"#;
    assert_eq!(found["memory"], json!(["completed", [remembered], "memory"]));
    assert_eq!(found["its own"], "processing");
    assert_eq!((&found["alive"], &found["health"]), (&json!(true), &json!("ok!!!")));
    assert_eq!(
        found["checked"],
        json!(["completed", [r#"{"inputs": {"word": "one"}, "signed": true}"#], { "word": "one" }])
    );
    for (what, code, part) in [
        // Its registry, which may have it, cannot be asked.
        ("unknown module", "UNAVAILABLE", "agent:nonesuch"),
        ("bad signature", "UNAUTHENTICATED", "Invalid signature"),
        ("stop", "PERMISSION_DENIED", "operator"),
        ("no deployment", "INVALID_ARGUMENT", "no deployment"),
        ("orchestrator", "INVALID_ARGUMENT", "over HTTP"),
        ("unknown type", "NOT_FOUND", "Invalid module type: foo"),
        ("web page", "UNAUTHENTICATED", "web pages"),
        ("another type", "NOT_FOUND", "no kb run"),
        ("no run", "NOT_FOUND", "no run"),
        ("wrong token", "UNAUTHENTICATED", "token"),
        ("expired", "UNAUTHENTICATED", "token"),
        ("ended run", "UNAUTHENTICATED", "the run has ended"),
        ("signed", "UNAUTHENTICATED", "over gRPC"),
    ] {
        assert_eq!(found[what][0], code, "{what}: {found}");
        assert!(found[what][1].as_str().expect("text").contains(part), "{what}: {found}");
    }
    assert!(["OUT_OF_RANGE", "RESOURCE_EXHAUSTED"].contains(&found["huge"].as_str().expect("a code")), "{found}");
}

// Naptha's defects: A2
#[test]
fn without_a_credential_grpc_is_closed() {
    let node = TestNode::start(&[]);
    with_tellers(&node);
    let script = r#"
import grpc, json, sys
from naptha_sdk.client import grpc_server_pb2 as pb, grpc_server_pb2_grpc as stubs

found = {}
stub = stubs.GrpcServerStub(grpc.insecure_channel(sys.argv[1].removeprefix("http://")))
for name, call in {
    "check": lambda: stub.CheckUser(pb.CheckUserRequest(public_key="x")),
    "register": lambda: stub.RegisterUser(pb.RegisterUserRequest(public_key="x")),
    "run": lambda: list(stub.RunModule(pb.ModuleRunRequest(module_type="agent"))),
    "record": lambda: stub.CheckModuleRun(pb.ModuleRunCheck(module_type="agent", run_id="x")),
}.items():
    try:
        found[name] = str(call())
    except grpc.RpcError as error:
        found[name] = error.code().name
print("FOUND " + json.dumps(found))
"#;
    let found = found(script, &[&node.url]);
    let closed = "UNAUTHENTICATED";
    assert_eq!(found, json!({ "check": closed, "register": closed, "run": closed, "record": closed }));
    assert_eq!(node.napt(&["runs", "--message-format", "json"]).expect(0).json()["data"]["runs"], json!([]));
}

// Naptha's defects: A10
#[test]
fn another_users_runs_are_not_shown_over_grpc() {
    let other = Sandbox::new();
    let id = CredentialStore::new(other.home().join("napt").join("config")).key_or_create().expect("a key");
    let node = TestNode::start(&["--user", &id.public().user_id()]);
    with_tellers(&node);
    let token = other.napt(&["token", "new", "--node", &node.url]).expect(0).stdout;
    let run = node.user().run("agent:agent", json!({ "word": "mine" }));
    let script = r#"
import grpc, json, sys
from naptha_sdk.client import grpc_server_pb2 as pb, grpc_server_pb2_grpc as stubs

found = {}
stub = stubs.GrpcServerStub(grpc.insecure_channel(sys.argv[1].removeprefix("http://")))
for name, token in {"owner": sys.argv[3], "other": sys.argv[4]}.items():
    check = pb.ModuleRunCheck(module_type="agent", run_id=sys.argv[2])
    try:
        found[name] = stub.CheckModuleRun(check, metadata=[("authorization", f"Bearer {token}")]).status
    except grpc.RpcError as error:
        found[name] = [error.code().name, sys.argv[2] in error.details(), "mine" in error.details()]
    # Its credential holds.
    user = pb.CheckUserRequest(public_key=sys.argv[5])
    found[name + " may ask"] = stub.CheckUser(user, metadata=[("authorization", f"Bearer {token}")]).is_registered
print("FOUND " + json.dumps(found))
"#;
    let found = found(script, &[&node.url, &run.id, &node.token(600), token.trim(), &node.key().public().to_string()]);
    assert_eq!(found["owner"], "completed");
    assert_eq!(found["other"], json!(["NOT_FOUND", true, false]), "as if there were none");
    assert_eq!((&found["owner may ask"], &found["other may ask"]), (&json!(true), &json!(true)));
}
