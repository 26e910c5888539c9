//! From a project to a registry.

use std::{process::Stdio, time::Duration};

use jiff::SignedDuration;
use napt::identity::SecretKey;
use napt_registry_client::{TokenRequest, Verb};

use crate::support::{
    Sandbox,
    faults::{Faults, Reply, response},
    git,
    modules::write as module,
    registry::TestRegistry,
};

#[test]
fn publish_shows_the_version_in_the_index_and_again_does_no_harm() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    let ran = sandbox.napt(&["publish", "--timeout", &u64::MAX.to_string()]).expect(0);
    assert_eq!(ran.stdout, "persona:ada@0.1.0: published\n");
    let ran = sandbox.napt(&["publish"]).expect(0);
    assert_eq!(ran.stdout, "persona:ada@0.1.0: already published\n");

    let client = registry.client(None);
    let entries = registry.block_on(client.index("persona", "ada")).expect("an index").expect("a module");
    assert_eq!(entries.len(), 1);
    let into = sandbox.work().join("ada.napt");
    let download = client.download("persona", "ada", &entries[0].version, &entries[0].sha256, &into);
    registry.block_on(download).expect("an archive");
    assert_eq!(std::fs::metadata(&into).expect("a file").len(), entries[0].size);
}

#[test]
fn other_bytes_under_a_published_version_are_a_conflict() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish"]).expect(0);
    let before = (registry.blobs(), registry.index("persona:ada"));
    sandbox.write("data.json", "{\"changed\": true}");
    for arguments in [&["publish"][..], &["publish", "--dry-run"]] {
        let ran = sandbox.napt(arguments).expect(6);
        assert!(ran.stderr.contains("with other bytes") && ran.stderr.contains("raise the version"), "{}", ran.stderr);
    }
    assert_eq!((registry.blobs(), registry.index("persona:ada")), before);
}

#[test]
fn without_a_login_nothing_is_sent() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let ran = sandbox.napt(&["publish"]).expect(5);
    assert!(ran.stderr.contains("napt login"), "{}", ran.stderr);
    sandbox.set("NAPT_TOKEN", "napt_nonsense");
    let ran = sandbox.napt(&["publish"]).expect(5);
    assert!(ran.stderr.contains("`NAPT_TOKEN` does not hold a token"), "{}", ran.stderr);
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0".repeat(48)));
    let ran = sandbox.napt(&["--message-format", "json", "publish"]).expect(5);
    assert_eq!(ran.json()["error"]["kind"], "auth");
    assert!(registry.blobs().is_empty());
}

#[test]
fn a_logout_ends_the_token() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    let credentials = sandbox.home().join("napt/config/credentials.toml");
    let text = std::fs::read_to_string(&credentials).expect("credentials");
    let token = text.split('"').find(|part| part.starts_with("napt_")).expect("a token");
    sandbox.napt(&["logout"]).expect(0);
    let error = registry.block_on(registry.client(Some(token)).me()).expect_err("it has ended");
    assert!(error.to_string().contains("revoked"), "{error}");
    sandbox.napt(&["publish"]).expect(5);
    sandbox.napt(&["logout"]).expect(0);
}

#[test]
fn a_dry_run_sends_nothing_and_shows_all_problems() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    module(&sandbox, "m/a", "agent:a", "0.1.0", "[dependencies]\n\"agent:b\" = \"^2\"\n\"tool:none\" = \"1\"\n");
    module(&sandbox, "m/b", "agent:b", "0.1.0", "[dependencies]\n\"agent:a\" = { path = \"../a\" }\n");
    let ran = sandbox.napt(&["publish", "--no-verify", "--workspace", "--dry-run"]).expect(1);
    for part in [
        "5 problems",
        "`agent:a` wants `agent:b` ^2, but the workspace has 0.1.0",
        "`agent:a` wants `tool:none` ^1, and the registry has no such version",
        "`agent:b` depends on `agent:a` by path or git, without a version",
        "depend on each other: `agent:a` → `agent:b` → `agent:a`",
        "not signed in",
    ] {
        assert!(ran.stderr.contains(part), "{part}\n{}", ran.stderr);
    }
    module(&sandbox, "m/a", "agent:a", "0.1.0", "");
    module(
        &sandbox,
        "m/b",
        "agent:b",
        "0.1.0",
        "[dependencies]\n\"agent:a\" = { path = \"../a\", version = \"0.1\" }\n",
    );
    sandbox.napt(&["login"]).expect(0);
    let ran = sandbox.napt(&["publish", "--no-verify", "--workspace", "--dry-run"]).expect(0);
    assert_eq!(ran.stdout, "agent:a@0.1.0: would be published\nagent:b@0.1.0: would be published\n");
    assert!(registry.blobs().is_empty());
}

