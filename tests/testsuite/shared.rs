//! `isolation = "shared"`: runs of one module and user in one interpreter; what is each run's own, and how they end.

use std::collections::BTreeSet;

use napt::wire::{RunStatus, RunView};
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    modules::{Python, copy_fixtures},
    node::{TestNode, User},
    processes::soon,
};

const SHARED: &str = "[limits]\nisolation = \"shared\"\ntimeout = \"60s\"\n";

/// A node that allows it, with a module whose function does this.
fn node(code: &str) -> (TestNode, User) {
    node_with(code, SHARED)
}

fn node_with(code: &str, more: &str) -> (TestNode, User) {
    let node = TestNode::start(&["--allow-shared"]);
    node.deploy(&Python { more, ..Python::new("agent:sharer", code) });
    let user = node.user();
    (node, user)
}

#[track_caller]
fn result(user: &User, run: RunView) -> Value {
    assert_eq!(run.status, RunStatus::Completed, "{:?}\n{}", run.error, user.log(&run.id));
    let result = run.result.expect("a result");
    serde_json::from_str(&result).unwrap_or(Value::String(result))
}

#[track_caller]
fn run(user: &User, inputs: Value) -> Value {
    result(user, user.run("agent:sharer", inputs))
}

/// Which interpreter it is, and what its inputs say.
const WHO: &str = r#"
import asyncio, os, time, uuid

WHO = uuid.uuid4().hex

async def run(module_run):
    inputs = module_run["inputs"]
    if inputs.get("die"):
        os._exit(3)
    if inputs.get("stuck"):
        print("stuck", flush=True)
        while True:
            pass
    if "wait" in inputs:
        print("waiting", flush=True)
        try:
            await asyncio.sleep(inputs["wait"])
        finally:
            print("over")
    return WHO
"#;

/// Meets the other runs, and then looks at what is its own in all the ways in which it can be asked for.
const OWN: &str = r#"
import asyncio, concurrent.futures, logging, os, subprocess, sys, tempfile, threading, uuid
import napt
from os import environ

WHO, MET = uuid.uuid4().hex, []
POOL = concurrent.futures.ThreadPoolExecutor(1)
logging.basicConfig(stream=sys.stdout, format="logged %(message)s", level=logging.INFO)

def id():
    return os.environ["NAPT_RUN_ID"]

def in_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(id()))
    thread.start()
    thread.join()
    return found[0]

async def run(module_run):
    own, count = module_run["id"], module_run["inputs"]["runs"]
    MET.append(own)
    while len(MET) < count:
        await asyncio.sleep(0.001)
    loop = asyncio.get_running_loop()
    environ["MINE"] = own
    print("printed", own)
    print("to stderr", own, file=sys.stderr)
    logging.info(own)
    sys.stdout.buffer.write(b"bytes %s\n" % own.encode())
    os.makedirs(os.environ["TMPDIR"], exist_ok=True)
    await asyncio.to_thread(print, "in a thread", own)
    print("no end of a line", end="")
    return {
        "who": WHO,
        "met": len(MET),
        "ids": [
            id(), os.getenv("NAPT_RUN_ID"), os.environb[b"NAPT_RUN_ID"].decode(), environ["MINE"], in_thread(),
            await asyncio.to_thread(id), await loop.run_in_executor(POOL, id), await loop.run_in_executor(None, id),
            await loop.run_in_executor(None, in_thread),
            subprocess.run(["sh", "-c", "printf $NAPT_RUN_ID"], capture_output=True, text=True).stdout,
            os.environ["NAPT_RUN_TOKEN"].partition(".")[0], napt.run()["id"],
            os.path.basename(os.path.expanduser("~")).partition("-")[0],
        ],
        "folder": tempfile.mkdtemp().startswith(os.environ["TMPDIR"] + "/" ) and own in os.environ["TMPDIR"],
        "clean": "MINE" not in os.environ or os.environ["MINE"] == own,
    }
"#;

