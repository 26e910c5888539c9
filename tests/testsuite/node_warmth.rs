//! What keeps a node quick and small: children that wait for their runs, interpreters that rest, turns at a cap.

use std::collections::BTreeSet;

use napt::wire::{RunStatus, RunView};
use serde_json::json;

use crate::support::{
    gate::Gate,
    modules::{CALL, Python},
    node::TestNode,
    processes::{soon, working_in},
    rust::Rust,
};

/// Counts what it is called for in this process, and leaves what another run must not find.
const COUNTER: &str = r#"
import builtins, os, random

CALLS = []

def run(module_run):
    CALLS.append(1)
    builtins.left = getattr(builtins, "left", 0) + 1
    os.environ["LEFT"] = os.environ.get("LEFT", "") + "x"
    return f"{len(CALLS)} {builtins.left} {os.environ['LEFT']} {random.random()}"
"#;

#[test]
fn a_child_that_waited_is_used_for_one_run_only() {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:counter", COUNTER));
    let user = node.user();
    let mut results: Vec<String> = Vec::new();
    for round in 0..6 {
        let run = user.run("agent:counter", json!({}));
        results.push(run.result.unwrap_or_else(|| panic!("{:?}", run.error)));
        // Nobody runs now: these are a launcher, its interpreter, and what waits in it.
        soon("children wait", || working_in(&node.data()).len() == 4);
        assert!(results[round].starts_with("1 1 x "), "{}", results[round]);
    }
    results.sort();
    results.dedup();
    assert_eq!(results.len(), 6, "each has chance of its own");
}

#[test]
fn a_module_is_compiled_once_and_not_by_each_run() {
    let mut node = TestNode::start(&[]);
    let module = Python::new(
        "agent:compiled",
        "import os\n\ndef run(module_run):\n    return str(os.path.exists(__cached__))\n",
    );
    module.write(&node.sandbox);
    // What nobody imports need not be Python.
    node.sandbox.write("compiled/compiled/broken.py", "this is no Python");
    node.napt(&["deploy", "compiled", "--no-verify"]).expect(0);
    let user = node.user();
    soon("it has bytecode", || user.run("agent:compiled", json!({})).result.as_deref() == Some("True"));
    node.kill();
    node.restart();
    let run = user.run("agent:compiled", json!({}));
    assert_eq!(run.result.as_deref(), Some("True"), "{:?}", run.error);
}

#[test]
fn a_process_that_waited_becomes_one_run_of_a_rust_module() {
    let node = TestNode::start(&[]);
    let counter = "static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);\n\n\
                   fn run(_: &napt::Run) -> napt::Result<String> {\n    \
                   let left = std::fs::read_dir(std::env::var(\"HOME\")?)?.count();\n    \
                   std::fs::write(format!(\"{}/left\", std::env::var(\"HOME\")?), \"x\")?;\n    \
                   let calls = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);\n    \
                   Ok(format!(\"{calls} {left} {}\", std::process::id()))\n}\n";
    Rust::new("agent:counter", counter).write(&node.sandbox);
    node.napt(&["deploy", "counter"]).expect(0);
    let user = node.user();
    // The launcher, what forks, and for each that waits a first process of its own processes.
    let all_wait = || working_in(&node.data()).len() == 2 + 2 * 2;
    for _ in 0..3 {
        let run = user.run("agent:counter", json!({}));
        // Its delegate key is all that it finds.
        assert_eq!(run.result.as_deref(), Some("1 1 2"), "{:?}", run.error);
        soon("processes wait", all_wait);
    }
    let at_once: Vec<RunView> = (0..8).map(|_| user.start("agent:counter", json!({}))).collect();
    for run in at_once {
        assert_eq!(user.ended(&run.id).result.as_deref(), Some("1 1 2"));
    }
    // What starts them can be started again.
    let launcher = working_in(&node.data()).into_iter().next().expect("the launcher");
    let launcher = rustix::process::Pid::from_raw(launcher.cast_signed()).expect("a number");
    rustix::process::kill_process(launcher, rustix::process::Signal::KILL).expect("to kill it");
    // A run that begins before the node has noticed may be lost with it.
    soon("it is started again", || user.run("agent:counter", json!({})).result.as_deref() == Some("1 1 2"));
}

