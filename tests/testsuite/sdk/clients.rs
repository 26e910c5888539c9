//! The SDK's Python classes, and the example of Naptha's orchestrator page.

use napt::identity::SecretKey;
use serde_json::json;

use super::{Scene, TYPES};
use crate::support::{
    Sandbox,
    modules::Python,
    node::{TestNode, cache},
    python,
    registry::TestRegistry,
};

#[test]
fn every_class_works_from_a_script() {
    let scene = Scene::signed_up();
    scene.publish_echoes();
    let found = scene.script(include_str!("clients.py"), &[], "FOUND ");
    let port: u16 = scene.node.address().rsplit(':').next().expect("a port").parse().expect("a number");
    for kind in TYPES {
        let of = &found[kind];
        assert_eq!(of["created"], format!("{kind}_echo"), "{of}");
        assert_eq!(of["run"], json!(["completed", ["{\"word\": \"one\"}"]]), "{of}");
        assert_eq!(of["called"], json!(["completed", ["{\"word\": \"two\"}"]]), "{of}");
        assert_eq!(of["failed"][0], "error", "{of}");
        assert!(of["failed"][1].as_str().expect("text").contains("as asked"), "{of}");
        assert!(of["unknown"].as_str().expect("text").contains("is not deployed"), "{of}");
    }
    assert_eq!(found["users"], json!([true, true, true]));
    assert_eq!(
        found["hub"],
        json!({
            "user": "Ada", "by key": "Ada", "nobody": null, "modules": ["agent_echo"], "one": 1, "none": 0,
            "nodes": [[scene.node.node_key().public().node_id(), "127.0.0.1", port]],
            "node": [scene.node.operator(), "127.0.0.1"],
            "servers": [["ws", port]], "secrets": [[scene.node.operator(), "KEY", "sealed"]],
            "by id": "Ada", "no node": null,
        })
    );
    // A key that the SDK has made is one of napt's, and is read back from its file.
    let made: SecretKey = found["made"]["file"].as_str().expect("text").parse().expect("a key");
    assert_eq!(found["made"]["public"], json!([made.public().to_string(), made.public().to_string()]));
    let signature = found["made"]["signature"].as_str().expect("text");
    let user = made.public().user_id();
    made.public().verify_consumer(&user, signature).expect("its signature");
    assert_eq!(found["described"], json!([["first"], ["second"], ["third"], []]));
    assert!(found["wrong password"].as_str().expect("text").contains("Authentication failed"), "{found}");
}

/// Takes turns with its agents, and says which there are.
const CHAT: &str = "\
def run(module_run):
    deployment = module_run['deployment']
    return {
        'prompt': module_run['inputs']['prompt'],
        'agents': [agent['module']['name'] for agent in deployment['agent_deployments']],
        'rounds': deployment['config']['max_rounds'],
    }
";

#[test]
fn the_example_of_the_orchestrator_page_works() {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.napt(&["login"]).expect(0);
    let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str(), "--name", "node2.naptha.ai"]);
    Python::new("agent:simple_chat_agent", "def run(module_run):\n    return 'hm'\n").write(&node.sandbox);
    Python::new("orchestrator:multiagent_chat", CHAT).write(&node.sandbox);
    let configs = "multiagent_chat/multiagent_chat/configs";
    node.sandbox.write(
        format!("{configs}/deployment.json"),
        json!([{ "name": "multiagent_chat", "config": { "max_rounds": 10 }, "agent_deployments": [{ "name": "one" }] }])
            .to_string(),
    );
    let agents = json!([{ "name": "one", "module": { "name": "simple_chat_agent" } }]);
    node.sandbox.write(format!("{configs}/agent_deployments.json"), agents.to_string());
    for folder in ["simple_chat_agent", "multiagent_chat"] {
        node.napt(&["publish", "--no-verify", "-C", folder]).expect(0);
    }
    // What the page leaves out is filled in: imports, values and an async main.
    let script = node.sandbox.write("example.py", include_str!("example.py"));
    let sdk = python::with_sdk().to_str().expect("UTF-8");
    let ran = node.napt(&["exec", "--", sdk, script.to_str().expect("UTF-8")]).expect(0);
    assert!(ran.stdout.contains("CREATED multiagent_chat"), "{}", ran.stdout);
    let answered = ran.stdout.lines().find(|line| line.starts_with("ANSWERED completed")).expect("an answer");
    assert!(answered.contains("\"agents\": [\"simple_chat_agent\", \"simple_chat_agent\"]"), "{answered}");
    assert!(answered.contains("\"rounds\": 2") && answered.contains("i would like to count"), "{answered}");
}
