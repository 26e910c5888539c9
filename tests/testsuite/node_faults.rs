//! Modules that misbehave: each run ends with an error that says why, leaves nothing behind and disturbs nothing else.

use std::{collections::BTreeSet, time::Instant};

use napt::wire::{RunStatus, RunView};
use serde_json::json;

use crate::support::{
    gate::{Gate, IS_OPEN},
    modules::{ANY_INPUTS, Python},
    node::{TestNode, User},
    processes::{called_with, peak_memory, soon, without_spares, working_in},
};

const FAULTY: &str = r#"
import os, signal, subprocess, sys, threading, time

def background(command):
    subprocess.Popen(command)
    time.sleep(0.05)

def daemon_process(marker):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", marker])
        os._exit(0)

def endless_line():
    while True:
        sys.stdout.write("é" * 30011)

def lines(count):
    for number in range(count):
        print("a line like many others", number)

def raised(text):
    raise ValueError(text)

def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]

def blind():
    sys.stderr = None
    raise ValueError("unseen")

def deaf():
    os.closerange(3, 256)
    time.sleep(3600)

def mute():
    sys.stdout.close()
    os.close(1)
    os.close(2)
    return "done"

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass

async def waited():
    import asyncio
    await asyncio.sleep(0)
    return {"a": [1, None, "é"]}

def run(module_run):
    print("pid", os.getpid(), flush=True)
    # Only the tests write this code.
    return eval(module_run["inputs"]["do"])
"#;

/// A node with a module that does what its input says.
fn faulty() -> (TestNode, User) {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:faulty", FAULTY));
    let user = node.user();
    (node, user)
}

fn processes(node: &TestNode) -> BTreeSet<u32> {
    without_spares(working_in(&node.data()))
}

/// Runs code in the module, and sees that nothing is left of the run.
#[track_caller]
fn run(node: &TestNode, user: &User, module: &str, code: &str) -> RunView {
    let before = processes(node);
    let run = user.run(module, json!({ "do": code }));
    // One that is forked to wait for the next run has no name at first.
    soon(&format!("{code}: nothing is left"), || processes(node).is_subset(&before));
    assert!(node.scratch().is_empty(), "{code}: the scratch folder is left");
    run
}

#[track_caller]
fn fails(node: &TestNode, user: &User, module: &str, code: &str, error: &str, log: &str) {
    let run = run(node, user, module, code);
    assert_eq!(run.status, RunStatus::Error, "{code}: {run:?}");
    let message = run.error.expect("a message");
    assert!(message.contains(error), "{code}: `{error}` is not in `{message}`");
    assert_eq!(run.result, None);
    let printed = user.log(&run.id);
    assert!(printed.contains(log), "{code}: `{log}` is not in\n{printed}");
}

#[track_caller]
fn succeeds(node: &TestNode, user: &User, code: &str, result: &str) {
    let run = run(node, user, "agent:faulty", code);
    assert_eq!((run.status, run.error), (RunStatus::Completed, None), "{code}");
    assert_eq!(run.result.as_deref(), Some(result), "{code}");
}

#[test]
fn an_exception_or_exit_is_the_error_of_the_run() {
    let (node, user) = faulty();
    let cases = [
        ("raised('not today')", "ValueError: not today", "Traceback (most recent call last)"),
        ("raised('a\\n\"b\" \\0 é')", "ValueError: a\n\"b\" \0 é", "ValueError: a"),
        ("sys.exit(3)", "the module called sys.exit(3)", "Traceback (most recent call last)"),
        ("os._exit(3)", "exited with code 3 before it had a result", "pid"),
        ("os._exit(0)", "exited with code 0 before it had a result", "pid"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9", "pid"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11", "pid"),
        ("blind()", "ValueError: unseen", "ValueError: unseen"),
        ("nested(100000)", "RecursionError", "RecursionError"),
        ("{1, 2}", "neither text nor JSON: Object of type set", "pid"),
        ("float('nan')", "neither text nor JSON: Out of range float", "pid"),
        ("'\\ud800'", "neither text nor JSON: 'utf-8' codec can't encode", "pid"),
        ("'x' * (17 << 20)", "result limit of 16 MiB reached", "pid"),
        ("deaf()", "gave up its connection to the node", "pid"),
        // It holds the channel open as long as it lives.
        ("os.fork() and os._exit(5) or time.sleep(3600)", "exited with code 5", "pid"),
    ];
    for (code, error, log) in cases {
        fails(&node, &user, "agent:faulty", code, error, log);
    }
    let long = run(&node, &user, "agent:faulty", "raised('x' * (20 << 20))").error.expect("a message");
    assert!(long.starts_with("ValueError: xxx") && long.ends_with('…') && long.len() < 10_000, "{}", long.len());
    succeeds(&node, &user, "'still there'", "still there");
}