#[test]
fn several_at_once_are_apart_too() {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:counter", COUNTER));
    let user = node.user();
    user.run("agent:counter", json!({}));
    let runs: Vec<RunView> = (0..8).map(|_| user.start("agent:counter", json!({}))).collect();
    for run in runs {
        let ended = user.ended(&run.id);
        assert!(ended.result.as_deref().is_some_and(|result| result.starts_with("1 1 x ")), "{ended:?}");
    }
}

#[test]
fn an_idle_interpreter_rests_and_starts_again() {
    let node = TestNode::start(&["--keep-warm", "0", "--max-warm", "0"]);
    node.deploy(&Python::new("agent:counter", COUNTER));
    let user = node.user();
    for _ in 0..2 {
        soon("nothing is kept", || working_in(&node.data()).is_empty());
        let run = user.run("agent:counter", json!({}));
        assert_eq!((run.status, run.error), (RunStatus::Completed, None));
    }
}

/// Says in whose place it runs.
const WHERE: &str = "import os\n\ndef run(module_run):\n    return os.path.dirname(os.environ['HOME'])\n";

#[test]
fn what_rests_leaves_an_interpreter_that_was_started_ahead_for_whoever_is_next() {
    let node = TestNode::start(&["--keep-warm", "0"]);
    node.deploy(&Python::new("agent:where", WHERE));
    // The same environment, and something to import.
    node.deploy(&Python::new("agent:counter", &format!("import sqlite3\n{COUNTER}")));
    let [first, second] = [node.user(), node.user()];
    let mut before = BTreeSet::new();
    let mut places = BTreeSet::new();
    // A launcher, the interpreter, and what waits in it.
    let one_waits = |before: &BTreeSet<u32>| {
        let there = working_in(&node.data());
        there.len() == 3 && there.is_disjoint(before)
    };
    for round in 0..6 {
        soon("one waits", || one_waits(&before));
        before = working_in(&node.data());
        let views = node.data().join("views");
        let view = std::fs::read_dir(&views).expect("views").next().expect("a view").expect("a view").path();
        assert_eq!(std::fs::read_dir(&view).expect("a view").count(), 0, "nothing of any module is there");
        let user = if round % 2 == 0 { &first } else { &second };
        if round == 4 {
            let run = user.run("agent:counter", json!({}));
            assert!(run.result.as_deref().is_some_and(|said| said.starts_with("1 1 x ")), "{run:?}");
            continue;
        }
        let run = user.run("agent:where", json!({}));
        let place = run.result.unwrap_or_else(|| panic!("{:?}", run.error));
        assert_eq!(view.file_name(), std::path::Path::new(&place).file_name(), "it is the one that waited");
        assert!(places.insert(place), "it has served nobody before");
    }
    // One that has died is not taken.
    soon("one waits", || one_waits(&before));
    for process in working_in(&node.data()) {
        let process = rustix::process::Pid::from_raw(process.cast_signed()).expect("a number");
        // Some end with the others.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
    assert_eq!(first.run("agent:where", json!({})).status, RunStatus::Completed);
}

#[test]
fn an_interpreter_with_a_run_does_not_rest() {
    let node = TestNode::start(&["--keep-warm", "0"]);
    let waiting = "import os, sys, time\n\ndef run(module_run):\n    print('waiting', flush=True)\n    \
                   while not os.path.exists(os.path.join(sys.prefix, module_run['inputs']['gate'])):\n        \
                   time.sleep(0.01)\n    return 'open'\n";
    node.deploy(&Python::new("agent:waiting", waiting));
    node.deploy(&Python::new("agent:counter", &format!("import json\n{COUNTER}")));
    let user = node.user();
    let gate = Gate::new();
    let run = user.start("agent:waiting", json!({ "gate": gate.name() }));
    user.line(&run.id, "waiting");
    // Others come and go meanwhile.
    for _ in 0..3 {
        assert_eq!(user.run("agent:counter", json!({})).status, RunStatus::Completed);
    }
    gate.open();
    assert_eq!(user.ended(&run.id).result.as_deref(), Some("open"));
}

/// Calls one module of each name in its inputs' `calls`, `times` times at once, and gives what they gave.
fn calling(module: &str, times: usize) -> String {
    format!(
        "{CALL}\ndef run(module_run):\n    from concurrent.futures import ThreadPoolExecutor\n    \
         with ThreadPoolExecutor() as pool:\n        \
         runs = list(pool.map(lambda _: call('{module}', module_run['inputs']), range({times})))\n    \
         return [run['result'] or run['error'] for run in runs]\n"
    )
}

#[test]
fn calls_wait_for_their_turn_at_a_cap_and_never_for_each_other() {
    let node = TestNode::start(&["--max-processes", "1"]);
    let needs = |id: &str| {
        let (_, name) = id.split_once(':').expect("type:name");
        format!("[dependencies]\n\"{id}\" = {{ path = \"../{name}\", version = \"0.1\" }}\n")
    };
    Python::new("tool:leaf", "def run(module_run):\n    return 'leaf'\n").write(&node.sandbox);
    let (middle, more) = (calling("tool:leaf", 2), needs("tool:leaf"));
    Python { more: &more, ..Python::new("agent:middle", &middle) }.write(&node.sandbox);
    let (top, more) = (calling("agent:middle", 3), needs("agent:middle"));
    node.deploy(&Python { more: &more, ..Python::new("orchestrator:top", &top) });
    let user = node.user();
    let runs: Vec<RunView> = (0..2).map(|_| user.start("orchestrator:top", json!({}))).collect();
    for run in runs {
        let ended = user.ended(&run.id);
        assert_eq!((ended.status, &ended.error), (RunStatus::Completed, &None));
        let tree = user.tree(&run.id);
        assert_eq!(tree.len(), 1 + 3 + 3 * 2);
        // One after the other, at each depth.
        for name in ["middle", "leaf"] {
            let mut spans: Vec<_> = tree
                .iter()
                .filter(|run| run.module.name.to_string() == name)
                .map(|run| (run.started.expect("it has started"), run.finished.expect("it has ended")))
                .collect();
            spans.sort();
            assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
        }
    }
}

#[test]
fn a_call_that_waits_for_its_turn_can_be_cancelled() {
    let node = TestNode::start(&["--max-processes", "1"]);
    let forever = "import time\n\ndef run(module_run):\n    while True:\n        time.sleep(1)\n";
    Python::new("agent:forever", forever).write(&node.sandbox);
    let more = "[dependencies]\n\"agent:forever\" = { path = \"../forever\", version = \"0.1\" }\n";
    node.deploy(&Python { more, ..Python::new("orchestrator:two", &calling("agent:forever", 2)) });
    let user = node.user();
    let run = user.start("orchestrator:two", json!({}));
    let children = || user.tree(&run.id).into_iter().filter(|child| child.parent.is_some()).collect::<Vec<_>>();
    soon("one runs and one waits", || {
        let mut statuses: Vec<_> = children().iter().map(|child| child.status.as_str()).collect();
        statuses.sort_unstable();
        statuses == ["pending", "processing"]
    });
    let pending = children().into_iter().find(|child| child.status == RunStatus::Pending).expect("one waits");
    node.napt(&["cancel", &pending.id]).expect(0);
    assert_eq!(user.ended(&pending.id).status, RunStatus::Cancelled);
    node.napt(&["cancel", &run.id]).expect(0);
    soon("all have ended", || user.tree(&run.id).iter().all(|run| run.status == RunStatus::Cancelled));
}
