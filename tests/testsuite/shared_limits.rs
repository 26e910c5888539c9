//! Limits of runs that share an interpreter: what hits one ends with its name and value, those beside it go on, and another
//! user's are not disturbed.

use std::collections::BTreeSet;

use napt::wire::{RunStatus, RunView};
use serde_json::json;

use crate::support::{
    Sandbox,
    modules::Python,
    node::{TestNode, User},
    processes::called_with,
};

const GREEDY: &str = r#"
import asyncio, inspect, os, subprocess, sys, threading, time, uuid

WHO = uuid.uuid4().hex

def spin():
    while True:
        pass

def little_by_little():
    taken = []
    while True:
        taken.append(bytearray(1 << 20))

def processes(mark):
    return [subprocess.Popen(["sleep", mark]) for _ in range(100)]

def forks(mark):
    while True:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", mark])

def threads():
    for _ in range(100):
        threading.Thread(target=time.sleep, args=[3600], daemon=True).start()

def hidden():
    try:
        [open("/dev/null") for _ in range(5000)]
    except OSError:
        raise ValueError("something else")

def write(name, size):
    with open(os.path.join(os.environ["HOME"], name), "wb") as file:
        file.write(b"x" * size)

async def write_many():
    for number in range(256):
        write(str(number), 64 << 10)
        await asyncio.sleep(0)
    await asyncio.sleep(3600)

async def chatter():
    while True:
        print("x" * 100)
        await asyncio.sleep(0)

async def run(module_run):
    print("ready")
    # Only the tests write this code.
    done = eval(module_run["inputs"]["do"])
    return await done if inspect.isawaitable(done) else done
"#;

/// The same as a function that is not asynchronous, so that each run has a thread.
const IN_THREADS: &str = r#"
def run(module_run):
    print("ready")
    done = eval(module_run["inputs"]["do"])
    return asyncio.run(done) if inspect.isawaitable(done) else done
"#;

const LIMITS: &str = "[limits]\nisolation = \"shared\"\ntimeout = \"3m\"\nmemory = \"256MiB\"\nprocesses = 16\nfiles = 64\n\
                      file-size = \"1MiB\"\ndisk = \"8MiB\"\noutput = \"4KiB\"\n";

#[track_caller]
fn ends(user: &User, module: &str, code: &str, error: &str) {
    let run = user.run(module, json!({ "do": code }));
    assert_eq!((run.status, run.error.as_deref()), (RunStatus::Error, Some(error)), "{module}: {code}");
}

fn waiting(user: &User, module: &str) -> RunView {
    let run = user.start(module, json!({ "do": "asyncio.sleep(3600)" }));
    user.line(&run.id, "ready");
    run
}

#[test]
fn each_limit_ends_its_run_and_those_beside_it_go_on() {
    let mut other = Sandbox::new();
    let key = napt::identity::CredentialStore::new(other.home().join("napt").join("config")).key_or_create();
    let key = key.expect("a key");
    let node = TestNode::start(&["--allow-shared", "--limit", "result=1KiB", "--user", &key.public().user_id()]);
    other.set("NAPT_NODE", &node.url);
    let late = LIMITS.replace("3m", "2s");
    node.deploy(&Python { more: LIMITS, ..Python::new("agent:greedy", GREEDY) });
    node.deploy(&Python { more: &late, ..Python::new("agent:late", GREEDY) });
    node.deploy(&Python { more: LIMITS, ..Python::new("agent:threaded", &format!("{GREEDY}{IN_THREADS}")) });
    let user = node.user();
    let client = napt::client::NodeClient::new(node.url.parse().expect("a URL"), reqwest::Client::new(), key);
    let stranger = User { runtime: tokio::runtime::Runtime::new().expect("a runtime"), client };
    let theirs = waiting(&stranger, "agent:greedy");
    let mark = format!("6{}", node.pid());
    for module in ["agent:greedy", "agent:threaded"] {
        let beside = waiting(&user, module);
        for (code, error) in [
            ("bytearray(1 << 30)", "memory limit of 256 MiB reached"),
            ("little_by_little()", "memory limit of 256 MiB reached"),
            (&format!("processes('{mark}')"), "process limit of 16 reached"),
            (&format!("forks('{mark}')"), "process limit of 16 reached"),
            ("[open('/dev/null') for _ in range(5000)]", "open file limit of 64 reached"),
            ("hidden()", "open file limit of 64 reached"),
            ("write('large', 2 << 20)", "file size limit of 1 MiB reached"),
            ("write_many()", "disk limit of 8 MiB reached"),
            ("chatter()", "output limit of 4 KiB reached"),
            ("'x' * 2000", "result limit of 1 KiB reached"),
        ] {
            ends(&user, module, code, error);
            assert_eq!(called_with(&mark), BTreeSet::new(), "{module}: {code}: processes are left");
            assert_eq!(user.view(&beside.id).status, RunStatus::Processing, "{module}: {code}");
        }
        if module == "agent:greedy" {
            // It leaves threads, so that nothing new begins in this interpreter, and what is there goes on.
            ends(&user, module, "threads()", "process limit of 16 reached");
        }
        assert_eq!(user.run(module, json!({ "do": "'fine'" })).result.as_deref(), Some("fine"));
        assert_eq!(user.view(&beside.id).status, RunStatus::Processing);
        user.cancel(&beside.id);
        assert_eq!(user.ended(&beside.id).status, RunStatus::Cancelled);
    }
    ends(&user, "agent:late", "asyncio.sleep(3600)", "time limit of 2 s reached");
    // Who never lets the others go on: they end by their own limits, and what comes then has another interpreter.
    let before = user.run("agent:late", json!({ "do": "WHO" })).result;
    let beside = waiting(&user, "agent:late");
    ends(&user, "agent:late", "spin()", "time limit of 2 s reached");
    assert_eq!(user.ended(&beside.id).error.as_deref(), Some("time limit of 2 s reached"));
    let after = user.run("agent:late", json!({ "do": "WHO" })).result;
    assert!(after.is_some() && after != before);
    assert_eq!(stranger.view(&theirs.id).status, RunStatus::Processing);
    stranger.cancel(&theirs.id);
    assert_eq!(stranger.ended(&theirs.id).status, RunStatus::Cancelled);
}

