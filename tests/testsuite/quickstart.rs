//! The first thing that a newcomer types.

use std::net::TcpListener;

use crate::support::{Sandbox, node::cache};

/// Fails unless a quickstart ran and has a conversation of 10 turns in it.
#[track_caller]
fn conversation(data: &serde_json::Value) {
    let steps = data["steps"].as_array().expect("steps");
    let run = steps
        .iter()
        .find(|step| step["command"].as_str().is_some_and(|typed| typed.starts_with("napt run ")))
        .expect("a run");
    let result = run["data"]["run"]["result"].as_str().expect("a result");
    let turns: serde_json::Value = serde_json::from_str(result).expect("JSON");
    assert_eq!(turns.as_array().map(Vec::len), Some(10));
}

#[test]
fn it_walks_the_whole_life_twice_and_leaves_no_server() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let first = sandbox.napt(&["quickstart", "try", "--message-format", "json"]).expect(0).json();
    conversation(&first["data"]);
    let typed: Vec<&str> =
        first["data"]["steps"].as_array().expect("steps").iter().filter_map(|step| step["command"].as_str()).collect();
    for verb in ["new", "check", "package", "login", "publish", "deploy", "run", "runs"] {
        assert!(typed.iter().any(|typed| typed.starts_with(&format!("napt {verb}"))), "{verb} in {typed:?}");
    }
    // Its servers would hold their data folders.
    let second = sandbox.napt(&["quickstart", "try", "--message-format", "json"]).expect(0).json();
    conversation(&second["data"]);
}

#[test]
fn taken_ports_are_no_obstacle_and_every_command_is_shown() {
    // Whether or not these two can be had, the usual ports are taken now.
    let _taken = [TcpListener::bind("127.0.0.1:7080"), TcpListener::bind("127.0.0.1:7001")];
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let ran = sandbox.napt(&["quickstart"]).expect(0);
    for shown in [
        "$ napt new orchestrator debate",
        "$ napt publish --workspace",
        "$ napt deploy orchestrator:debate",
        "$ napt run",
    ] {
        assert!(ran.stderr.contains(shown), "{shown} in\n{}", ran.stderr);
    }
    let (_, farewell) = ran.stderr.split_once("No server is left running").expect("a farewell");
    // What it says to type is for the ports that could be had.
    for part in [
        "registry --listen 127.0.0.1:",
        "node --listen 127.0.0.1:",
        " --registry http://",
        "napt deploy --node http://",
    ] {
        assert!(farewell.contains(part), "{part} in\n{farewell}");
    }
    assert!(ran.stdout.contains("\"round\": 5"), "{}", ran.stdout);
}

#[test]
fn a_file_in_the_way_is_a_clear_error() {
    let sandbox = Sandbox::new();
    sandbox.write("napt-quickstart", "");
    let ran = sandbox.napt(&["quickstart"]).expect(1);
    assert!(ran.stderr.contains("napt-quickstart"), "{}", ran.stderr);
}
