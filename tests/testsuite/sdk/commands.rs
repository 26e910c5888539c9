//! Commands of the SDK against a node and a registry; those of the hub alone are in `hub_sdk`.

use super::{PASSWORD, Scene, TYPES};
use crate::support::modules::Python;

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
        (&["storage", "db", "create", "t", "-d", "{\"data\":{\"id\":1,\"text\":\"x\"}}"], 0, "True"),
        (&["storage", "db", "read", "t"], 0, "[{'id': 1, 'text': 'x'}]"),
        (&["storage", "db", "update", "t", "-d", "{\"data\":{\"text\":\"y\"}}", "-o", condition], 0, "'data': 1"),
        (&["storage", "db", "list", "t"], 0, "[{'id': 1, 'text': 'y'}]"),
        // The command sends no condition: all would be gone.
        (&["storage", "db", "delete", "t", "-o", condition], 1, "422"),
        (&["storage", "db", "read", "t", "-o", "{\"conditions\":[{\"id\":1}]}"], 0, "'text': 'y'"),
        (&["storage", "db", "read", "nonesuch"], 1, "404"),
        (&["storage", "db", "create", "t"], 1, "Either schema or data"),
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
