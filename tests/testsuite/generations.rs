//! Modules of all generations run as they are: their calls, their classes, and what their SDKs had once.

use napt::wire::RunStatus;
use serde_json::{Value, json};

use crate::support::{
    modules::copy_fixtures,
    node::{TestNode, User},
};

/// A node with modules of `tests/fixtures/modules`; the first one is deployed.
fn node_with(names: &[&str], sdk: &str) -> (TestNode, User) {
    let node = TestNode::start(&[]);
    copy_fixtures(&node.sandbox, names, sdk);
    node.napt(&["deploy", names[0], "--no-verify"]).expect(0);
    let user = node.user();
    (node, user)
}

/// The result of a run that must succeed.
#[track_caller]
fn result(user: &User, module: &str, inputs: Value) -> Value {
    let run = user.run(module, inputs);
    assert_eq!(run.status, RunStatus::Completed, "{:?}\n{}", run.error, user.log(&run.id));
    let text = run.result.expect("a result");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[test]
fn planner_of_2024() {
    let (_node, user) = node_with(&["planner", "initiator", "executor", "finalizer"], "");
    let done = result(&user, "orchestrator:planner", json!({ "objective": "a cake" }));
    let results = ["done: think of a cake", "done: buy a cake", "done: bake a cake"];
    assert_eq!(done, json!({ "objective": "a cake", "results": results, "by": "finalizer" }));
}

fn talk(sdk: &str) {
    let (_node, user) = node_with(&["talk", "talker", "turns"], sdk);
    let turns = result(&user, "orchestrator:talk", json!({ "prompt": "begin" }));
    let turns = turns.as_array().expect("rows");
    assert_eq!(turns.len(), 20, "{turns:?}");
    assert_eq!(turns[0], json!({ "turn": 1, "words": "Ada says 1" }));
    assert_eq!(turns[19], json!({ "turn": 20, "words": "Bob says 20" }));
}

#[test]
fn talk_of_0_2_on_sdk_1() {
    talk("1.0.5");
}

#[test]
fn talk_of_0_2_on_its_own_sdk() {
    talk("0.2.2");
}

#[test]
fn contest_of_1_x() {
    let (_node, user) = node_with(&["contest", "guesser"], "1.0.5");
    for (agents, winner) in [(2, 0), (10, 9)] {
        let won = result(&user, "orchestrator:contest", json!({ "agents": agents, "seconds": 0.1 }));
        assert_eq!((&won["agents"], &won["winner"]), (&json!(agents), &json!(winner)), "{won}");
    }
}
