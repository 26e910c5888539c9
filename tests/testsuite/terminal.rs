//! What a person at a terminal sees: bars while something is long, and a terminal as it was when it is over.

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    faults::{Faults, Reply, response},
    http::send,
    modules,
    node::TestNode,
    registry::TestRegistry,
    terminal,
};

/// What takes the cursor away, what gives it back, and what empties a line.
const HIDE: &str = "\x1b[?25l";
const SHOW: &str = "\x1b[?25h";
const CLEAR: &str = "\x1b[2K";

/// Bytes that cannot be compressed.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(count).collect()
}

/// A module of 3 MiB.
fn large_module() -> Sandbox {
    let sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    for part in 0..3 {
        sandbox.write(format!("part{part}.bin"), noise(1 << 20));
    }
    sandbox
}

/// A registry that knows nothing, and takes archives without ever answering.
fn hanging_registry() -> Faults {
    Faults::start(|_, head| {
        let problem = json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": "nothing here" });
        let me = json!({
            "user": "user:x",
            "token": {
                "id": "1", "name": "t", "verbs": ["publish"], "modules": "*",
                "created": "2026-01-01T00:00:00Z", "expires": "2036-01-01T00:00:00Z",
            },
        });
        if head.starts_with("PUT ") {
            Reply::Hang
        } else if head.starts_with("GET /api/v1/me ") {
            response("200 OK", "Content-Type: application/json\r\n", &me.to_string())
        } else {
            response("404 Not Found", "Content-Type: application/problem+json\r\n", &problem.to_string())
        }
    })
}

/// Nothing is left of a bar: its line was emptied after it was last drawn, and the cursor is there.
#[track_caller]
fn is_restored(shown: &str, bar: &str) {
    let last = shown.rfind(bar).unwrap_or_else(|| panic!("no `{bar}` in {shown:?}"));
    assert!(shown[last..].contains(CLEAR), "{shown:?}");
    assert!(shown.rfind(HIDE).is_none_or(|hidden| shown[hidden..].contains(SHOW)), "{shown:?}");
}

#[test]
fn a_terminal_has_bars_and_keeps_the_lines_of_the_steps() {
    let shown = terminal::run(&large_module(), &["package", "--color", "never"], &[]).expect(0).stdout;
    is_restored(&shown, "Packaging [");
    assert!(shown.contains("/3.00 MiB"), "{shown:?}");
    assert!(shown.contains("   Packaging persona:ada@0.1.0 ") && shown.contains("    Packaged "), "{shown:?}");
}

#[test]
fn nothing_is_drawn_for_quiet_json_a_dumb_terminal_or_no_terminal() {
    let mut sandbox = large_module();
    for arguments in [&["package", "--quiet"][..], &["package", "--message-format", "json"]] {
        let shown = terminal::run(&sandbox, arguments, &[]).expect(0).stdout;
        assert!(!shown.contains("Packaging ["), "{shown:?}");
    }
    let ran = sandbox.napt(&["package"]).expect(0);
    assert!(
        !ran.stderr.contains(['[', '\x1b', '\r']) && ran.stderr.contains("Packaging persona:ada"),
        "{}",
        ran.stderr
    );
    sandbox.set("TERM", "dumb");
    let shown = terminal::run(&sandbox, &["package"], &[]).expect(0).stdout;
    assert!(!shown.contains(['[', '\x1b']) && shown.contains("Packaging persona:ada"), "{shown:?}");
}

#[test]
fn ctrl_c_in_an_upload_leaves_the_terminal_as_it_was() {
    let (registry, mut sandbox) = (hanging_registry(), large_module());
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0".repeat(48)));
    let ran = terminal::run(&sandbox, &["publish", "--color", "never"], &[("Uploading [", "\u{3}")]).expect(130);
    is_restored(&ran.stdout, "Uploading [");
    assert!(ran.stdout.contains("error: interrupted"), "{}", ran.stdout);
}

#[test]
fn a_narrow_terminal_and_one_that_changes_its_size_are_no_trouble() {
    let (registry, mut sandbox) = (hanging_registry(), large_module());
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0".repeat(48)));
    let answers: [(&str, Value); 2] = [("Packaging", 20.into()), ("Uploading [", "\u{3}".into())];
    for columns in [1, 10, 40, 400] {
        let ran = terminal::run_in(columns, &sandbox, &["publish", "--color", "never"], &answers).expect(130);
        assert!(!ran.stdout.contains("panicked"), "{}", ran.stdout);
        is_restored(&ran.stdout, "Uploading [");
    }
}

