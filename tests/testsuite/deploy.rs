//! `napt deploy`: which versions, from where, and `napt.lock`.

use serde_json::Value;

use crate::support::{Sandbox, modules, node::TestNode, registry::TestRegistry};

/// A node and a registry that know each other, and a signed-in user.
fn servers() -> (TestRegistry, TestNode) {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    let node = TestNode::start_in(sandbox, &[]);
    node.napt(&["login"]).expect(0);
    (registry, node)
}

/// The version of `id` in the only deployment of the node.
fn deployed(node: &TestNode, id: &str) -> Option<String> {
    let status = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    let modules = status["data"]["deployments"][0]["modules"].as_array()?.clone();
    let pin = modules.into_iter().find(|pin| pin["id"] == id)?;
    pin["version"].as_str().map(str::to_owned)
}

#[test]
fn what_a_folder_needs_comes_from_the_registry_and_stays_pinned() {
    let (_registry, node) = servers();
    modules::write(&node.sandbox, "voice", "agent:voice", "1.0.0", "");
    node.napt(&["publish", "--no-verify", "-C", "voice"]).expect(0);
    modules::write(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", "[dependencies]\n\"agent:voice\" = \"^1\"\n");

    let ran = node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    assert!(ran.stdout.contains("Deployed orchestrator:choir 0.1.0 as `choir`, revision 1"), "{}", ran.stdout);
    let lock = std::fs::read_to_string(node.sandbox.work().join("choir/napt.lock")).expect("a lock");
    assert!(lock.contains("agent:voice") && lock.contains("sha256"), "{lock}");

    // A newer version changes nothing until the lock does.
    modules::write(&node.sandbox, "voice", "agent:voice", "1.1.0", "");
    node.napt(&["publish", "--no-verify", "-C", "voice"]).expect(0);
    let again = node.napt(&["deploy", "choir", "--locked", "--no-verify"]).expect(0);
    assert!(again.stdout.contains("revision 1"), "the same again is the same revision: {}", again.stdout);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("1.0.0"));
    assert_eq!(std::fs::read_to_string(node.sandbox.work().join("choir/napt.lock")).expect("a lock"), lock);

    std::fs::remove_file(node.sandbox.work().join("choir/napt.lock")).expect("it was there");
    let ran = node.napt(&["deploy", "choir", "--locked", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("napt.lock"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    assert!(ran.stdout.contains("revision 2"), "{}", ran.stdout);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("1.1.0"));
}

#[test]
fn an_outdated_lock_is_told_and_kept() {
    let (_registry, node) = servers();
    modules::write(&node.sandbox, "voice", "agent:voice", "1.0.0", "");
    node.napt(&["publish", "--no-verify", "-C", "voice"]).expect(0);
    modules::write(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", "");
    node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    let lock = std::fs::read_to_string(node.sandbox.work().join("choir/napt.lock")).expect("a lock");
    modules::write(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", "[dependencies]\n\"agent:voice\" = \"1\"\n");
    let ran = node.napt(&["deploy", "choir", "--locked", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("out of date") && ran.stderr.contains("agent:voice"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(node.sandbox.work().join("choir/napt.lock")).expect("a lock"), lock);
}

#[test]
fn published_modules_are_deployed_by_name_and_requirement() {
    let (_registry, node) = servers();
    for version in ["1.0.0", "1.2.0", "2.0.0"] {
        modules::write(&node.sandbox, "voice", "agent:voice", version, "");
        node.napt(&["publish", "--no-verify", "-C", "voice"]).expect(0);
    }
    node.napt(&["deploy", "agent:voice@^1", "--no-verify"]).expect(0);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("1.2.0"));
    // A whole version is meant.
    node.napt(&["deploy", "agent:voice@1.0.0", "--no-verify"]).expect(0);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("1.0.0"));
    node.napt(&["deploy", "agent:voice", "--no-verify"]).expect(0);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("2.0.0"));

    let ran = node.napt(&["deploy", "agent:voice@^3", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("agent:voice"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "agent:vioce", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("there is no module `agent:vioce`"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "agnet:voice", "--no-verify"]).expect(2);
    assert!(ran.stderr.contains("did you mean `agent`"), "{}", ran.stderr);
    assert_eq!(deployed(&node, "agent:voice").as_deref(), Some("2.0.0"), "what fails changes nothing");
}

#[test]
fn a_workspace_says_which_of_its_modules() {
    let (_registry, node) = servers();
    let sandbox = &node.sandbox;
    sandbox.write("w/napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    modules::write(sandbox, "w/a", "orchestrator:a", "0.1.0", "");
    modules::write(sandbox, "w/b", "orchestrator:b", "0.1.0", "");
    let ran = node.napt(&["deploy", "w", "--no-verify"]).expect(2);
    assert!(ran.stderr.contains("`--module` with one of orchestrator:a, orchestrator:b"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "w", "-m", "b", "--no-verify"]).expect(0);
    assert!(ran.stdout.contains("orchestrator:b"), "{}", ran.stdout);
    let ran = node.napt(&["deploy", "w", "-m", "b", "--name", "bad name!", "--no-verify"]).expect(2);
    assert!(ran.stderr.contains("a deployment's name has letters"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "w", "-m", "c", "--no-verify"]).expect(2);
    assert!(ran.stderr.contains("did you mean"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "w/a", "--no-verify"]).expect(0);
    assert!(ran.stdout.contains("orchestrator:a"), "{}", ran.stdout);
}

#[test]
fn servers_that_are_not_there_are_network_errors() {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    // Nobody listens on port 1 of the loopback.
    sandbox.set("NAPT_NODE", "http://127.0.0.1:1");
    modules::write(&sandbox, "voice", "agent:voice", "1.0.0", "");
    let ran = sandbox.napt(&["deploy", "voice", "--no-verify"]).expect(4);
    assert!(ran.stderr.contains("cannot reach the node") && ran.stderr.contains("napt node"), "{}", ran.stderr);
    let ran = sandbox.napt(&["run", "agent:voice"]).expect(4);
    assert!(ran.stderr.contains("cannot reach the node"), "{}", ran.stderr);
    // The registry is not a node.
    sandbox.set("NAPT_NODE", registry.url.as_str());
    sandbox.napt(&["runs"]).expect(1);
}

#[test]
fn a_module_that_is_not_deployed_says_how() {
    let (_registry, node) = servers();
    let ran = node.napt(&["run", "orchestrator:ghost", "--message-format", "json"]).expect(1);
    let error: &Value = &ran.json()["error"];
    assert_eq!(error["message"], "`orchestrator:ghost` is not deployed on this node");
    assert_eq!(error["hints"][0], "deploy it first: `napt deploy orchestrator:ghost`");
}
#[test]
fn what_path_dependencies_name_by_path_is_sent_too() {
    let node = TestNode::start(&[]);
    let needs = |id: &str, folder: &str| format!("[dependencies]\n\"{id}\" = {{ path = \"../{folder}\" }}\n");
    modules::write(&node.sandbox, "a", "persona:first", "0.1.0", &needs("persona:second", "b"));
    modules::write(&node.sandbox, "b", "persona:second", "0.1.0", &needs("persona:third", "c"));
    modules::write(&node.sandbox, "c", "persona:third", "0.1.0", "");
    let ran = node.napt(&["deploy", "a", "--message-format", "json", "--no-verify"]).expect(0);
    let modules = ran.json()["data"]["deployment"]["modules"].as_array().map(Vec::len);
    assert_eq!(modules, Some(3), "{}", ran.stdout);
}

#[test]
fn a_run_of_what_is_not_deployed_tells_what_is() {
    let node = TestNode::start(&[]);
    modules::write(&node.sandbox, "a", "persona:debate", "0.1.0", "");
    node.napt(&["deploy", "a", "--no-verify"]).expect(0);
    // A bare name is an agent's.
    for (given, hint) in
        [("debate", "did you mean `persona:debate`?"), ("persona:debaet", "did you mean `persona:debate`?")]
    {
        let ran = node.napt(&["run", given]).expect(1);
        assert!(ran.stderr.contains("is not deployed on this node"), "{}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
        assert!(!ran.stderr.contains("deploy it first"), "{}", ran.stderr);
    }
    let ran = node.napt(&["run", "persona:debate", "--deployment", "other"]).expect(2);
    assert!(ran.stderr.contains("the value of `--deployment` is not a JSON object"), "{}", ran.stderr);
    let ran = node.napt(&["deploy", "hammer"]).expect(2);
    assert!(ran.stderr.contains("for example `agent:hammer`"), "{}", ran.stderr);
    let ran = node.napt(&["run", "tool:hammer"]).expect(1);
    assert!(!ran.stderr.contains("did you mean"), "{}", ran.stderr);
}

#[test]
fn a_folder_with_errors_is_shown_and_not_sent() {
    let node = TestNode::start(&[]);
    node.napt(&["new", "orchestrator", "debate", "--yes"]).expect(0);
    let code = node.sandbox.work().join("debate/modules/debate_agent/debate_agent/run.py");
    let text = std::fs::read_to_string(&code).expect("code");
    std::fs::write(&code, format!("{text}\ndef x(:\n")).expect("a file");
    let ran = node.napt(&["deploy", "debate"]).expect(3);
    assert!(ran.stderr.contains("error[python-syntax]") && ran.stderr.contains("def x(:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`--no-verify` skips this check"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Packaging"), "{}", ran.stderr);
    let json = node.napt(&["deploy", "debate", "--message-format", "json"]).expect(3).json();
    assert_eq!(json["error"]["kind"], "check");
    // Unchecked it is sent, and the node finds that it cannot be imported.
    let ran = node.napt(&["deploy", "debate", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("`agent:debate_agent 0.1.0` cannot be imported: SyntaxError"), "{}", ran.stderr);
}

#[test]
fn a_model_that_the_node_lacks_is_told_when_it_is_deployed() {
    let node = TestNode::start(&[]);
    node.napt(&["new", "agent", "voice", "--yes", "--set", "model=ollama"]).expect(0);
    let ran = node.napt(&["deploy", "voice"]).expect(0);
    assert!(ran.stderr.contains("warning: the model `"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is not served by this node"), "{}", ran.stderr);
}
