//! Limits of a run: what hits one ends with its name and value, nothing of it is left, and others go on.

use std::collections::BTreeSet;

use napt::wire::{RunStatus, RunView};
use serde_json::json;

use crate::support::{
    modules::Python,
    node::{TestNode, User},
    processes::{called_with, soon, working_in},
};

const GREEDY: &str = r#"
import ctypes, os, signal, subprocess, sys, threading, time

HOME = os.environ["HOME"]

def spin():
    while True:
        pass

def in_children(count, function):
    for _ in range(count):
        if os.fork() == 0:
            function()
            time.sleep(3600)
    time.sleep(3600)

def deaf_spin():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    spin()

def hold(size):
    taken = bytearray(size)
    for at in range(0, size, 4096):
        taken[at] = 1
    time.sleep(3600)

def hidden():
    try:
        bytearray(1 << 40)
    except MemoryError:
        raise ValueError("something else")

def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)

def threads():
    for _ in range(1000):
        threading.Thread(target=time.sleep, args=[3600], daemon=True).start()

def open_all():
    return [open("/dev/null") for _ in range(5000)]

def write(name, size):
    with open(os.path.join(HOME, name), "wb") as file:
        file.write(b"x" * size)

def write_many():
    # Twice what it may, and then waits: what it writes is looked at, and may not take longer than its processor time.
    for number in range(256):
        write(str(number), 64 << 10)
    time.sleep(3600)

def write_nowhere(size):
    files = []
    for number in range(size >> 19):
        files.append(open(os.path.join(HOME, "hidden"), "wb"))
        os.unlink(os.path.join(HOME, "hidden"))
        files[-1].write(b"x" * (1 << 19))
        files[-1].flush()
    time.sleep(3600)

def dig():
    os.chdir(HOME)
    # A little more than it may, for the same reason.
    for _ in range(2304):
        os.mkdir("d")
        os.chdir("d")
    time.sleep(3600)

def dd():
    subprocess.run(["dd", "if=/dev/zero", f"of={HOME}/dd", "bs=64k", "count=1000"], check=True)

def detached(command):
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp(command[0], command)
        os._exit(0)
    os.wait()
    time.sleep(0.05)

def comet():
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    if os.fork() == 0:
        while True:
            try:
                os.setsid()
            except OSError:
                pass
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                time.sleep(3600)
    os.wait()
    time.sleep(0.05)

def run(module_run):
    print("ready", flush=True)
    # Only the tests write this code.
    return eval(module_run["inputs"]["do"])
"#;

/// A node with a module that has these limits.
fn greedy(flags: &[&str], limits: &str) -> (TestNode, User) {
    let node = TestNode::start(flags);
    let more = format!("[limits]\n{limits}");
    node.deploy(&Python { more: &more, ..Python::new("agent:greedy", GREEDY) });
    let user = node.user();
    (node, user)
}

/// Runs code in the module: the run's error must be this one, and nothing may be left of it.
#[track_caller]
fn ends(node: &TestNode, user: &User, code: &str, error: &str) -> RunView {
    let before = working_in(&node.data());
    let run = user.run("agent:greedy", json!({ "do": code }));
    assert_eq!((run.status, run.error.as_deref()), (RunStatus::Error, Some(error)), "{code}");
    let left: Vec<u32> =
        working_in(&node.data()).difference(&before).copied().filter(|pid| is_of_a_run(*pid)).collect();
    assert_eq!(left, Vec::<u32>::new(), "{code}: processes are left");
    run
}

/// Not one that waits for the next run.
fn is_of_a_run(pid: u32) -> bool {
    let path = format!("/proc/{pid}/environ");
    std::fs::read(path).is_ok_and(|environ| environ.windows(12).any(|window| window == b"NAPT_RUN_ID="))
}