#[test]
fn environment_and_output_are_each_runs_own() {
    let (_node, user) = node(OWN);
    let runs: Vec<RunView> = (0..8).map(|_| user.start("agent:sharer", json!({ "runs": 8 }))).collect();
    let mut interpreters = BTreeSet::new();
    for started in runs {
        let id = started.id;
        let found = result(&user, user.ended(&id));
        assert_eq!(found["ids"], json!(vec![&id; 13]), "{found:#}");
        assert_eq!((&found["met"], &found["folder"], &found["clean"]), (&json!(8), &json!(true), &json!(true)));
        interpreters.insert(found["who"].as_str().expect("text").to_owned());
        let log = user.log(&id);
        let mut lines: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        let mut expected: Vec<String> = ["printed", "to stderr", "logged", "bytes", "in a thread"]
            .map(|what| format!("{what} {id}"))
            .into_iter()
            .chain(["no end of a line".to_owned()])
            .collect();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }
    assert_eq!(interpreters.len(), 1, "they met in one");
}

#[test]
fn an_interpreter_is_one_users_and_one_versions() {
    let mut other = Sandbox::new();
    let key = napt::identity::CredentialStore::new(other.home().join("napt").join("config")).key_or_create();
    let id = key.expect("a key").public().user_id();
    let node = TestNode::start(&["--allow-shared", "--user", &id]);
    other.set("NAPT_NODE", &node.url);
    node.deploy(&Python { more: SHARED, ..Python::new("agent:sharer", WHO) });
    let who = |sandbox: &Sandbox| {
        let ran = sandbox.napt(&["run", "agent:sharer", "--message-format", "json"]).expect(0);
        ran.json()["data"]["run"]["result"].as_str().expect("a result").to_owned()
    };
    let (mine, theirs) = (who(&node.sandbox), who(&other));
    assert_ne!(mine, theirs);
    assert_eq!((who(&node.sandbox), who(&other)), (mine.clone(), theirs.clone()));
    node.deploy(&Python { more: SHARED, version: "0.2.0", ..Python::new("agent:sharer", WHO) });
    let next = who(&node.sandbox);
    assert!(next != mine && next != theirs);
}

#[test]
fn a_node_that_does_not_allow_it_says_so_in_the_log_and_gives_a_process() {
    let node = TestNode::start(&[]);
    node.deploy(&Python { more: SHARED, ..Python::new("agent:sharer", WHO) });
    let user = node.user();
    let runs = [(); 2].map(|()| user.run("agent:sharer", json!({})));
    assert_ne!(runs[0].result, runs[1].result);
    for run in runs {
        let told = "napt: this node does not allow `isolation = \"shared\"`: the run has a process of its own";
        assert_eq!(user.log(&run.id), told);
    }
}

#[test]
fn a_run_that_stops_when_told_leaves_the_interpreter_to_the_others() {
    let (_node, user) = node_with(WHO, "[limits]\nisolation = \"shared\"\ntimeout = \"2s\"\n");
    let who = run(&user, json!({}));
    let late = user.run("agent:sharer", json!({ "wait": 600 }));
    assert_eq!((late.status, late.error.as_deref()), (RunStatus::Error, Some("time limit of 2 s reached")));
    assert_eq!(user.log(&late.id), "waiting\nover");
    let told = user.start("agent:sharer", json!({ "wait": 600 }));
    user.line(&told.id, "waiting");
    user.cancel(&told.id);
    assert_eq!(user.ended(&told.id).status, RunStatus::Cancelled);
    assert_eq!(run(&user, json!({})), who);
}

#[test]
fn one_that_does_not_stop_costs_the_interpreter() {
    let (_node, user) = node(WHO);
    let who = run(&user, json!({}));
    let stuck = user.start("agent:sharer", json!({ "stuck": true }));
    user.line(&stuck.id, "stuck");
    user.cancel(&stuck.id);
    assert_eq!(user.ended(&stuck.id).status, RunStatus::Cancelled);
    assert_ne!(run(&user, json!({})), who);
}

#[test]
fn an_idle_interpreter_rests() {
    let node = TestNode::start(&["--allow-shared", "--keep-warm", "0"]);
    node.deploy(&Python { more: SHARED, ..Python::new("agent:sharer", WHO) });
    let user = node.user();
    let who = run(&user, json!({}));
    soon("it has rested, and the next run has another", || run(&user, json!({})) != who);
    // One that is at work does not.
    let waits = user.start("agent:sharer", json!({ "wait": 1 }));
    assert_eq!(user.ended(&waits.id).status, RunStatus::Completed);
}