#[test]
fn a_workspace_is_published_in_order_and_a_second_call_goes_on() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    module(&sandbox, "m/a", "agent:a", "0.1.0", "[dependencies]\n\"kb:z\" = \"1\"\n");
    module(&sandbox, "m/o", "orchestrator:o", "0.1.0", "[dependencies]\n\"agent:a\" = \"0.1\"\n\"kb:z\" = \"1\"\n");
    module(&sandbox, "m/p", "persona:p", "0.1.0", "publish = false\n");
    module(&sandbox, "m/z", "kb:z", "1.2.0", "");
    sandbox.napt(&["login"]).expect(0);

    let ran = sandbox.napt(&["-C", "m/a", "publish", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("napt publish --workspace"), "{}", ran.stderr);
    let ran = sandbox.napt(&["-C", "m/p", "publish", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("publish = false"), "{}", ran.stderr);
    let ran = sandbox.napt(&["publish", "--no-verify"]).expect(2);
    assert!(ran.stderr.contains("--workspace"), "{}", ran.stderr);

    // As if an earlier call had come so far.
    sandbox.napt(&["-C", "m/z", "publish", "--no-verify"]).expect(0);
    let ran = sandbox.napt(&["--message-format", "json", "publish", "--no-verify", "--workspace"]).expect(0).json();
    let done: Vec<_> = ran["data"]["modules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|module| format!("{} {}", module["id"], module["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(done, ["kb:z already_published", "agent:a published", "orchestrator:o published"]);
    assert!(registry.index("persona:p").is_none());
    let ran = sandbox.napt(&["publish", "--no-verify", "--workspace"]).expect(0);
    assert_eq!(ran.stdout.matches("already published").count(), 3, "{}", ran.stdout);
}

#[test]
fn a_member_that_did_not_change_is_skipped_after_commits_to_others() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    let root = sandbox.work();
    let published = || {
        let ran = sandbox.napt(&["--message-format", "json", "publish", "--no-verify", "--workspace"]).expect(0).json();
        let modules = ran["data"]["modules"].as_array().expect("a list").clone();
        modules.into_iter().map(|mut module| (module["outcome"].take(), module["sha256"].take())).collect::<Vec<_>>()
    };
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    module(&sandbox, "m/a", "agent:a", "0.1.0", "");
    module(&sandbox, "m/b", "agent:b", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    git(&root, &["init", "-q"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "first"]);
    let first = published();

    module(&sandbox, "m/a", "agent:a", "0.2.0", "");
    git(&root, &["commit", "-q", "-a", "-m", "agent:a 0.2.0"]);
    let second = published();
    assert_eq!((&second[0].0, &second[1].0), (&"published".into(), &"already_published".into()));
    assert_eq!(second[1].1, first[1].1);

    // The same bytes, not only the same content.
    sandbox.napt(&["-C", "m/b", "package", "--no-verify"]).expect(0);
    let (sha256, _) = napt::package::sha256_file(&root.join("target/package/b-0.1.0.napt")).expect("an archive");
    assert_eq!(first[1].1, sha256);
}

#[test]
fn another_recorded_commit_is_no_conflict() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    let root = sandbox.work();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish"]).expect(0);
    let blobs = registry.blobs();
    git(&root, &["init", "-q"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "first"]);
    let ran = sandbox.napt(&["publish"]).expect(0);
    assert_eq!(ran.stdout, "persona:ada@0.1.0: already published\n");
    assert_eq!(registry.blobs(), blobs);
    sandbox.write("more.json", "{}");
    let ran = sandbox.napt(&["publish"]).expect(3);
    assert!(ran.stderr.contains("1 file in the working directory is not committed\n  more.json"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`--allow-dirty`"), "{}", ran.stderr);
    sandbox.napt(&["publish", "--allow-dirty"]).expect(6);
}

#[test]
fn a_list_of_registries_is_honoured() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.napt(&["login"]).expect(0);
    module(&sandbox, ".", "persona:ada", "0.1.0", "publish = [\"registry.example\"]\n");
    let ran = sandbox.napt(&["publish"]).expect(1);
    assert!(ran.stderr.contains("may be published to `registry.example` only"), "{}", ran.stderr);
    let list = format!("publish = [\"registry.example\", \"{}\"]\n", registry.url);
    module(&sandbox, ".", "persona:ada", "0.1.0", &list);
    sandbox.napt(&["publish"]).expect(0);
}

#[test]
fn a_foreign_module_is_refused_with_a_way_out() {
    let registry = TestRegistry::start();
    for (sandbox, version, code) in [(registry.sandbox(), "0.1.0", 0), (registry.sandbox(), "0.2.0", 5)] {
        module(&sandbox, ".", "persona:ada", version, "");
        sandbox.napt(&["login"]).expect(0);
        let ran = sandbox.napt(&["publish"]).expect(code);
        assert_eq!(ran.stderr.contains("`persona:ada` belongs to another user"), code == 5, "{}", ran.stderr);
    }
}

#[test]
fn nothing_is_sent_when_one_of_several_would_be_refused() {
    let registry = TestRegistry::start();
    let other = registry.sandbox();
    module(&other, ".", "persona:bob", "0.1.0", "");
    other.napt(&["login"]).expect(0);
    other.napt(&["publish"]).expect(0);
    let mut sandbox = registry.sandbox();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    module(&sandbox, "ada", "persona:ada", "0.1.0", "");
    module(&sandbox, "bob", "persona:bob", "0.2.0", "");
    sandbox.napt(&["login"]).expect(0);
    for arguments in [&["publish", "--workspace"][..], &["publish", "--workspace", "--dry-run"]] {
        let ran = sandbox.napt(arguments).expect(5);
        assert!(ran.stderr.contains("`persona:bob` belongs to another user"), "{}", ran.stderr);
        assert!(registry.index("persona:ada").is_none(), "nothing is sent");
    }
    let session = registry.sign_up(&SecretKey::generate()).token;
    let wanted = TokenRequest {
        name: String::new(),
        verbs: vec![Verb::Publish],
        modules: "persona:b*".to_owned(),
        expires: registry.now() + SignedDuration::from_hours(1),
    };
    let narrow = registry.block_on(registry.client(Some(&session)).create_token(&wanted)).expect("a token").token;
    sandbox.set("NAPT_TOKEN", &narrow);
    let ran = sandbox.napt(&["publish", "--workspace"]).expect(5);
    assert!(ran.stderr.contains("does not allow to publish `persona:ada`"), "{}", ran.stderr);
}

// Naptha's defects: C10
#[test]
fn an_interrupted_upload_leaves_nothing() {
    let (sent, uploads) = std::sync::mpsc::channel();
    let index = r#"{"type":"urn:napt:registry:not-found","title":"Not found","status":404,"detail":"no module"}"#;
    let me = r#"{"user":"user:x","token":{"id":"1","name":"","verbs":["publish"],"modules":"*",
                 "created":"2026-01-01T00:00:00Z","expires":"2999-01-01T00:00:00Z"}}"#;
    let registry = Faults::start(move |_, head| match head {
        head if head.starts_with("PUT") => {
            let _ = sent.send(());
            Reply::Hang
        }
        head if head.starts_with("GET /api/v1/me") => response("200 OK", "Content-Type: application/json\r\n", me),
        _ => response("404 Not Found", "Content-Type: application/problem+json\r\n", index),
    });
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0".repeat(48)));
    let temporary = sandbox.work().join("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    sandbox.set("TMPDIR", temporary.to_str().expect("UTF-8"));
    module(&sandbox, ".", "persona:ada", "0.1.0", "exclude = [\"temporary\"]\n");
    let napt = sandbox.command(&["publish"]).stderr(Stdio::piped()).spawn().expect("napt starts");
    uploads.recv_timeout(Duration::from_secs(60)).expect("an upload");
    assert_ne!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "the archive is there");
    let pid = rustix::process::Pid::from_child(&napt);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let output = napt.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("run the same command again"), "{told}");
    assert!(told.contains("persona:ada@0.1.0: sent, but whether it was accepted is not known"), "{told}");
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "nothing is left");
}

