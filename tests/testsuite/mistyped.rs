//! Names that are nearly right get the right one told, wherever a name is taken.

use serde_json::json;

use crate::support::{
    Sandbox,
    faults::{Faults, response},
    modules::{self, Python},
    node::TestNode,
    registry::TestRegistry,
};

/// Runs a command that must fail, and tell what was meant.
#[track_caller]
fn meant(sandbox: &Sandbox, arguments: &[&str], what: &str) {
    let ran = sandbox.napt(arguments);
    assert!(!matches!(ran.code, None | Some(0 | 70)), "{arguments:?}: {ran:?}");
    let told = [format!("did you mean `{what}`?"), format!("similar subcommand exists: '{what}'")];
    let of_clap = [format!("similar argument exists: '{what}'"), format!("similar value exists: '{what}'")];
    assert!(told.iter().chain(&of_clap).any(|told| ran.stderr.contains(told)), "{arguments:?}: {}", ran.stderr);
}

#[test]
fn on_the_command_line_and_in_a_workspace() {
    let sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:chatter", "0.1.0", "");
    let cases: [(&[&str], &str); 13] = [
        (&["publsh"], "publish"),
        (&["registry", "fsk"], "fsck"),
        (&["publish", "--workspce"], "--workspace"),
        (&["check", "--color", "alway"], "always"),
        (&["completions", "fsh"], "fish"),
        (&["schema", "manifst"], "manifest"),
        (&["new", "agnt", "x"], "agent"),
        (&["new", "agent", "x", "--yes", "--set", "roel=a"], "role"),
        (&["run", "persna:chatter"], "persona"),
        (&["package", "--module", "chater"], "chatter"),
        (&["explain", "max-ruonds"], "max-rounds"),
        (&["check", "--deny", "max-ruonds"], "max-rounds"),
        (&["config", "get", "regstry"], "registry"),
    ];
    for (arguments, what) in cases {
        meant(&sandbox, arguments, what);
    }
    sandbox.write(
        "napt.toml",
        "[module]\ntype = \"persona\"\nname = \"chatter\"\nversion = \"0.1.0\"\n[lints]\nmax-ruonds = \"warn\"\n",
    );
    let ran = sandbox.napt(&["check"]);
    assert!(
        ran.stdout.contains("did you mean `max-rounds`?") || ran.stderr.contains("did you mean `max-rounds`?"),
        "{ran:?}"
    );
}

#[test]
fn in_a_registry() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.napt(&["login"]).expect(0);
    modules::write(&sandbox, "a", "persona:chatter", "0.1.0", "");
    sandbox.napt(&["publish", "-C", "a"]).expect(0);
    modules::write(&sandbox, "b", "orchestrator:talk", "0.1.0", "");
    meant(&sandbox, &["add", "persona:chater", "-C", "b"], "persona:chatter");
    meant(&sandbox, &["info", "persona:chater"], "persona:chatter");
    meant(&sandbox, &["deploy", "persona:chater", "--no-verify"], "persona:chatter");
    sandbox.write(".napt/config.toml", format!("[registries.internal]\nurl = \"{}\"\n", registry.url));
    meant(&sandbox, &["search", "x", "--registry", "intrnal"], "internal");
}

#[test]
fn on_a_node() {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:chatter", "def run(module_run):\n    return 'hm'\n"));
    for command in ["rollback", "undeploy", "status"] {
        meant(&node.sandbox, &[command, "chater"], "chatter");
        meant(&node.sandbox, &[command, "Chatter"], "chatter");
        let ran = node.napt(&[command, "orchestra"]);
        assert!(ran.stderr.contains("its deployments are chatter") && ran.code == Some(1), "{ran:?}");
    }
    meant(&node.sandbox, &["run", "agent:chater"], "agent:chatter");
    meant(&node.sandbox, &["run", "chater"], "agent:chatter");
    meant(&node.sandbox, &["run", "tool:chatter"], "agent:chatter");
}

#[test]
fn a_run_is_known_by_the_beginning_of_its_id_if_that_is_its_alone() {
    let ids =
        ["01970000000000000000000000000001", "01970000000000000000000000000002", "01980000000000000000000000000003"];
    let view = |id: &str| {
        json!({
            "id": id, "root": id, "module": "agent:a", "consumer": "user:x", "status": "completed", "inputs": {},
            "created": "2026-01-01T00:00:00Z",
        })
    };
    let node = Faults::start(move |_, head| {
        let path = head.split(' ').nth(1).expect("a path").trim_start_matches("/v1/runs").to_owned();
        let body = match path.trim_start_matches('/').split(['?', '/']).next() {
            Some("") => ids.iter().map(|id| view(id)).collect(),
            Some(id) if ids.contains(&id) => view(id),
            _ => {
                return response(
                    "404 Not Found",
                    "",
                    &json!({ "status": 404, "detail": "there is no such run" }).to_string(),
                );
            }
        };
        response("200 OK", "Content-Type: application/json\r\n", &body.to_string())
    });
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_NODE", node.url.as_str());
    for command in ["status", "logs", "cancel"] {
        let ran = sandbox.napt(&[command, "0197"]).expect(2);
        let expected = format!("error: 2 run ids begin with `0197`\n\nhint: type more of it: {}, {}\n", ids[0], ids[1]);
        assert_eq!(ran.stderr, expected, "{command}");
        let ran = sandbox.napt(&[command, "0155"]).expect(1);
        assert!(ran.stderr.contains("there is no such run"), "{}", ran.stderr);
        if command != "logs" {
            let ran = sandbox.napt(&[command, "0198", "--message-format", "json"]).expect(0);
            assert_eq!(ran.json()["data"]["run"]["id"], ids[2], "{command}");
        }
    }
}
