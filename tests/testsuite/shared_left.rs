//! What a run leaves in an interpreter that goes on without it: ended with it, set back, or told, and then the interpreter
//! takes no more runs. And how many interpreters stay when nothing is run in them.

use std::collections::BTreeSet;

use napt::wire::{RunStatus, RunView};
use serde_json::{Value, json};

use crate::support::{
    modules::Python,
    node::{TestNode, User},
    processes::{called_with, soon},
};

const SHARED: &str = "[limits]\nisolation = \"shared\"\ntimeout = \"60s\"\n";

/// Does what its inputs say, and says which interpreter it is: by a number, with which an import has started a process.
const LEAVER: &str = r#"
import asyncio, atexit, concurrent.futures, contextlib, ctypes, inspect, io, locale, os, random, resource, signal
import subprocess, sys, threading, time, _thread

HELPER = str(random.SystemRandom().randrange(8 * 10**9, 9 * 10**9))
subprocess.Popen(["sleep", HELPER])

TICKS = []
POOL = concurrent.futures.ThreadPoolExecutor(1)
LIBC = ctypes.CDLL(None)
LIBC.getenv.restype = ctypes.c_char_p

def forever(*_):
    while True:
        time.sleep(0.01)

def soon_over():
    time.sleep(0.05)

async def ticking():
    while True:
        TICKS.append("task")
        await asyncio.sleep(0.001)

async def deaf():
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

def tick():
    TICKS.append("timer")
    asyncio.get_running_loop().call_later(0.001, tick)

async def begun(awaitable):
    asyncio.ensure_future(awaitable)
    await asyncio.sleep(0.01)

async def watched():
    before = len(TICKS)
    await asyncio.sleep(0.1)
    return len(TICKS) - before

def detached(*command):
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork() == 0:
        os.execvp(command[0], command)
    os._exit(0)

def change():
    os.chdir("/usr")
    os.umask(0)
    os.putenv("LEFT", "here")
    locale.setlocale(locale.LC_ALL, "C")
    sys.setrecursionlimit(12345)
    sys.setswitchinterval(0.5)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(3600)
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.environ["LEFT"] = "here"
    atexit.register(print, "at exit")
    sys.stdout = io.StringIO()
    print("nobody sees it")

def state():
    mask = os.umask(0)
    os.umask(mask)
    return [
        os.getcwd(), mask, str(LIBC.getenv(b"LEFT")), locale.setlocale(locale.LC_ALL), sys.getrecursionlimit(),
        sys.getswitchinterval(), str(signal.getsignal(signal.SIGTERM)), signal.alarm(0),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0], "LEFT" in os.environ, isinstance(sys.stdout, io.StringIO),
    ]

async def run(module_run):
    inputs = module_run["inputs"]
    # Only the tests write this code.
    done = eval(inputs["do"], globals(), inputs)
    if inspect.isawaitable(done):
        done = await done
    return {"who": HELPER, "done": done if isinstance(done, (list, int, str)) else None}
"#;

fn node() -> (TestNode, User) {
    let node = TestNode::start(&["--allow-shared"]);
    node.deploy(&Python { more: SHARED, ..Python::new("agent:leaver", LEAVER) });
    let user = node.user();
    (node, user)
}

#[track_caller]
fn result(run: &RunView) -> (String, Value) {
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.error);
    let result: Value = serde_json::from_str(run.result.as_deref().expect("a result")).expect("JSON");
    (result["who"].as_str().expect("text").to_owned(), result["done"].clone())
}

/// Runs this code: the interpreter, and the result.
#[track_caller]
fn does(user: &User, code: &str) -> (String, Value) {
    result(&user.run("agent:leaver", json!({ "do": code })))
}

#[test]
fn what_can_be_ended_ends_with_its_run() {
    let (node, user) = node();
    let (who, _) = does(&user, "0");
    let mark = format!("7{}", node.pid());
    for code in [
        "begun(ticking())".to_owned(),
        "tick()".to_owned(),
        "threading.Thread(target=soon_over).start()".to_owned(),
        "POOL.submit(soon_over)".to_owned(),
        format!("subprocess.Popen(['sleep', '{mark}'])"),
        format!("asyncio.create_subprocess_exec('sleep', '{mark}')"),
        format!("asyncio.to_thread(detached, 'sleep', '{mark}')"),
        format!("detached('sh', '-c', 'setsid sleep {mark} & sleep {mark}')"),
        format!("os.posix_spawn('/bin/sleep', ['sleep', '{mark}'], {{}}) and 0"),
    ] {
        let run = user.run("agent:leaver", json!({ "do": code }));
        assert_eq!(result(&run).0, who, "{code}");
        assert_eq!(user.log(&run.id), "", "{code}");
        assert_eq!(called_with(&mark), BTreeSet::new(), "{code}");
        assert_eq!(does(&user, "watched()"), (who.clone(), json!(0)), "{code}");
    }
    // What its import has started is the module's, as its globals are.
    assert_eq!(called_with(&who).len(), 1);
}

