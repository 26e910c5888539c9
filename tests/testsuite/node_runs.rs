//! Runs from acceptance to end: inputs, events, cancelling, restarts, nested calls; and that none sees another.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use napt::{
    client::ClientError,
    wire::{EventPayload, NewToken, RunStatus, RunView},
};
use serde_json::{Value, json};

use crate::support::{
    gate::Gate,
    modules::{CALL, Python},
    node::{TestNode, User},
    processes::{soon, working_in},
};

const ECHO: &str = "def run(module_run):\n    return module_run['inputs']\n";

/// Runs until its gate is open.
const GATE: &str = r#"
import os, sys, time

def run(module_run):
    print("waiting", flush=True)
    while not os.path.exists(os.path.join(sys.prefix, module_run["inputs"]["gate"])):
        time.sleep(0.01)
    print("open", flush=True)
    return "passed"
"#;

fn calling(code: &str) -> String {
    format!("{CALL}\ndef run(module_run):\n    inputs = module_run['inputs']\n{code}")
}

/// A node with `agent:gate`, and `orchestrator:gates` that calls it twice.
fn gates(flags: &[&str]) -> (TestNode, User, Gate) {
    let node = TestNode::start(flags);
    Python::new("agent:gate", GATE).write(&node.sandbox);
    let more = "[dependencies]\n\"agent:gate\" = { path = \"../gate\", version = \"0.1\" }\n";
    let run = calling(
        "    from concurrent.futures import ThreadPoolExecutor\n    with ThreadPoolExecutor() as pool:\n        \
         return [run['result'] for run in pool.map(lambda _: call('agent:gate', inputs), range(2))]\n",
    );
    node.deploy(&Python { more, ..Python::new("orchestrator:gates", &run) });
    let user = node.user();
    (node, user, Gate::new())
}

fn statuses(runs: &[RunView]) -> Vec<RunStatus> {
    runs.iter().map(|run| run.status).collect()
}

// Naptha's defects: A9
#[test]
fn inputs_arrive_unchanged() {
    let node = TestNode::start(&[]);
    let user = node.user();
    node.deploy(&Python::new("agent:echo", ECHO));
    let odd = json!({
        "quotes": "'\"`$(touch /tmp/x)`; {{1+1}} __import__('os')",
        "lines": "a\nb\r\n\tc\\n",
        "nul": "a\0b",
        "unicode": "é 漢字 🦀 \u{202e}\u{feff}\u{2028}",
        "numbers": [0, -1, 1.5, 9_007_199_254_740_993_u64, 1e300],
        "nested": {"": [null, true, {"__class__": "x"}]},
    });
    let run = user.run("agent:echo", odd.clone());
    assert_eq!(serde_json::from_str::<Value>(&run.result.expect("a result")).expect("JSON"), odd);
    assert_eq!(run.inputs, odd);
    let text = odd.to_string();
    let ran = node.napt(&["run", "agent:echo", "-p", &text, "--message-format", "json"]).expect(0);
    let result = ran.json()["data"]["run"]["result"].as_str().expect("a result").to_owned();
    assert_eq!(serde_json::from_str::<Value>(&result).expect("JSON"), odd);

    let digest = "import hashlib\n\ndef run(module_run):\n    \
                  return hashlib.sha256(module_run['inputs']['text'].encode()).hexdigest()\n";
    node.deploy(&Python::new("agent:digest", digest));
    let text = "é\"\n".repeat((10 << 20) / 4);
    let run = user.run("agent:digest", json!({ "text": text }));
    assert_eq!((run.result, run.error), (Some(napt::identity::body_digest(text.as_bytes())), None));
}

