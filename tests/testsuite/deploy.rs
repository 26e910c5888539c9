//! `napt deploy`: what it sends, and what it says when it cannot.

use crate::support::{modules, node::TestNode};

#[test]
fn what_path_dependencies_name_by_path_is_sent_too() {
    let node = TestNode::start(&[]);
    let needs = |id: &str, folder: &str| format!("[dependencies]\n\"{id}\" = {{ path = \"../{folder}\" }}\n");
    modules::write(&node.sandbox, "a", "persona:first", "0.1.0", &needs("persona:second", "b"));
    modules::write(&node.sandbox, "b", "persona:second", "0.1.0", &needs("persona:third", "c"));
    modules::write(&node.sandbox, "c", "persona:third", "0.1.0", "");
    let ran = node.napt(&["deploy", "a", "--message-format", "json"]).expect(0);
    let modules = ran.json()["data"]["deployment"]["modules"].as_array().map(Vec::len);
    assert_eq!(modules, Some(3), "{}", ran.stdout);
}

#[test]
fn a_run_of_what_is_not_deployed_tells_what_is() {
    let node = TestNode::start(&[]);
    modules::write(&node.sandbox, "a", "persona:debate", "0.1.0", "");
    node.napt(&["deploy", "a"]).expect(0);
    // A bare name is an agent's.
    for (given, hint) in
        [("debate", "did you mean `persona:debate`?"), ("persona:debaet", "did you mean `persona:debate`?")]
    {
        let ran = node.napt(&["run", given]).expect(1);
        assert!(ran.stderr.contains("is not deployed on this node"), "{}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
    let ran = node.napt(&["run", "tool:hammer"]).expect(1);
    assert!(!ran.stderr.contains("did you mean"), "{}", ran.stderr);
}
