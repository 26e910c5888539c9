//! Commands of the SDK against a node and a registry; those of the hub alone are in `hub_sdk`.

use super::{PASSWORD, Scene, TYPES};
use crate::support::modules::Python;

/// `bafkrei…` of `hello world`, as other implementations give it.
const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

#[test]
fn signing_up_and_in() {
    let scene = Scene::new();
    scene.naptha(&[
        (&["agents"], 1, "Authentication failed"),
        (&["signup"], 0, "Signing up user: Ada"),
        // Again it signs in.
        (&["signup"], 0, "Sign in successful!"),
        (&["agents"], 0, "No agent found."),
        (&[], 0, "usage: naptha"),
    ]);
    let output = scene.python().args(["-m", "naptha_sdk.cli", "agents"]).env("HUB_PASSWORD", "wrong").output();
    let output = output.expect("Python starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && printed.contains("Authentication failed"), "{printed}");
    assert!(!printed.contains(PASSWORD));
}

#[test]
fn every_type_is_created_and_run_on_demand() {
    let scene = Scene::signed_up();
    scene.publish_echoes();
    for kind in TYPES {
        let (id, name) = (format!("{kind}:{kind}_echo"), format!("'name': '{kind}_echo'"));
        let unknown = format!("{kind}:nobody");
        scene.naptha(&[
            (&["create", &id], 0, &name),
            (&["run", &id, "-p", "word='two words'"], 0, "completed"),
            (&["run", &id, "-p", "{\"fail\": true}"], 0, "as asked"),
            (&["create", &unknown], 1, "404"),
            (&["run", &unknown], 1, "is not deployed on this node"),
        ]);
    }
    // Without a type it is an agent.
    scene.naptha(&[(&["run", "agent_echo", "-p", "word=one"], 0, "{\"word\": \"one\"}")]);
}

#[test]
fn models_are_listed_and_asked() {
    let scene = Scene::signed_up();
    scene.naptha(&[
        (&["inference", "models"], 0, "napt/echo"),
        (&["inference", "completions", "hello there", "-m", "napt/echo"], 0, "hello there"),
        (&["inference", "completions", "hello there", "-m", "nonesuch"], 1, "404"),
    ]);
}

// Naptha's defects: E1
#[test]
fn tables_are_made_read_changed_and_not_dropped() {
    let scene = Scene::signed_up();
    let schema = "{\"schema\":{\"id\":{\"type\":\"integer\",\"primary_key\":true},\"text\":{\"type\":\"text\"}}}";
    let condition = "{\"condition\":{\"id\":1}}";
    scene.naptha(&[
        (&["storage", "db", "create", "t", "-s", schema], 0, "data=True"),
        (&["storage", "db", "create", "t", "-d", "{\"data\":{\"id\":1,\"text\":\"x\"}}"], 0, "'data': True"),
        (&["storage", "db", "read", "t"], 0, "[{'id': 1, 'text': 'x'}]"),
        (&["storage", "db", "update", "t", "-d", "{\"data\":{\"text\":\"y\"}}", "-o", condition], 0, "'data': 1"),
        (&["storage", "db", "list", "t"], 0, "[{'id': 1, 'text': 'y'}]"),
        (&["storage", "db", "search", "t", "-d", "\"Y\""], 0, "data={'id': 1, 'text': 'y'}"),
        // The command sends no condition: all would be gone.
        (&["storage", "db", "delete", "t", "-o", condition], 1, "a delete needs a `condition`"),
        (&["storage", "db", "read", "t", "-o", "{\"conditions\":[{\"id\":1}]}"], 0, "'text': 'y'"),
        (&["storage", "db", "read", "nonesuch"], 1, "'404 Not Found'"),
        (&["storage", "db", "create", "t"], 1, "Either schema or data"),
    ]);
}

#[test]
fn files_are_kept_read_listed_found_and_deleted() {
    let scene = Scene::signed_up();
    scene.node.sandbox.write("hello.txt", "hello world");
    let gone = "'404 Not Found'";
    scene.naptha(&[
        (&["storage", "fs", "create", "a", "-f", "hello.txt"], 0, "'message': 'Files written to storage'"),
        (&["storage", "fs", "create", "a"], 1, "Either schema or data"),
        (&["storage", "fs", "read", "a/hello.txt"], 0, "File downloaded to: ./downloads/hello.txt"),
        (&["storage", "fs", "list", "a"], 0, "'path': 'a/hello.txt'"),
        (&["storage", "fs", "search", "a", "-d", "\"WORLD\""], 0, "data='hello world'"),
        (&["storage", "fs", "delete", "a/hello.txt"], 0, "result: True"),
        (&["storage", "fs", "delete", "a/hello.txt"], 1, gone),
        (&["storage", "fs", "read", "a/hello.txt"], 1, gone),
    ]);
    let downloaded = || std::fs::read_to_string(scene.node.sandbox.work().join("downloads/hello.txt"));
    assert_eq!(downloaded().expect("a file"), "hello world");
}

#[test]
fn contents_are_kept_read_listed_found_and_deleted() {
    let scene = Scene::signed_up();
    scene.node.sandbox.write("hello.txt", "hello world");
    let gone = "'404 Not Found'";
    scene.naptha(&[
        (&["storage", "ipfs", "create", "x", "-f", "hello.txt"], 0, &format!("'ipfs_hash': '{HELLO}'")),
        (&["storage", "ipfs", "create", "x"], 1, "Either schema or data"),
        (&["storage", "ipfs", "read", HELLO], 0, &format!("File downloaded to: ./downloads/{HELLO}")),
        (&["storage", "ipfs", "list", HELLO], 0, &format!("'path': '{HELLO}'")),
        (&["storage", "ipfs", "search", "x", "-d", "\"WORLD\""], 0, "data='hello world'"),
        (&["storage", "ipfs", "delete", HELLO], 0, "result: True"),
        (&["storage", "ipfs", "delete", HELLO], 1, gone),
        (&["storage", "ipfs", "read", HELLO], 1, gone),
    ]);
}

#[test]
fn settings_of_a_run_arrive() {
    let scene = Scene::signed_up();
    let code = "def run(module_run):\n    return module_run['deployment']['config']\n";
    scene.publish_module(&Python::new("orchestrator:looker", code));
    let settings = "{\"config_name\": \"mine\", \"max_rounds\": 7}";
    scene.naptha(&[
        (&["run", "orchestrator:looker", "-p", "x=y", "--config", settings], 0, "\"max_rounds\": 7"),
        (&["run", "orchestrator:looker", "-p", "x=y", "--config", "max_rounds=many"], 1, "max_rounds"),
    ]);
}