#[test]
fn each_limit_ends_the_run_and_others_go_on() {
    let limits = "cpu = \"2s\"\nmemory = \"256MiB\"\nprocesses = 16\nfiles = 64\nfile-size = \"1MiB\"\ndisk = \"8MiB\"\n\
                  output = \"4KiB\"\n";
    let (node, user) = greedy(&[], limits);
    let beside = user.start("agent:greedy", json!({ "do": "detached(['sleep', '3598']) or time.sleep(3600)" }));
    user.line(&beside.id, "ready");
    soon("its daemon runs", || called_with("3598").len() == 1);
    for (code, error) in [
        ("spin()", "CPU limit of 2 s reached"),
        ("bytearray(1 << 30)", "memory limit of 256 MiB reached"),
        ("hidden()", "memory limit of 256 MiB reached"),
        ("open_all()", "open file limit of 64 reached"),
        ("write('large', 2 << 20)", "file size limit of 1 MiB reached"),
        ("dd()", "file size limit of 1 MiB reached"),
        ("write_many()", "disk limit of 8 MiB reached"),
        ("dig()", "disk limit of 8 MiB reached"),
        ("[print('x' * 100) for _ in range(1000)]", "output limit of 4 KiB reached"),
    ] {
        ends(&node, &user, code, error);
    }
    if node.has_groups() {
        for (code, error) in [
            ("deaf_spin()", "CPU limit of 2 s reached"),
            ("in_children(4, spin)", "CPU limit of 2 s reached"),
            ("in_children(4, lambda: hold(160 << 20))", "memory limit of 256 MiB reached"),
            ("bomb()", "process limit of 16 reached"),
            ("threads()", "process limit of 16 reached"),
            ("write_nowhere(16 << 20)", "disk limit of 8 MiB reached"),
        ] {
            ends(&node, &user, code, error);
        }
    }
    assert_eq!(user.view(&beside.id).status, RunStatus::Processing);
    assert_eq!(called_with("3598").len(), 1, "what another run started is still there");
    user.cancel(&beside.id);
    assert_eq!(user.ended(&beside.id).status, RunStatus::Cancelled);
    assert_eq!(called_with("3598"), BTreeSet::new());
    assert_eq!(user.run("agent:greedy", json!({ "do": "'fine'" })).result.as_deref(), Some("fine"));
}

#[test]
fn whole_trees_end_with_their_run() {
    let (node, user) = greedy(&[], "timeout = \"2s\"\n");
    let marker = format!("5{}", node.pid());
    for start in [
        format!("detached(['sleep', '{marker}'])"),
        format!("detached(['sh', '-c', 'trap \"\" TERM; setsid sleep {marker} & sleep {marker}'])"),
    ] {
        let run = user.run("agent:greedy", json!({ "do": format!("({start}, 'fine')[1]") }));
        assert_eq!((run.result.as_deref(), run.error), (Some("fine"), None), "{start}");
        assert_eq!(called_with(&marker), BTreeSet::new(), "{start}");
        ends(&node, &user, &format!("({start}, time.sleep(3600))"), "time limit of 2 s reached");
        assert_eq!(called_with(&marker), BTreeSet::new(), "{start}");
    }
    if node.has_groups() {
        let before = working_in(&node.data());
        let run = user.run("agent:greedy", json!({ "do": "(comet(), 'fine')[1]" }));
        assert_eq!((run.result.as_deref(), run.error), (Some("fine"), None));
        let left: Vec<u32> =
            working_in(&node.data()).difference(&before).copied().filter(|pid| is_of_a_run(*pid)).collect();
        assert_eq!(left, Vec::<u32>::new());
    }
}

#[test]
fn the_node_has_the_last_word() {
    let flags = ["--limit", "memory=96MiB", "--limit", "result=1KiB", "--limit", "timeout=1s"];
    let (node, user) = greedy(&flags, "memory = \"1GiB\"\n");
    ends(&node, &user, "bytearray(512 << 20)", "memory limit of 96 MiB reached");
    ends(&node, &user, "'x' * 2000", "result limit of 1 KiB reached");
    ends(&node, &user, "time.sleep(3600)", "time limit of 1 s reached");
    for (flag, told) in [
        ("memory", "write it as `NAME=VALUE`, for example `memory=2GiB`"),
        ("colour=red", "there is no limit `colour`; there are `timeout`, `cpu`, `memory`"),
        ("processes=0", "`0` is no number of at least 1"),
    ] {
        let ran = node.napt(&["node", "--limit", flag]).expect(2);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
}
