//! Installs, deploys and runs that are broken at each of their points, by the death of the node, a failing disk or a full
//! one: afterwards the node's data is sound, and the same command succeeds. This tests the death of the process, not the
//! loss of power.

use serde_json::json;

use crate::support::{
    Ran, Sandbox,
    modules::Python,
    node::{TestNode, cache, own_cache},
    processes::{soon, working_in},
    registry::TestRegistry,
};

const INSTALL: [&str; 8] = [
    "install.fetching",
    "install.fetched",
    "install.unpacking",
    "install.unpacked",
    "install.renamed",
    "install.environment",
    "install.dependencies",
    "install.complete",
];

const DEPLOY: [&str; 6] =
    ["deploy.asked", "deploy.installed", "deploy.resolved", "deploy.imported", "deploy.storing", "deploy.stored"];

const RUN: [&str; 8] = [
    "run.accepting",
    "run.storing",
    "run.answering",
    "run.starting",
    "run.started",
    "run.scratch",
    "run.executed",
    "run.ending",
];

const MODULE: Python<'_> = Python {
    id: "agent:a",
    version: "0.1.0",
    run: "def run(module_run):\n    return 'fine'\n",
    schemas: crate::support::modules::ANY_INPUTS,
    more: "",
    requirements: &[],
};

/// A broken node ends, is looked through, and starts again without the fault.
#[track_caller]
fn mended(node: &mut TestNode, point: &str) {
    node.kill();
    let data = node.data();
    soon("no process of it is left", || working_in(&data).is_empty());
    let notes = node.fsck();
    let harmless = ["temporary", "scratch", "run-interrupted"];
    assert!(notes.iter().all(|note| harmless.contains(&note.as_str())), "{point}: {notes:?}");
    node.sandbox.set("FAILPOINTS", "");
    node.restart();
}

/// The module runs, and nothing is left of what was broken.
#[track_caller]
fn works(node: &mut TestNode, point: &str) {
    assert_eq!(node.napt(&["run", "agent:a"]).expect(0).stdout, "fine\n", "{point}");
    node.kill();
    assert_eq!(node.fsck(), [""; 0], "{point}");
}

/// What the operator is told of a fault.
#[track_caller]
fn told(ran: &Ran, kind: &str, point: &str) {
    let (code, words) = match kind {
        "kill" => (4, "error: cannot reach the node at http://127.0.0.1:"),
        "io" => (1, "error: the node failed to "),
        _ => (1, "error: the node's disk is full: it could not "),
    };
    assert!(ran.stderr.contains(words), "{point}: {}", ran.stderr);
    assert!(!ran.stderr.contains("the disk failed"), "{point} shows the inside: {}", ran.stderr);
    ran.expect_ref(code);
}

fn installs_broken_by(kind: &str) {
    let registry = TestRegistry::start();
    let author = registry.sandbox();
    author.napt(&["login"]).expect(0);
    MODULE.write(&author);
    author.napt(&["publish", "--no-verify", "-C", "a", "--no-verify"]).expect(0);
    for point in INSTALL {
        let mut sandbox = registry.sandbox();
        own_cache(&mut sandbox);
        sandbox.set("NAPT_HTTP_RETRIES", "0");
        sandbox.set("FAILPOINTS", &format!("{point}=return({kind})"));
        let mut node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str()]);
        told(&node.napt(&["deploy", "agent:a"]), kind, point);
        mended(&mut node, point);
        assert_eq!(
            node.napt(&["status", "--message-format", "json"]).expect(0).json()["data"]["deployments"],
            json!([])
        );
        node.napt(&["deploy", "agent:a"]).expect(0);
        works(&mut node, point);
    }
}

fn deploys_broken_by(kind: &str) {
    for point in DEPLOY {
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        sandbox.set("NAPT_HTTP_RETRIES", "0");
        sandbox.set("FAILPOINTS", &format!("{point}=return({kind})"));
        let mut node = TestNode::start_in(sandbox, &[]);
        MODULE.write(&node.sandbox);
        told(&node.napt(&["deploy", "a", "--no-verify"]), kind, point);
        mended(&mut node, point);
        let live = node.napt(&["status", "--message-format", "json"]).expect(0).json()["data"]["deployments"].clone();
        assert_eq!(live.as_array().map(Vec::len), Some(usize::from(point == "deploy.stored")), "{point}: {live}");
        let again = node.napt(&["deploy", "a", "--no-verify"]).expect(0).stdout;
        assert!(again.contains("as `a`, revision 1,"), "{point}: {again}");
        works(&mut node, point);
    }
}

fn runs_broken_by(kind: &str) {
    for point in RUN {
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        sandbox.set("NAPT_HTTP_RETRIES", "0");
        // An end that cannot be stored is stored later; the others fail for good.
        let times = if point == "run.ending" && kind != "kill" { "2*" } else { "" };
        sandbox.set("FAILPOINTS", &format!("{point}={times}return({kind})"));
        let mut node = TestNode::start_in(sandbox, &[]);
        node.deploy(&MODULE);
        let ran = node.napt(&["run", "agent:a"]);
        let in_run = ["run.starting", "run.started", "run.scratch", "run.executed"].contains(&point);
        match kind {
            "kill" => told(&ran, kind, point),
            _ if point == "run.ending" => assert_eq!(ran.expect(0).stdout, "fine\n"),
            _ if in_run => {
                ran.expect_ref(1);
                assert!(ran.stderr.contains("error: the run of agent:a ended without a result"), "{}", ran.stderr);
                let why = if kind == "io" { "the node failed to " } else { "the node's disk is full: it could not " };
                assert!(ran.stderr.contains(&format!("caused by: {why}")), "{point}: {}", ran.stderr);
            }
            _ => told(&ran, kind, point),
        }
        mended(&mut node, point);
        // Accepted means durable: whatever is known has an end.
        let user = node.user();
        let runs = user.runtime.block_on(user.client.runs(true, 10)).expect("runs");
        assert_eq!(runs.len(), usize::from(!["run.accepting", "run.storing"].contains(&point)), "{point}");
        for run in runs {
            assert!(user.ended(&run.id).status.is_final(), "{point}");
        }
        works(&mut node, point);
    }
}

#[test]
fn a_node_killed_at_any_point_of_an_install_is_sound() {
    installs_broken_by("kill");
}

#[test]
fn a_failing_disk_at_any_point_of_an_install_is_told() {
    installs_broken_by("io");
}

#[test]
fn a_full_disk_at_any_point_of_an_install_is_told() {
    installs_broken_by("full");
}

#[test]
fn a_node_killed_at_any_point_of_a_deploy_is_sound() {
    deploys_broken_by("kill");
}

#[test]
fn a_failing_disk_at_any_point_of_a_deploy_is_told() {
    deploys_broken_by("io");
}

#[test]
fn a_full_disk_at_any_point_of_a_deploy_is_told() {
    deploys_broken_by("full");
}

#[test]
fn a_node_killed_at_any_point_of_a_run_is_sound() {
    runs_broken_by("kill");
}

#[test]
fn a_failing_disk_at_any_point_of_a_run_is_told() {
    runs_broken_by("io");
}

#[test]
fn a_full_disk_at_any_point_of_a_run_is_told() {
    runs_broken_by("full");
}