/// Uses up processor time in whatever way there is, and says when it was interrupted.
const BUSY: &str = r#"
import asyncio, concurrent.futures, inspect, os, subprocess, sys, threading, time, uuid

WHO = uuid.uuid4().hex

def spin():
    while True:
        pass

def again():
    while True:
        try:
            spin()
        except BaseException:
            pass

def standard():
    import json
    while True:
        json.dumps(list(range(1000)), indent=1)

async def little_by_little():
    while True:
        sum(range(20_000))
        await asyncio.sleep(0)

async def in_task():
    asyncio.create_task(little_by_little())
    await asyncio.sleep(3600)

def in_thread():
    thread = threading.Thread(target=spin)
    thread.start()
    thread.join()

def in_process():
    subprocess.run([sys.executable, "-S", "-c", "while True: pass"], check=True)

def in_fork():
    pid = os.fork()
    if pid == 0:
        spin()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def a_little():
    begun = time.thread_time()
    while time.thread_time() - begun < 0.4:
        pass
    return "done"

async def run(module_run):
    print("ready")
    # Only the tests write this code.
    done = eval(module_run["inputs"]["do"])
    return await done if inspect.isawaitable(done) else done
"#;

#[test]
fn processor_time_is_each_runs_own() {
    let node = TestNode::start(&["--allow-shared"]);
    let limits = "[limits]\nisolation = \"shared\"\ntimeout = \"2m\"\ncpu = \"1s\"\n";
    node.deploy(&Python { more: limits, ..Python::new("agent:busy", BUSY) });
    node.deploy(&Python { more: limits, ..Python::new("agent:threaded", &format!("{BUSY}{IN_THREADS}")) });
    let user = node.user();
    let error = "CPU limit of 1 s reached";
    for (module, codes) in [
        ("agent:busy", &["spin()", "standard()", "little_by_little()", "in_task()", "asyncio.to_thread(spin)"][..]),
        ("agent:threaded", &["spin()", "standard()", "in_thread()"][..]),
    ] {
        for code in codes {
            let before = user.run(module, json!({ "do": "WHO" })).result;
            let beside = waiting(&user, module);
            ends(&user, module, code, error);
            // It was interrupted wherever it was: what comes then has another interpreter, what is there goes on.
            let after = user.run(module, json!({ "do": "WHO" })).result;
            assert!(after.is_some() && after != before, "{module}: {code}");
            let there = user.view(&beside.id);
            assert_eq!((there.status, there.error), (RunStatus::Processing, None), "{module}: {code}");
            user.cancel(&beside.id);
            assert_eq!(user.ended(&beside.id).status, RunStatus::Cancelled);
        }
        // Many that use less than that each are not taken for one.
        let runs: Vec<RunView> = (0..4).map(|_| user.start(module, json!({ "do": "a_little()" }))).collect();
        for run in runs {
            assert_eq!(user.ended(&run.id).result.as_deref(), Some("done"), "{module}");
        }
        // What it starts has as much.
        ends(&user, module, "in_process()", error);
        let killed = user.run(module, json!({ "do": "in_fork()" }));
        assert_eq!(killed.result.as_deref(), Some("-24"), "{module}: {:?}", killed.error);
        // Who goes on all the same takes the interpreter along.
        let beside = waiting(&user, module);
        ends(&user, module, "again()", error);
        assert_eq!(user.ended(&beside.id).status, RunStatus::Error, "{module}");
        assert_eq!(user.run(module, json!({ "do": "a_little()" })).result.as_deref(), Some("done"));
    }
    // An event loop in a thread may go on whatever is raised in it: then the interpreter ends.
    ends(&user, "agent:threaded", "little_by_little()", error);
    assert_eq!(user.run("agent:threaded", json!({ "do": "a_little()" })).result.as_deref(), Some("done"));
}