#[test]
fn inputs_larger_than_a_request_may_be_are_refused() {
    let node = TestNode::start(&[]);
    let user = node.user();
    node.deploy(&Python::new("agent:echo", ECHO));
    for size in [64 << 20, 80 << 20] {
        match user.try_start("agent:echo", json!({ "text": "x".repeat(size) })) {
            Err(ClientError::Refused { problem, .. }) => {
                assert_eq!(problem.status, 413);
                assert!(problem.detail.contains("larger than 64 MiB"), "{}", problem.detail);
            }
            other => panic!("{other:?}"),
        }
    }
    for inputs in [json!([1]), json!("text"), json!(1)] {
        let Err(ClientError::Refused { problem, .. }) = user.try_start("agent:echo", inputs) else { panic!("refused") };
        assert_eq!((problem.status, problem.detail.as_str()), (422, "`inputs` must be a JSON object"));
    }
    assert!(user.runtime.block_on(user.client.runs(true, 10)).expect("runs").is_empty());
}

// Naptha's defects: B6
#[test]
fn a_killed_node_knows_every_run_and_ends_or_runs_it() {
    let (mut node, user, gate) = gates(&["--max-runs", "1"]);
    let running = user.start("orchestrator:gates", json!({ "gate": gate.name() }));
    soon("both children run", || {
        statuses(&user.tree(&running.id)) == [RunStatus::Processing, RunStatus::Processing, RunStatus::Processing]
    });
    let pending: Vec<RunView> =
        (0..3).map(|_| user.start("orchestrator:gates", json!({ "gate": gate.name() }))).collect();
    assert!(pending.iter().all(|run| user.view(&run.id).status == RunStatus::Pending));
    let left = node.data().join("modules").join(".unpack-left");
    std::fs::create_dir_all(left.join("module")).expect("a folder");
    std::fs::write(node.data().join("archives").join(".tmpleft"), "half").expect("a file");
    let before = working_in(&node.data());
    assert!(before.len() >= 4, "the parent that both modules share, and three runs: {before:?}");
    node.kill();
    soon("no process is left", || working_in(&node.data()).is_empty());

    gate.open();
    node.restart();
    assert!(!left.exists() && !node.data().join("archives").join(".tmpleft").exists());
    for run in user.tree(&running.id) {
        assert_eq!((run.status, run.error.as_deref()), (RunStatus::Error, Some("node restarted")));
        let last = user.events(&run.id, 0, true).pop().expect("an event");
        let end = EventPayload::Status { status: RunStatus::Error, message: Some("node restarted".to_owned()) };
        assert_eq!(last.payload, end);
    }
    for run in pending {
        let ended = user.ended(&run.id);
        assert_eq!(ended.error, None);
        assert_eq!(ended.result.as_deref(), Some(r#"["passed", "passed"]"#));
    }
    assert_eq!(node.scratch().len(), 0);
}

#[test]
fn a_stopped_node_leaves_no_process() {
    let (node, user, gate) = gates(&["--grace", "0"]);
    let run = user.start("orchestrator:gates", json!({ "gate": gate.name() }));
    soon("it runs", || user.tree(&run.id).len() == 3);
    let data = node.data();
    std::process::Command::new("kill").args(["-TERM", &node.pid().to_string()]).status().expect("kill");
    soon("no process is left", || working_in(&data).is_empty());
}

// Naptha's defects: B5
#[test]
fn cancelling_ends_what_waits_and_what_runs_with_all_below_it() {
    let (node, user, gate) = gates(&["--max-runs", "1"]);
    let inputs = json!({ "gate": gate.name() });
    let running = user.start("orchestrator:gates", inputs.clone());
    soon("its children run", || user.tree(&running.id).iter().filter(|run| run.started.is_some()).count() == 3);
    let idle: BTreeSet<u32> = BTreeSet::new();
    let pending = user.start("orchestrator:gates", inputs.clone());
    node.napt(&["cancel", &pending.id]).expect(0);
    let ended = user.ended(&pending.id);
    assert_eq!((ended.status, ended.error.as_deref()), (RunStatus::Cancelled, Some("cancelled")));
    assert_eq!(ended.started, None);
    assert_eq!(user.view(&running.id).status, RunStatus::Processing, "its turn has not come");

    node.napt(&["cancel", &running.id]).expect(0);
    assert_eq!(user.ended(&running.id).status, RunStatus::Cancelled);
    soon("the children have ended", || user.tree(&running.id).iter().all(|run| run.status.is_final()));
    assert_eq!(statuses(&user.tree(&running.id)), [RunStatus::Cancelled; 3]);
    let running_now: BTreeSet<u32> = working_in(&node.data()).into_iter().filter(|pid| is_run(*pid)).collect();
    assert_eq!(running_now, idle);

    // Again, and after the end of a good one.
    node.napt(&["cancel", &running.id]).expect(0);
    gate.open();
    let good = user.run("orchestrator:gates", inputs);
    node.napt(&["cancel", &good.id]).expect(0);
    assert_eq!(user.view(&good.id).status, RunStatus::Completed);
    node.napt(&["cancel", "0196f0c2a1b27c3d8e4f5a6b7c8d9e0f"]).expect(1);
}

/// Whether a process is a run.
fn is_run(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "napt-run\n")
}

#[test]
fn an_interrupted_run_is_cancelled() {
    let (node, user, gate) = gates(&[]);
    let inputs = json!({ "gate": gate.name() }).to_string();
    let mut command = node.sandbox.command(&["run", "agent:gate", "-p", &inputs]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("napt");
    let mut told = BufReader::new(process.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("waiting") {
        line.clear();
        assert_ne!(told.read_line(&mut line).expect("a line"), 0);
    }
    std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill");
    assert_eq!(process.wait().expect("it ends").code(), Some(130));
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("interrupted; the node was asked to cancel the run"), "{rest}");
    let run = user.runtime.block_on(user.client.runs(false, 1)).expect("runs").pop().expect("a run");
    assert_eq!(user.ended(&run.id).status, RunStatus::Cancelled);
}

/// A WebSocket message of a client, as RFC 6455 has it, with a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

#[test]
fn a_caller_that_goes_away_cancels_its_run() {
    let (node, user, gate) = gates(&[]);
    let token = NewToken { name: "test".to_owned(), expires_in: 600 };
    let token = user.runtime.block_on(user.client.new_token(&token)).expect("a token").token;
    let key = napt::identity::CredentialStore::new(node.sandbox.home().join("napt").join("config"))
        .key_or_create()
        .expect("a key");
    let consumer = key.public().user_id();
    let call = json!({
        "consumer_id": consumer,
        "inputs": { "gate": gate.name() },
        "deployment": { "module": { "name": "gate" } },
        "signature": key.sign_consumer(&consumer),
    });
    let mut socket = TcpStream::connect(node.address()).expect("a connection");
    let credential = STANDARD.encode(format!("{token}:"));
    write!(
        socket,
        "GET /ws/agent/run/x HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Basic {credential}\r\n\r\n",
        node.address()
    )
    .expect("sent");
    socket.write_all(&frame(&call.to_string())).expect("sent");
    let mut status = String::new();
    BufReader::new(&socket).read_line(&mut status).expect("a line");
    assert!(status.contains("101"), "{status}");
    let runs = || user.runtime.block_on(user.client.runs(true, 10)).expect("runs");
    soon("it runs", || runs().iter().any(|run| run.status == RunStatus::Processing));
    let run = runs().pop().expect("a run");
    user.line(&run.id, "waiting");
    drop(socket);
    assert_eq!(user.ended(&run.id).status, RunStatus::Cancelled);
}

#[test]
fn nested_calls_never_wait_for_each_other() {
    for (slots, count) in [("1", 3), ("2", 8)] {
        let (_node, user, gate) = gates(&["--max-runs", slots]);
        gate.open();
        let runs: Vec<RunView> =
            (0..count).map(|_| user.start("orchestrator:gates", json!({ "gate": gate.name() }))).collect();
        for run in runs {
            let ended = user.ended(&run.id);
            assert_eq!((ended.status, ended.error), (RunStatus::Completed, None));
            assert_eq!(user.tree(&run.id).len(), 3);
        }
    }
}

#[test]
fn events_are_numbered_and_can_be_read_from_anywhere() {
    let (node, user, gate) = gates(&[]);
    let run = user.start("agent:gate", json!({ "gate": gate.name() }));
    // Live: the line is there while the run waits.
    assert_eq!(user.line(&run.id, "waiting"), "");
    // Any number may be asked for, whatever is there.
    for after in [2, 3, 1 << 40, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        assert!(user.events(&run.id, after, false).is_empty(), "{after}");
    }
    let logs = node.napt(&["logs", &run.id]).expect(0);
    assert_eq!(logs.stdout, "waiting\n");
    let mut follow = node
        .sandbox
        .command(&["logs", "-f", &run.id])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("napt");
    let mut lines = BufReader::new(follow.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "waiting");
    gate.open();
    assert_eq!(lines.next().expect("a line").expect("text"), "open");
    assert!(follow.wait().expect("it ends").success());

    let all = user.events(&run.id, 0, true);
    let seen: Vec<(u64, EventPayload)> = all.iter().map(|event| (event.seq, event.payload.clone())).collect();
    let status = |status| EventPayload::Status { status, message: None };
    let line = |text: &str| EventPayload::Line { stream: "stdout".to_owned(), text: text.to_owned() };
    assert_eq!(
        seen,
        [
            (1, status(RunStatus::Processing)),
            (2, line("waiting")),
            (3, line("open")),
            (4, status(RunStatus::Completed)),
        ]
    );
    for after in 0..6 {
        let rest: Vec<u64> = user.events(&run.id, after, true).iter().map(|event| event.seq).collect();
        assert_eq!(rest, (after + 1..=4).collect::<Vec<_>>());
    }
    for after in [i64::MAX as u64, u64::MAX] {
        assert!(user.events(&run.id, after, true).is_empty(), "{after}");
    }
}

#[test]
fn many_events_come_without_gaps() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let run = "import sys\n\ndef run(module_run):\n    for n in range(5000):\n        \
               print(n, file=[sys.stdout, sys.stderr][n % 2])\n";
    node.deploy(&Python::new("agent:talk", run));
    let run = user.start("agent:talk", json!({}));
    let live = user.events(&run.id, 0, true);
    assert_eq!(live.len(), 5002);
    assert!(live.iter().zip(1..).all(|(event, number)| event.seq == number));
    let texts = |stream: &str| -> Vec<usize> {
        live.iter()
            .filter_map(|event| match &event.payload {
                EventPayload::Line { stream: from, text } if from == stream => text.parse().ok(),
                _ => None,
            })
            .collect()
    };
    assert_eq!(texts("stdout"), (0..5000).step_by(2).collect::<Vec<_>>());
    assert_eq!(texts("stderr"), (1..5000).step_by(2).collect::<Vec<_>>());
}

#[test]
fn runs_are_listed_and_shown_as_a_tree() {
    let (node, user, gate) = gates(&[]);
    let inputs = json!({ "gate": gate.name() }).to_string();
    let ran = node.napt(&["run", "--detach", "orchestrator:gates", "-p", &inputs]).expect(0);
    let id = ran.stdout.trim();
    soon("its children run", || user.tree(id).len() == 3);
    let status = node.napt(&["status", id]).expect(0).stdout;
    assert_eq!(status.lines().count(), 3, "{status}");
    assert!(status.starts_with(&format!("{id}  processing")), "{status}");
    assert_eq!(status.matches("  agent:gate").count(), 2, "{status}");
    gate.open();
    assert_eq!(user.ended(id).status, RunStatus::Completed);
    let called: BTreeSet<String> = user
        .events(id, 0, true)
        .into_iter()
        .filter_map(|event| match event.payload {
            EventPayload::Call { run, .. } => Some(run),
            _ => None,
        })
        .collect();
    let children = user.tree(id).into_iter().filter(|run| run.parent.as_deref() == Some(id)).map(|run| run.id);
    assert_eq!(called, children.collect());
    let runs = node.napt(&["runs"]).expect(0).stdout;
    assert!(runs.lines().count() == 1 && runs.contains("completed"), "{runs}");
    assert_eq!(node.napt(&["runs", "--all"]).expect(0).stdout.lines().count(), 3);
    node.napt(&["logs", "nothing"]).expect(1);
}

// Naptha's defects: B1, B4
#[test]
fn a_run_sees_nothing_of_the_one_before() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let run = r#"
import builtins, json, os, random, secrets, sys, tempfile, uuid

state = []

def run(module_run):
    seen = {
        "env": {name: value for name, value in os.environ.items() if name not in module_run["inputs"]["own"]},
        "names": sorted(os.environ),
        "cwd": os.getcwd(),
        "path": list(sys.path),
        "state": list(state),
        "builtin": getattr(builtins, "leak", None),
        "argv": sys.argv,
        "umask": os.umask(0o22),
        "files": sorted(os.listdir(os.environ["HOME"])),
        "fds": len(os.listdir("/proc/self/fd")),
    }
    own = {
        "random": random.random(), "uuid": str(uuid.uuid4()), "secret": secrets.token_hex(),
        "home": os.environ["HOME"], "key": os.environ["PRIVATE_KEY"], "token": os.environ["NAPT_RUN_TOKEN"],
        "temporary": tempfile.mkdtemp(), "mark": os.urandom(4).hex(),
    }
    assert own["temporary"].startswith(own["home"] + "/"), own
    state.append("leak")
    builtins.leak = "leak"
    os.environ["LEAK"] = "leak"
    sys.path.insert(0, "/leak")
    random.seed(7)
    os.umask(0o77)
    open(os.path.join(own["home"], "leak"), "w").close()
    os.chdir("/")
    return {"seen": seen, "own": own}
"#;
    node.deploy(&Python::new("agent:state", run));
    let own =
        ["HOME", "TMPDIR", "PRIVATE_KEY", "PRIVATE_KEY_FULL_PATH", "NAPT_RUN_ID", "NAPT_RUN_TOKEN", "NAPT_NODE_URL"];
    let runs: Vec<Value> = (0..4)
        .map(|_| {
            let run = user.run("agent:state", json!({ "own": own }));
            assert_eq!(run.error, None);
            serde_json::from_str(&run.result.expect("a result")).expect("JSON")
        })
        .collect();
    for run in &runs[1..] {
        assert_eq!(run["seen"], runs[0]["seen"]);
    }
    let names: BTreeSet<&str> =
        runs[0]["seen"]["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(names, own.into_iter().chain(["LANG", "PATH"]).collect());
    assert_eq!(runs[0]["seen"]["files"], json!(["delegate.key"]));
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in &runs {
        for (name, value) in run["own"].as_object().expect("an object") {
            values.entry(name.clone()).or_default().insert(value.to_string());
        }
    }
    for (name, values) in values {
        assert_eq!(values.len(), runs.len(), "`{name}` is the same in two runs");
    }
}

#[test]
fn a_waiting_run_keeps_the_revision_that_it_was_accepted_for() {
    let (mut node, user, gate) = gates(&["--max-runs", "1"]);
    let version = |text: &str| format!("def run(module_run):\n    return '{text}'\n");
    node.deploy(&Python::new("agent:revised", &version("first")));
    let running = user.start("agent:gate", json!({ "gate": gate.name() }));
    user.line(&running.id, "waiting");
    let waiting = user.start("agent:revised", json!({}));
    node.deploy(&Python::new("agent:revised", &version("second")));
    node.kill();
    node.restart();
    assert_eq!(user.ended(&waiting.id).result.as_deref(), Some("first"));
    assert_eq!(user.run("agent:revised", json!({})).result.as_deref(), Some("second"));
}