// Naptha's defects: F13
#[test]
fn what_is_returned_is_the_result() {
    let (node, user) = faulty();
    let cases = [
        ("'text\\n\\0é'", "text\n\0é"),
        ("''", ""),
        ("None", "null"),
        ("{'a': [1, 2.5, True]}", r#"{"a": [1, 2.5, true]}"#),
        ("waited()", r#"{"a": [1, null, "\u00e9"]}"#),
        ("mute()", "done"),
        ("threading.Thread(target=time.sleep, args=[3600], daemon=True).start()", "null"),
        ("threading.Thread(target=time.sleep, args=[3600]).start()", "null"),
    ];
    for (code, result) in cases {
        succeeds(&node, &user, code, result);
    }
    let large = run(&node, &user, "agent:faulty", "'é' * (7 << 20)");
    assert_eq!(large.result.map(|result| result.len()), Some(14 << 20));
}

#[test]
fn nothing_that_a_run_starts_outlives_it() {
    let (node, user) = faulty();
    for (number, start) in [
        "background(['sleep', 'M'])",
        "background(['sh', '-c', 'sleep M & exit 0'])",
        "background(['setsid', 'sleep', 'M'])",
        "background(['setsid', 'sh', '-c', 'setsid sleep M & sleep M'])",
        "daemon_process('M')",
    ]
    .into_iter()
    .enumerate()
    {
        // A number of seconds that nobody else sleeps.
        let marker = format!("3{}{number}", node.pid());
        for end in ["'fine'", "raised('not')", "os._exit(1)"] {
            let code = format!("({}, {end})", start.replace('M', &marker));
            run(&node, &user, "agent:faulty", &code);
            assert_eq!(called_with(&marker), BTreeSet::new(), "{code}");
        }
    }
}

#[test]
fn a_run_that_ends_leaves_the_others_alone() {
    let (node, user) = faulty();
    let marker = format!("4{}", node.pid());
    let other = user.start("agent:faulty", json!({ "do": format!("(daemon_process('{marker}'), stubborn())") }));
    user.line(&other.id, "ready");
    soon("the daemon runs", || called_with(&marker).len() == 1);
    run_beside(&node, &user, "(background(['setsid', 'sleep', '3599']), 'done')");
    run_beside(&node, &user, "os._exit(1)");
    assert_eq!(user.view(&other.id).status, RunStatus::Processing);
    assert_eq!(called_with(&marker).len(), 1);
    user.cancel(&other.id);
    assert_eq!(user.ended(&other.id).status, RunStatus::Cancelled);
    assert_eq!(called_with(&marker), BTreeSet::new());
}

#[track_caller]
fn run_beside(node: &TestNode, user: &User, code: &str) {
    let before = processes(node);
    user.run("agent:faulty", json!({ "do": code }));
    soon(&format!("{code}: nothing is left"), || processes(node).is_subset(&before));
}

// Naptha's defects: B5
#[test]
fn limits_end_a_run_and_are_named() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let more = "[limits]\ntimeout = \"1s\"\nmemory = \"96MiB\"\n";
    node.deploy(&Python { more, ..Python::new("agent:limited", FAULTY) });
    let fails = |code: &str, error: &str, log: &str| fails(&node, &user, "agent:limited", code, error, log);
    fails("[None for _ in iter(int, 1)]", "limit of", "pid");
    fails("all(True for _ in iter(int, 1))", "time limit of 1 s reached", "pid");
    fails("time.sleep(3600)", "time limit of 1 s reached", "pid");
    fails("stubborn()", "time limit of 1 s reached", "ready");
    fails("subprocess.run(['sleep', '3600'])", "time limit of 1 s reached", "pid");
    fails("bytearray(1 << 30)", "memory limit of 96 MiB reached", "MemoryError");
    fails("[' ' * number for number in range(1 << 20)]", "memory limit of 96 MiB reached", "MemoryError");
    fails("threading.main_thread() and [bytearray(1 << 20) for _ in iter(int, 1)]", "memory limit", "MemoryError");
}

#[test]
fn endless_output_ends_the_run_and_costs_the_node_little() {
    let (node, user) = faulty();
    let before = peak_memory(node.pid());
    let start = Instant::now();
    for code in ["lines(5_000_000)", "endless_line()", "os.write(2, b'\\n' * 100_000_000)", "os.system('yes')"] {
        let run = run(&node, &user, "agent:faulty", code);
        assert_eq!(run.error.as_deref(), Some("output limit of 10 MiB reached"), "{code}");
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    let grown = peak_memory(node.pid()) - before;
    assert!(grown < 150 << 20, "the node has grown by {} MiB", grown >> 20);
    let database = std::fs::metadata(node.data().join("node.sqlite")).expect("a file").len();
    assert!(database < 80 << 20, "the database has {} MiB", database >> 20);
}

#[test]
fn a_cut_line_is_not_cut_within_a_character() {
    let (node, user) = faulty();
    let run = run(&node, &user, "agent:faulty", "print('x' + 'é' * 100_000)");
    let printed = user.log(&run.id);
    assert!(!printed.contains('\u{fffd}'));
    assert_eq!(printed.matches('é').count(), 100_000);
}

#[test]
fn a_module_that_can_no_longer_be_loaded_says_why() {
    let node = TestNode::start(&[]);
    let user = node.user();
    // All is well while they are deployed.
    let gate = Gate::new();
    let later = |broken: &str| format!("{IS_OPEN}\nif is_open({:?}):\n    {broken}\n", gate.name());
    let run = "def run(module_run):\n    return 'fine'\n";
    let strict = "class InputSchema:\n    def __init__(self, prompt):\n        self.prompt = prompt\n\n    \
                  def model_dump(self):\n        return {'prompt': self.prompt}\n";
    let cases = [
        ("agent:bad_syntax", run, later("exec('def x(:')"), "SyntaxError: invalid syntax", "Traceback"),
        ("agent:bad_import", run, later("import no_such_module"), "No module named 'no_such_module'", "Traceback"),
        ("agent:no_entry", run, later("del run"), "`no_entry.run` has no function `run`", ""),
        ("agent:no_schema", ANY_INPUTS, later("del InputSchema"), "`no_schema.schemas` has no class `InputSchema`", ""),
        ("agent:bad_schema", ANY_INPUTS, later("1 / 0"), "ZeroDivisionError: division by zero", "Traceback"),
        ("agent:strict", strict, String::new(), "the inputs do not fit `InputSchema`", ""),
    ];
    for (id, code, broken, ..) in &cases {
        let code = format!("{code}{broken}");
        let is_schema = code.contains("InputSchema");
        let (run, schemas) = if is_schema { (run, code.as_str()) } else { (code.as_str(), ANY_INPUTS) };
        node.deploy(&Python { schemas, ..Python::new(id, run) });
    }
    gate.open();
    for (id, _, _, error, log) in cases {
        fails(&node, &user, id, "anything", error, log);
    }
    let ran = node.napt(&["run", "agent:strict", "-p", "prompts=1"]).expect(1);
    assert!(ran.stderr.contains("unexpected keyword argument 'prompts'"), "{}", ran.stderr);
    assert_eq!(node.napt(&["run", "agent:strict", "-p", "prompt=1"]).expect(0).stdout, "fine\n");
}

/// Sends a signal to the node's warm interpreters, which only somebody outside of the sandbox can.
fn signal_interpreters(node: &TestNode, signal: &str) {
    let is_interpreter = |pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with("python")
    };
    let interpreters: Vec<u32> = working_in(&node.data()).into_iter().filter(is_interpreter).collect();
    assert!(!interpreters.is_empty(), "an interpreter is there");
    for pid in interpreters {
        std::process::Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill");
    }
}

#[test]
fn an_interpreter_that_does_not_answer_is_replaced() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let more = "[limits]\ntimeout = \"1s\"\n";
    node.deploy(&Python { more, ..Python::new("agent:limited", FAULTY) });
    let run = user.start("agent:limited", json!({ "do": "print('here', flush=True) or time.sleep(3600)" }));
    user.line(&run.id, "here");
    signal_interpreters(&node, "-STOP");
    assert_eq!(user.ended(&run.id).error.as_deref(), Some("time limit of 1 s reached"));
    soon("its process has ended", || processes(&node).is_empty());
    assert_eq!(user.run("agent:limited", json!({ "do": "'again'" })).result.as_deref(), Some("again"));
    // Here nothing runs, and the next run finds the interpreter stopped.
    signal_interpreters(&node, "-STOP");
    assert_eq!(user.run("agent:limited", json!({ "do": "'again'" })).result.as_deref(), Some("again"));
}

#[test]
fn a_dead_interpreter_ends_its_runs_and_is_replaced() {
    let (node, user) = faulty();
    let other = user.start("agent:faulty", json!({ "do": "stubborn()" }));
    user.line(&other.id, "pid");
    let killer = user.run("agent:faulty", json!({ "do": "os.kill(os.getppid(), signal.SIGKILL)" }));
    assert_eq!(killer.error.as_deref(), Some("PermissionError: [Errno 1] Operation not permitted"));
    signal_interpreters(&node, "-KILL");
    let other = user.ended(&other.id);
    assert_eq!(other.error.as_deref(), Some("the module's interpreter died, and the run with it"));
    soon("its process has ended", || processes(&node).is_empty());
    assert_eq!(user.run("agent:faulty", json!({ "do": "'again'" })).result.as_deref(), Some("again"));

    // While none runs: the node learns of it by the next fork at the latest.
    for _ in 0..5 {
        for pid in processes(&node) {
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        }
        assert_eq!(user.run("agent:faulty", json!({ "do": "'again'" })).result.as_deref(), Some("again"));
    }
}