// Naptha's defects: C10
#[test]
fn a_registry_that_is_down_or_none_is_exit_code_4() {
    let mut sandbox = Sandbox::new();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let garbage = Faults::start(|_, _| response("200 OK", "Content-Type: text/html\r\n", "<html>Welcome</html>"));
    sandbox.set("NAPT_REGISTRY", garbage.url.as_str());
    for arguments in [&["publish"][..], &["login"]] {
        let ran = sandbox.napt(arguments).expect(4);
        assert!(ran.stderr.contains("does not look like a napt registry"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: check that the address"), "{}", ran.stderr);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    sandbox.set("NAPT_REGISTRY", &format!("http://{free}"));
    let started = std::time::Instant::now();
    let ran = sandbox.napt(&["publish"]).expect(4);
    assert!(ran.stderr.contains("cannot reach the registry"), "{}", ran.stderr);
    assert!(started.elapsed() < Duration::from_secs(60), "it gives up");
}

/// A registry that takes everything and shows nothing, after `busy` answers to publishes.
fn forgetful(busy: Vec<Reply>) -> Faults {
    let me = r#"{"user":"user:x","token":{"id":"1","name":"","verbs":["publish"],"modules":"*",
                 "created":"2026-01-01T00:00:00Z","expires":"2999-01-01T00:00:00Z"}}"#;
    let missing = r#"{"type":"urn:napt:registry:not-found","title":"Not found","status":404,"detail":"no module"}"#;
    let busy = std::sync::Mutex::new(busy.into_iter());
    Faults::start(move |_, head| {
        let json = "Content-Type: application/json\r\n";
        if head.starts_with("PUT") {
            let busy = busy.lock().expect("no panic").next();
            return busy.unwrap_or_else(|| response("201 Created", json, r#"{"status":"created"}"#));
        }
        match head {
            head if head.starts_with("GET /api/v1/me") => response("200 OK", json, me),
            _ => response("404 Not Found", "Content-Type: application/problem+json\r\n", missing),
        }
    })
}

fn publisher(registry: &Faults) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0".repeat(48)));
    sandbox
}

#[test]
fn what_was_accepted_but_is_not_seen_is_said_so() {
    let registry = forgetful(Vec::new());
    let sandbox = publisher(&registry);
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    module(&sandbox, "ada", "persona:ada", "0.1.0", "");
    module(&sandbox, "bob", "persona:bob", "0.1.0", "[dependencies]\n\"persona:ada\" = \"^0.1\"\n");
    let arguments = ["publish", "--no-verify", "--workspace", "--timeout", "0"];
    let ran = sandbox.napt(&arguments).expect(4);
    for part in [
        "error: `persona:ada@0.1.0` was accepted, but the index does not show it after 0 seconds",
        "persona:ada@0.1.0: accepted, but not seen in the index\npersona:bob@0.1.0: not published",
    ] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let json = sandbox.napt(&[&arguments[..], &["--message-format", "json"]].concat()).expect(4).json();
    let outcomes: Vec<_> = (0..2).map(|at| json["data"]["modules"][at]["outcome"].clone()).collect();
    assert_eq!(outcomes, ["accepted", "not_published"]);
}

#[test]
fn a_registry_that_is_busy_is_waited_for_as_long_as_it_says() {
    let soon = (jiff::Timestamp::now() + SignedDuration::from_secs(2)).strftime("%a, %d %b %Y %H:%M:%S GMT");
    let busy = |header: String| response("429 Too Many Requests", &format!("Retry-After: {header}\r\n"), "");
    let registry = forgetful(vec![busy("1".to_owned()), busy(soon.to_string())]);
    let sandbox = publisher(&registry);
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let started = std::time::Instant::now();
    let ran = sandbox.napt(&["publish", "--timeout", "0"]).expect(4);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(ran.stderr.contains("     Waiting 1 s: the registry at"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("     Waiting ").count(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("was accepted"), "{}", ran.stderr);

    let registry = forgetful(vec![busy("900".to_owned())]);
    let sandbox = publisher(&registry);
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let ran = sandbox.napt(&["publish"]).expect(4);
    assert!(ran.stderr.contains("hint: try again in 900 seconds"), "{}", ran.stderr);
    assert!(ran.stderr.contains("persona:ada@0.1.0: not published"), "{}", ran.stderr);
}

#[test]
fn nothing_is_published_that_is_not_committed_unless_it_is_meant() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    let root = sandbox.work();
    sandbox.napt(&["login"]).expect(0);
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    sandbox.write(".gitignore", "target/\n");
    module(&sandbox, "ada", "persona:ada", "0.1.0", "");
    module(&sandbox, "bob", "persona:bob", "0.1.0", "");
    git(&root, &["init", "-q"]);
    // Before the first commit there is nothing to compare with.
    sandbox.napt(&["publish", "--workspace", "--dry-run"]).expect(0);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "first"]);
    sandbox.napt(&["package"]).expect(0);
    sandbox.write("ada/data.json", "{\"changed\": true}\n");
    sandbox.write("ada/more.json", "[]\n");
    sandbox.write("bob/more.json", "[]\n");
    let ran = sandbox.napt(&["publish", "--workspace"]).expect(3);
    for part in [
        "`persona:ada`: 2 files in the working directory are not committed\n  data.json\n  more.json",
        "`persona:bob`: 1 file in the working directory is not committed\n  more.json",
        "hint: commit them, or publish what is on disk with `--allow-dirty`",
    ] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    assert!(registry.blobs().is_empty());
    let ran = sandbox.napt(&["package", "-p", "bob"]).expect(3);
    assert!(ran.stderr.contains("package what is on disk with `--allow-dirty`"), "{}", ran.stderr);
    sandbox.napt(&["package", "--allow-dirty"]).expect(0);
    sandbox.napt(&["publish", "--workspace", "--allow-dirty"]).expect(0);
}