#[test]
fn one_that_dies_takes_the_others_with_it_and_the_next_goes_on() {
    let (_node, user) = node(WHO);
    let who = run(&user, json!({}));
    let waits = user.start("agent:sharer", json!({ "wait": 600 }));
    user.line(&waits.id, "waiting");
    for ended in [user.run("agent:sharer", json!({ "die": true })), user.ended(&waits.id)] {
        let died = "the module's interpreter died, and the run with it";
        assert_eq!((ended.status, ended.error.as_deref()), (RunStatus::Error, Some(died)));
    }
    assert_ne!(run(&user, json!({})), who);
}

/// Ends in the ways in which a function can end.
const ENDS: &str = r#"
import asyncio, sys

LEFT = []

async def left():
    try:
        await asyncio.sleep(600)
    finally:
        LEFT.append("ended")

async def exits():
    sys.exit(4)

async def run(module_run):
    how = module_run["inputs"]["how"]
    if how == "raise":
        raise ValueError("no flour")
    if how == "exit":
        sys.exit(3)
    if how == "leave":
        asyncio.get_running_loop().create_task(left())
        asyncio.get_running_loop().create_task(exits())
        await asyncio.sleep(0)
        return "left"
    if how == "left":
        return LEFT
    if how == "set":
        return {1, 2}
    if how == "nothing":
        return None
    if how == "much":
        print("x" * 2000 + "\n", end="")
        while True:
            print("y" * 99_999)
            await asyncio.sleep(0)
    if how == "large":
        return "z" * (17 << 20)
    if how == "huge":
        return "z" * (65 << 20)
    if how == "memory":
        return len(bytearray(1 << 30))
"#;

#[test]
fn ends_are_as_in_a_process() {
    let (_node, user) = node(ENDS);
    for (how, error) in [
        ("raise", "ValueError: no flour"),
        ("exit", "the module called sys.exit(3)"),
        ("set", "the module returned what is neither text nor JSON: Object of type set is not JSON serializable"),
        ("much", "output limit of 10 MiB reached"),
        ("large", "result limit of 16 MiB reached"),
        ("huge", "result limit of 64 MiB reached"),
        ("memory", "memory limit of 512 MiB reached"),
    ] {
        let ended = user.run("agent:sharer", json!({ "how": how }));
        assert_eq!((ended.status, ended.error.as_deref()), (RunStatus::Error, Some(error)), "{how}");
        if how == "raise" {
            let log = user.log(&ended.id);
            assert!(log.contains("Traceback") && log.contains("no flour"), "{log}");
        }
    }
    assert_eq!(run(&user, json!({ "how": "nothing" })), Value::Null);
    // What a run leaves ends with it, and what that raises ends nothing else.
    assert_eq!(run(&user, json!({ "how": "leave" })), "left");
    soon("the task has ended", || run(&user, json!({ "how": "left" })) == json!(["ended"]));
    let wrong = user.run("agent:sharer", json!({ "how": 3, "more": 1 }));
    assert_eq!(wrong.status, RunStatus::Completed);
}

#[test]
fn an_import_that_fails_is_every_runs_error() {
    let code = "import os\nprint('importing')\nif 'NAPT_RUN_ID' not in os.environ:\n    raise KeyError('too early')\n\n\
                async def run(module_run):\n    return 'fine'\n";
    let (_node, user) = node(code);
    for _ in 0..2 {
        let ended = user.run("agent:sharer", json!({}));
        assert_eq!((ended.status, ended.error.as_deref()), (RunStatus::Error, Some("KeyError: 'too early'")));
        let log = user.log(&ended.id);
        assert!(log.contains("Traceback") && log.contains("run.py"), "{log}");
    }
}

/// Not asynchronous, so each run has a thread: waits until it is told how many there are, or calls itself.
const THREADS: &str = r#"
import asyncio, os, threading

import napt

HERE = []

def run(module_run):
    inputs = module_run["inputs"]
    if "runs" in inputs:
        HERE.append(os.environ["NAPT_RUN_ID"])
        while len(HERE) < inputs["runs"]:
            threading.Event().wait(0.001)
        print("met", napt.run()["id"])
        return HERE.index(module_run["id"])
    if inputs["deep"] == 0:
        return 1

    async def both():
        deeper = {"deep": inputs["deep"] - 1}
        return sum(map(int, await asyncio.gather(*(napt.call("agent:sharer", deeper) for _ in range(2)))))

    return asyncio.run(both())
"#;