#[test]
fn what_a_run_starts_is_left_alone_while_others_end() {
    let (node, user) = node();
    let mark = format!("7{}", node.pid());
    let code = format!("asyncio.to_thread(subprocess.run, ['sleep', '{mark}'])");
    let waits = user.start("agent:leaver", json!({ "do": code }));
    let aside = user.start(
        "agent:leaver",
        json!({ "do": format!("[detached('sleep', '{mark}0'), print('there'), asyncio.sleep(600)][2]") }),
    );
    user.line(&aside.id, "there");
    soon("both are there", || called_with(&mark).len() == 1 && called_with(&format!("{mark}0")).len() == 1);
    for _ in 0..3 {
        does(&user, "subprocess.Popen(['sleep', '3597']) and 0");
        assert_eq!(called_with("3597"), BTreeSet::new());
    }
    assert_eq!((called_with(&mark).len(), called_with(&format!("{mark}0")).len()), (1, 1));
    for run in [&aside, &waits] {
        user.cancel(&run.id);
        assert_eq!(user.ended(&run.id).status, RunStatus::Cancelled);
    }
    // Whose that was nobody knew, until nobody was left that it could be of.
    does(&user, "0");
    assert_eq!((called_with(&mark).len(), called_with(&format!("{mark}0")).len()), (0, 0));
}

#[test]
fn what_a_run_changes_of_the_process_is_set_back() {
    let (_node, user) = node();
    let before = does(&user, "state()");
    does(&user, "change()");
    assert_eq!(does(&user, "state()"), before);
    let run = user.run("agent:leaver", json!({ "do": "print('seen')" }));
    assert_eq!(user.log(&run.id), "seen");
}

#[test]
fn what_cannot_be_ended_costs_the_interpreter() {
    let (_node, user) = node();
    for (code, told) in [
        ("threading.Thread(target=forever, name='stayer', daemon=True).start()", "the thread `stayer`"),
        ("_thread.start_new_thread(forever, ()) and 0", "the thread `_thread`"),
        ("POOL.submit(forever) and 0", "work in an executor"),
        ("begun(deaf())", "the task `Task-"),
        ("os.nice(1)", "a change by `nice` ("),
    ] {
        let beside = user.start("agent:leaver", json!({ "do": "print('waiting') or asyncio.sleep(3)" }));
        user.line(&beside.id, "waiting");
        let leaves = user.run("agent:leaver", json!({ "do": code }));
        let (who, _) = result(&leaves);
        let log = user.log(&leaves.id);
        assert!(log.starts_with(&format!("napt: the run leaves {told}")), "{code}: {log}");
        assert!(log.ends_with(": its interpreter takes no more runs"), "{code}: {log}");
        assert_ne!(does(&user, "0").0, who, "{code}");
        // Who was there goes on, and then it ends, with all that is in it.
        assert_eq!(result(&user.ended(&beside.id)).0, who, "{code}");
        soon("it is gone", || called_with(&who).is_empty());
    }
}

#[test]
fn only_so_many_stay_and_the_longest_idle_go_first() {
    let node = TestNode::start(&["--allow-shared", "--max-warm", "2"]);
    let names = ["first", "second", "third", "fourth"];
    for (number, name) in names.iter().enumerate() {
        // One at `process` counts likewise.
        let more = if number == 1 { "" } else { SHARED };
        node.deploy(&Python { more, ..Python::new(&format!("agent:{name}"), &format!("{LEAVER}\nNAME = '{name}'\n")) });
    }
    let user = node.user();
    let who = |name: &str| result(&user.run(&format!("agent:{name}"), json!({ "do": "0" }))).0;
    let ran: Vec<String> = names.iter().map(|name| who(name)).collect();
    soon("only some are left", || called_with(&ran[0]).is_empty());
    assert_eq!(who("fourth"), ran[3], "the last one was not the first to go");
    assert_ne!(who("first"), ran[0]);
}
