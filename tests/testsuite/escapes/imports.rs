//! What a dependency starts when it is imported, before there is any run: nothing of it lives beside the runs.

use serde_json::{Value, json};

use super::stage::FLAGS;
use crate::support::{
    Sandbox,
    index::Index,
    modules::Python,
    node::{TestNode, own_cache},
    processes::called_with,
};

/// Leaves processes that nobody waits for: one that runs a program, and one that never stays the same process.
const DAEMONS: &str = r#"
import os, sys, time

def detach(go_on):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return pid
    os.setsid()
    if os.fork():
        os._exit(0)
    go_on()

def program():
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time\nwhile True: time.sleep(1)", "MARK"])

def comet():
    while True:
        if os.fork():
            os._exit(0)

STARTED = [detach(program), detach(comet)]
"#;

/// The same beside a thread, with which no parent forks: then each run imports for itself.
const THREADS: &str = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n";

/// Its number among the processes, and what was started.
const LOOK: &str = r#"
import json, os, evil

def run(module_run):
    return json.dumps({"started": len(evil.STARTED), "own": os.getpid()})
"#;

#[test]
fn what_an_import_starts_ends_before_there_is_a_run() {
    for (name, more, is_warm) in [("alone", "", true), ("beside a thread", THREADS, false)] {
        let (index, mark) = (Index::start(), format!("napt-import-{}-{}", std::process::id(), name.len()));
        let code = DAEMONS.replace("MARK", &mark);
        // The first line of such a file is run with every start of the interpreter.
        let started = format!("import sys; sys.modules.setdefault('evil_started', exec({code:?}, {{}}))");
        index.wheel("evil", "1.0", &[("evil/__init__.py", &format!("{code}{more}")), ("evil.pth", &started)]);
        let mut sandbox = Sandbox::new();
        own_cache(&mut sandbox);
        sandbox.set("UV_DEFAULT_INDEX", &index.url());
        let node = TestNode::start_in(sandbox, FLAGS);
        node.deploy(&Python { requirements: &["evil"], ..Python::new("agent:watcher", LOOK) });
        assert_eq!(called_with(&mark).len(), 0, "{name}: after the import");
        let user = node.user();
        let mut highest = 0;
        for _ in 0..3 {
            let run = user.run("agent:watcher", json!({}));
            let text = run.result.unwrap_or_else(|| panic!("{name}: {:?}", run.error));
            let seen: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(seen["started"], 2, "{name}");
            assert_eq!(called_with(&mark).len(), 0, "{name}: after a run");
            // Whoever forks all the time takes numbers by the thousand.
            let own = seen["own"].as_u64().expect("a number");
            assert!(!is_warm || highest == 0 || own < highest + 200, "{name}: {highest} and then {own}");
            highest = own;
        }
    }
}