#[test]
fn functions_that_are_not_asynchronous_have_threads_and_nested_ones_never_wait_for_each_other() {
    let (_node, user) = node(THREADS);
    let runs: Vec<RunView> = (0..20).map(|_| user.start("agent:sharer", json!({ "runs": 20 }))).collect();
    let mut places = BTreeSet::new();
    for started in runs {
        places.insert(result(&user, user.ended(&started.id)).as_u64().expect("a number"));
        assert_eq!(user.log(&started.id), format!("met {}", started.id));
    }
    assert_eq!(places.len(), 20);
    // More at each depth than there are threads for all.
    assert_eq!(run(&user, json!({ "deep": 6 })), 64);
}

/// Calls so many members at once, and has all their answers in order.
const CROWD: &str = r#"
import asyncio, napt

async def run(module_run):
    count = module_run["inputs"]["agents"]
    calls = (napt.call("agent:member", {"number": number}) for number in range(count))
    numbers = [int(number) for number in await asyncio.gather(*calls)]
    assert numbers == [number * 37 % 101 for number in range(count)], numbers
    return len(numbers)
"#;

const MEMBER: &str = r#"
import asyncio

async def run(module_run):
    number = module_run["inputs"]["number"]
    print("number", number)
    await asyncio.sleep(0.2)
    return number * 37 % 101
"#;

/// Every run of a crowd is a child of its orchestrator, ends well, and has its own line in its log.
fn crowd(isolation: &str, agents: usize) {
    let node = TestNode::start(&["--allow-shared"]);
    let limits = format!("[limits]\nisolation = \"{isolation}\"\n");
    let more = format!("[dependencies]\n\"agent:member\" = {{ path = \"../member\", version = \"0.1\" }}\n{limits}");
    Python { more: &limits, ..Python::new("agent:member", MEMBER) }.write(&node.sandbox);
    node.deploy(&Python { more: &more, ..Python::new("orchestrator:crowd", CROWD) });
    let user = node.user();
    let whole = user.run("orchestrator:crowd", json!({ "agents": agents }));
    assert_eq!(result(&user, whole.clone()), json!(agents));
    let tree = user.tree(&whole.id);
    assert_eq!(tree.len(), agents + 1);
    assert!(tree.iter().all(|run| run.status == RunStatus::Completed));
    assert!(tree[1..].iter().all(|child| child.parent.as_deref() == Some(whole.id.as_str())));
    let numbers: BTreeSet<String> = tree[1..].iter().step_by(agents / 20).map(|run| user.log(&run.id)).collect();
    assert_eq!(numbers.len(), 20, "{numbers:?}");
    assert!(numbers.iter().all(|log| log.starts_with("number ") && log.lines().count() == 1), "{numbers:?}");
}

#[test]
fn a_crowd_of_agents_in_one_interpreter() {
    crowd("shared", 500);
}

#[test]
fn a_crowd_of_agents_in_processes() {
    crowd("process", 100);
}

#[test]
fn the_unmodified_sdk_calls_from_and_into_shared_interpreters() {
    let node = TestNode::start(&["--allow-shared"]);
    copy_fixtures(&node.sandbox, &["contest", "guesser"], "1.0.5");
    for name in ["contest", "guesser"] {
        let path = node.sandbox.work().join(name).join("napt.toml");
        let text = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(path, format!("{text}\n{SHARED}")).expect("a file");
    }
    node.napt(&["deploy", "contest", "--no-verify"]).expect(0);
    let user = node.user();
    let runs: Vec<RunView> =
        (0..3).map(|_| user.start("orchestrator:contest", json!({ "agents": 40, "seconds": 0.1 }))).collect();
    for started in runs {
        let won = result(&user, user.ended(&started.id));
        assert_eq!((&won["agents"], user.tree(&started.id).len()), (&json!(40), 41));
    }
}

#[test]
fn secrets_are_a_runs_own_and_left_out_of_what_it_says() {
    let code = "import os\n\nFIRST = os.environ.get('LOCK_CODE')\n\nasync def run(module_run):\n    \
                print('it is', os.environ['LOCK_CODE'])\n    return [FIRST, os.environ['LOCK_CODE'][::-1], os.environ['LOCK_CODE']]\n";
    let (node, user) = node(code);
    node.sandbox.write("code.env", "LOCK_CODE=open-sesame-1234\n");
    node.napt(&["secret", "set", "LOCK_CODE", "--from-env-file", "code.env"]).expect(0);
    let ended = user.run("agent:sharer", json!({}));
    assert_eq!(user.log(&ended.id), "it is …");
    assert_eq!(result(&user, ended), json!([null, "4321-emases-nepo", "…"]));
}
