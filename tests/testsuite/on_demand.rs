//! `create` and `run` of what is not deployed, as Naptha's clients do it.

use std::process::Command;

use napt::identity::SecretKey;
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{send, signed},
    modules::{Python, write, write_python},
    node::{TestNode, cache},
    python::{self, expect_success},
    registry::TestRegistry,
    wait_for,
};

/// Says what it got, and who it is.
const AGENT: &str = "\
def run(module_run):
    config = module_run['deployment'].get('config') or {}
    return f\"{config.get('config_name')} {module_run['inputs'].get('word')}\"
";

/// Calls each of its agents by the SDK.
const CALLER: &str = r#"
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    said = []
    for agent in me.deployment.agent_deployments:
        call = AgentRunInput(consumer_id=me.consumer_id, inputs=me.inputs, deployment=agent, signature="x")
        ended = await Agent().run(call)
        said.append(ended.results[0] if ended.results else ended.error_message)
    return said
"#;

/// Publishes modules as a user of their own.
struct Author(Sandbox);

impl Author {
    fn new(registry: &TestRegistry) -> Self {
        let sandbox = registry.sandbox();
        sandbox.napt(&["login", "--quiet"]).expect(0);
        Author(sandbox)
    }

    fn publish(&self, folder: &str) {
        self.0.write(format!("{folder}/README.md"), "# A module\n");
        self.0.napt(&["-C", folder, "publish", "--no-verify", "--quiet"]).expect(0);
    }

    fn python(&self, module: &Python<'_>) {
        module.write(&self.0);
        self.publish(module.id.split_once(':').expect("type:name").1);
    }
}

/// An open node on a registry.
fn open_node(registry: &TestRegistry) -> TestNode {
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    TestNode::start_in(sandbox, &["--open"])
}

/// What came of each step that the SDK took.
fn steps(url: &str, key: &SecretKey, steps: Value) -> Vec<Value> {
    let mut command = Command::new(python::with_sdk());
    command.args(["-c", include_str!("sdk_steps.py"), url, &key.to_hex(), &steps.to_string()]);
    let output = expect_success(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().filter_map(|line| line.strip_prefix("FOUND "));
    found.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn deployments(node: &TestNode) -> Vec<Value> {
    let status = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    status["data"]["deployments"].as_array().expect("a list").clone()
}

#[test]
fn a_published_module_is_created_and_run_without_a_deploy() {
    let registry = TestRegistry::start();
    let author = Author::new(&registry);
    author.python(&Python::new("agent:worker", AGENT));
    let node = open_node(&registry);
    let found = steps(
        &node.url,
        &SecretKey::generate(),
        json!([
            { "do": "run", "module": "agent:worker", "inputs": { "word": "one" } },
            { "do": "create", "module": "agent:worker" },
            { "do": "run", "module": "agent:worker", "inputs": { "word": "two" } },
            { "do": "create", "module": "agent:worxer" },
            { "do": "run", "module": "agent:worxer" },
        ]),
    );
    assert_eq!((&found[0]["status"], &found[0]["results"]), (&json!("completed"), &json!(["None one"])), "{found:?}");
    assert_eq!(found[1]["module"]["module_version"], "0.1.0", "{found:?}");
    assert!(found[1]["node"]["ports"].is_array(), "{found:?}");
    assert_eq!(found[2]["results"], json!(["None two"]), "{found:?}");
    for unknown in &found[3..] {
        let told = unknown["failed"].as_str().expect("a refusal");
        assert!(told.contains("`agent:worxer` is not deployed on this node, and not in its registry"), "{told}");
        assert!(told.contains("did you mean `agent:worker`?"), "{told}");
    }
}
