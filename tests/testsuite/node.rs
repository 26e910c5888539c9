//! The thread through a node: an orchestrator drives two agents and a knowledge base.

use crate::support::node::TestNode;

#[test]
fn a_scaffolded_orchestrator_is_deployed_and_run() {
    let node = TestNode::start(&[]);
    node.napt(&["new", "orchestrator", "debate", "--yes"]).expect(0);
    node.napt(&["deploy", "debate"]).expect(0);
    let ran = node.napt(&["run", "orchestrator:debate", "-p", "prompt='Is it?'", "--message-format", "json"]).expect(0);
    let run = &ran.json()["data"]["run"];
    assert_eq!(run["status"], "completed");
    let turns: serde_json::Value = serde_json::from_str(run["result"].as_str().expect("a result")).expect("JSON");
    let turns = turns.as_array().expect("a list");
    assert_eq!(turns.len(), 10, "5 rounds of 2 agents, read back from the knowledge base");
    assert!(turns.windows(2).all(|pair| pair[0]["text"] != pair[1]["text"]), "the conversation moves on");
}

#[test]
fn two_nodes_do_not_share_a_data_folder() {
    let node = TestNode::start(&[]);
    let ran = node.napt(&["node", "--listen", "127.0.0.1:0"]).expect(6);
    assert!(ran.stderr.contains("another node uses the folder") && ran.stderr.contains("`--data`"), "{}", ran.stderr);
    let ran = node.napt(&["node", "--listen", node.address(), "--data", "other"]).expect(4);
    assert!(ran.stderr.contains("cannot listen on") && ran.stderr.contains("`--listen`"), "{}", ran.stderr);
}