/// A registry with `persona:ada` of 3 MiB, and the sandbox of a module that needs it.
fn large_dependency() -> (TestRegistry, Sandbox) {
    let registry = TestRegistry::start();
    let mut owner = large_module();
    owner.set("NAPT_REGISTRY", registry.url.as_str());
    owner.napt(&["login", "--quiet"]).expect(0);
    owner.napt(&["publish", "--no-verify", "--quiet"]).expect(0);
    let sandbox = registry.sandbox();
    modules::write(&sandbox, "bob", "persona:bob", "0.1.0", "[dependencies]\n\"persona:ada\" = \"^0.1\"\n");
    (registry, sandbox)
}

#[test]
fn a_download_has_a_bar_with_its_size() {
    let (_registry, sandbox) = large_dependency();
    let shown = terminal::run(&sandbox, &["-C", "bob", "fetch", "--color", "never"], &[]).expect(0).stdout;
    is_restored(&shown, "Downloading [");
    assert!(shown.contains("/3.00 MiB"), "{shown:?}");
    std::fs::remove_dir_all(sandbox.home().join("napt/cache")).expect("what was fetched");
    let ran = sandbox.napt(&["-C", "bob", "fetch"]).expect(0);
    assert!(!ran.stderr.contains(['[', '\x1b', '\r']) && ran.stderr.contains("Downloading"), "{}", ran.stderr);
}

#[test]
fn an_upload_to_a_node_has_a_bar() {
    let problem = json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": "not here" });
    let info = json!({ "id": "node:x", "version": "0.1.0", "open": false, "models": [], "registry": "" });
    let node = Faults::start(move |_, head| {
        if head.starts_with("PUT ") {
            Reply::Hang
        } else if head.starts_with("GET /v1/node ") {
            response("200 OK", "Content-Type: application/json\r\n", &info.to_string())
        } else {
            response("404 Not Found", "Content-Type: application/problem+json\r\n", &problem.to_string())
        }
    });
    let sandbox = large_module();
    let arguments = ["deploy", "--no-verify", "--color", "never", "--node", node.url.as_str()];
    let shown = terminal::run(&sandbox, &arguments, &[("Uploading [", "\u{3}")]).expect(130).stdout;
    is_restored(&shown, "Uploading [");
}

#[test]
fn what_a_node_fetches_for_a_deployment_has_a_bar() {
    let (registry, sandbox) = large_dependency();
    let url = registry.url.to_string();
    let mut node = TestNode::start_in(sandbox, &["--registry", &url]);
    node.sandbox.set("NAPT_NODE", &node.url.clone());
    let arguments = ["deploy", "bob", "--no-verify", "--color", "never"];
    let shown = terminal::run(&node.sandbox, &arguments, &[]).expect(0).stdout;
    is_restored(&shown, "Fetching [");
    assert!(shown.contains("/3.00 MiB") && shown.contains("    Fetching persona:ada 0.1.0"), "{shown:?}");

    // Who is no terminal is told nothing of it, nor how often.
    let second = TestNode::start(&["--registry", &url]);
    std::fs::rename(node.sandbox.work().join("bob"), second.sandbox.work().join("bob")).expect("moved");
    let ran = second.napt(&["deploy", "bob", "--no-verify", "--registry", &url]).expect(0);
    assert_eq!(ran.stderr.matches("Fetching").count(), 1, "{}", ran.stderr);
}

#[test]
fn what_a_later_node_tells_besides_is_no_trouble() {
    let (registry, sandbox) = large_dependency();
    let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str()]);
    node.napt(&["deploy", "bob", "--no-verify", "--quiet"]).expect(0);
    let authorization = format!("Bearer {}", node.token(600));
    let answer = send("GET", &format!("{}/v1/deployments/bob", node.url), &[("Authorization", &authorization)], "");
    let ready = json!({ "kind": "ready", "deployment": answer.json()[0], "unchanged": false });
    let events = format!("data: {}\n\ndata: {ready}\n\n", json!({ "kind": "weather", "sun": true }));
    let later = Faults::start(move |_, _| response("200 OK", "Content-Type: text/event-stream\r\n", &events));
    node.napt(&["rollback", "bob", "1", "--node", later.url.as_str()]).expect(0);
}
