//! Two nodes: a deployment that spans both, and who is believed by whom.

use serde_json::{Value, json};

use crate::support::{modules::write_python, node::TestNode};

/// A scaffolded orchestrator, whose critic and knowledge base are on the second node.
fn scaffolded(first: &TestNode, second: &TestNode) {
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
}

fn runs(node: &TestNode, url: &str) -> Vec<Value> {
    let listed = node.napt(&["runs", "--all", "--limit", "200", "--node", url, "--message-format", "json"]).expect(0);
    listed.json()["data"]["runs"].as_array().expect("a list").clone()
}

#[test]
fn a_deployment_spans_two_nodes() {
    let (first, second) = TestNode::pair();
    scaffolded(&first, &second);
    first.napt(&["deploy", "debate"]).expect(0);
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
        assert_eq!((&run["consumer"], &run["status"]), (&json!(first.user()), &json!("completed")), "{run}");
    }
}
