//! What a dependency starts when it is imported, before there is any run: nothing of it lives beside the runs.

use std::path::Path;

use serde_json::json;

use super::stage::FLAGS;
use crate::support::{
    Sandbox,
    index::Index,
    modules::Python,
    node::{TestNode, own_cache},
    processes::{called_with, soon},
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
const THREADS: &str =
    "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n";

/// Says its parent's place and its number among the processes, and stays.
const LOOK: &str = r#"
import os, time, evil

def run(module_run):
    print(len(evil.STARTED), os.path.dirname(os.environ["HOME"]), os.getpid(), flush=True)
    time.sleep(module_run["inputs"]["stay"])
"#;

#[test]
fn what_an_import_starts_ends_before_there_is_a_run() {
    for (more, is_warm) in [("", true), (THREADS, false)] {
        let index = Index::start();
        let [at_start, at_import] =
            ["start", "import"].map(|when| format!("napt-{when}-{}-{is_warm}", std::process::id()));
        let code = |mark: &str| DAEMONS.replace("MARK", mark);
        // The first line of such a file is run with every start of the interpreter.
        let of_start = format!("import sys; exec({:?}, {{}})", code(&at_start));
        let of_import = code(&at_import) + more;
        index.wheel("evil", "1.0", &[("evil/__init__.py", &of_import), ("evil.pth", &of_start)]);
        let mut sandbox = Sandbox::new();
        own_cache(&mut sandbox);
        sandbox.set("UV_DEFAULT_INDEX", &index.url());
        let node = TestNode::start_in(sandbox, &[FLAGS, &["--keep-warm", "0"]].concat());
        node.deploy(&Python { requirements: &["evil"], ..Python::new("agent:watcher", LOOK) });
        let user = node.user();
        for _ in 0..2 {
            // Each is the first one of its parent, which may have been started ahead.
            let run = user.start("agent:watcher", json!({ "stay": 3600 }));
            let said = user.line(&run.id, "2 ");
            if is_warm {
                assert_eq!(called_with(&at_import).len(), 0);
            } else {
                // What a run itself imports is its own, as long as it lasts.
                soon("it is there", || called_with(&at_import).len() == 1);
            }
            // An interpreter that is being started ahead has them until it is ready.
            soon("nothing is left of its start", || called_with(&at_start).is_empty());
            // Whoever forks all the time takes numbers by the thousand.
            let number: u64 = said.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number");
            let later = user.start("agent:watcher", json!({ "stay": 3600 }));
            let said = user.line(&later.id, "2 ");
            let next: u64 = said.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number");
            assert!(!is_warm || next < number + 200, "{number} and then {next}");
            for run in [run, later] {
                user.cancel(&run.id);
                user.ended(&run.id);
            }
            let place = said.split(' ').nth(1).expect("a place");
            soon("its parent has rested", || !Path::new(place).exists());
            soon("nothing is left", || called_with(&at_start).len() + called_with(&at_import).len() == 0);
        }
    }
}
