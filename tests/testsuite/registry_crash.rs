//! A publish that is broken at each of its points, by the death of a process, a failing disk or a full one: afterwards
//! nothing is half there, and the same publish succeeds. This tests the death of processes, not the loss of power.

use crate::support::{
    Ran, Sandbox, modules,
    node::free_address,
    registry::{RegistryProcess, stored},
};

/// Where a point is passed.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Client,
    Server,
}

/// Each point in the order in which it is passed; whether the version is visible by then, and how many archives are kept.
const POINTS: [(&str, Side, bool, usize); 12] = [
    ("publish.packed", Side::Client, false, 0),
    ("publish.checked", Side::Client, false, 0),
    ("publish.staged", Side::Server, false, 0),
    ("publish.received", Side::Server, false, 0),
    ("publish.verified", Side::Server, false, 0),
    ("publish.kept", Side::Server, false, 1),
    ("publish.synced", Side::Server, false, 1),
    ("publish.begun", Side::Server, false, 1),
    ("publish.inserted", Side::Server, false, 1),
    ("publish.committed", Side::Server, true, 1),
    ("publish.answered", Side::Client, true, 1),
    ("publish.seen", Side::Client, true, 1),
];

/// `napt registry fsck` on a registry that does not run.
#[track_caller]
fn fsck(sandbox: &Sandbox, registry: &RegistryProcess) -> serde_json::Value {
    let data = registry.data().to_str().expect("UTF-8");
    sandbox.napt(&["registry", "fsck", "--data", data, "--message-format", "json"]).expect(0).json()["data"].clone()
}

#[track_caller]
fn publish_broken_by(kind: &str, expected: impl Fn(Side, &Ran)) {
    for (point, side, visible, blobs) in POINTS {
        let mut sandbox = Sandbox::new();
        let temporary = sandbox.home().join("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder");
        sandbox.set("TMPDIR", temporary.to_str().expect("UTF-8"));
        sandbox.set("NAPT_HTTP_RETRIES", "0");
        modules::write(&sandbox, "m", "agent:a", "1.0.0", "");
        let fault = format!("{point}=return({kind})");
        let (ours, theirs) = if side == Side::Client { (fault.as_str(), "") } else { ("", fault.as_str()) };
        let listen = free_address();
        let mut registry = RegistryProcess::start(&sandbox, &listen, theirs);
        sandbox.set("NAPT_REGISTRY", registry.url.as_str());
        sandbox.napt(&["login"]).expect(0);
        let ran = sandbox.run(sandbox.command(&["publish", "--no-verify", "-C", "m"]).env("FAILPOINTS", ours));
        assert_ne!(ran.code, Some(0), "{point}: it was broken");
        expected(side, &ran);
        if kind != "kill" {
            assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "{point}: temporary files");
        }
        registry.kill();
        let data = fsck(&sandbox, &registry);
        let notes: Vec<_> = data["notes"].as_array().expect("notes").iter().map(|note| note["kind"].clone()).collect();
        assert!(notes.iter().all(|kind| kind == "orphan" || kind == "staging"), "{point}: {data}");
        assert_eq!(data["checked"]["versions"].as_u64().unwrap_or(0), u64::from(visible), "{point}: {data}");

        let mut registry = RegistryProcess::start(&sandbox, &listen, "");
        assert_eq!(stored(registry.data()).len(), blobs, "{point}: staging is empty, a blob alone is harmless");
        let again = sandbox.napt(&["publish", "--no-verify", "-C", "m"]).expect(0).stdout;
        let outcome = if visible { "already published" } else { "published" };
        assert_eq!(again, format!("agent:a@1.0.0: {outcome}\n"), "{point}");
        registry.kill();
        let data = fsck(&sandbox, &registry);
        assert_eq!(data["notes"], serde_json::json!([]), "{point}: {data}");
        assert_eq!(data["checked"], serde_json::json!({ "archives": 1, "modules": 1, "versions": 1 }), "{point}");
    }
}

#[test]
fn killed_at_any_point_of_a_publish_nothing_is_half_there() {
    publish_broken_by("kill", |side, ran| match side {
        Side::Client => assert_eq!(ran.code, None, "it killed itself"),
        Side::Server => {
            ran.expect_ref(4);
            assert!(ran.stderr.contains("error: cannot reach the registry at `http://127.0.0.1:"), "{}", ran.stderr);
        }
    });
}

#[test]
fn a_failing_disk_at_any_point_of_a_publish_is_told_and_leaves_nothing_half() {
    publish_broken_by("io", |side, ran| match side {
        Side::Client => {
            ran.expect_ref(1);
            assert!(ran.stderr.contains("error: the disk failed at publish."), "{}", ran.stderr);
        }
        Side::Server => {
            ran.expect_ref(4);
            let told = "answers: the registry failed; its log says why";
            assert!(ran.stderr.contains(told) && !ran.stderr.contains("disk failed"), "{}", ran.stderr);
        }
    });
}

#[test]
fn a_full_disk_at_any_point_of_a_publish_is_told_and_leaves_nothing_half() {
    publish_broken_by("full", |side, ran| match side {
        Side::Client => {
            ran.expect_ref(1);
            assert!(ran.stderr.contains("error: No space left on device"), "{}", ran.stderr);
        }
        Side::Server => {
            ran.expect_ref(4);
            assert!(ran.stderr.contains("answers: the registry's disk is full"), "{}", ran.stderr);
            assert!(ran.stderr.contains("hint: tell the registry's operator, and try again later"), "{}", ran.stderr);
        }
    });
}

#[test]
fn what_fails_once_is_tried_again_within_the_same_command() {
    let mut sandbox = Sandbox::new();
    modules::write(&sandbox, "m", "agent:a", "1.0.0", "");
    let registry = RegistryProcess::start(&sandbox, "127.0.0.1:0", "publish.kept=1*return(io)");
    sandbox.set("NAPT_REGISTRY", registry.url.as_str());
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish", "--no-verify", "-C", "m"]).expect(0);
}
