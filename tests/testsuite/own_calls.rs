//! Calls of modules by modules, over the run's own channel and over the WebSocket door: same rules, same answers.

use std::process::Stdio;

use napt::wire::RunStatus;
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    gate::{Gate, IS_OPEN},
    modules::{Python, copy_fixtures},
    node::{TestNode, User, cache},
    processes::soon,
};

/// What every caller here begins with: `call(inputs)` runs the first agent with the SDK.
const CALLER: &str = r#"
import asyncio, json, math, os, threading, time

import websockets
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput

CONNECTIONS = []
connect = websockets.connect

def counted(*args, **kwargs):
    CONNECTIONS.append(args)
    return connect(*args, **kwargs)

websockets.connect = counted

async def run(module_run):
    global call, deployment
    module_run = OrchestratorRunInput(**module_run)
    deployment = module_run.deployment.agent_deployments[0]

    async def call(inputs, deployment=deployment):
        run_input = AgentRunInput(consumer_id=module_run.consumer_id, inputs=inputs, deployment=deployment, signature="x")
        return await Agent().run(run_input)

    return await what(module_run.inputs)
"#;

/// Does what its inputs say.
const WORKER: &str = r#"
import time

def run(module_run):
    inputs = module_run["inputs"]
    print("working", flush=True)
    if "fail" in inputs:
        raise ValueError(inputs["fail"])
    if "wait" in inputs:
        time.sleep(inputs["wait"])
    return inputs.get("say", "x" * inputs.get("size", 0))
"#;

/// A node with a worker, and an orchestrator that does `what`.
fn caller(what: &str) -> (TestNode, User) {
    let node = TestNode::start(&[]);
    write_caller(&node, what);
    node.napt(&["deploy", "caller", "--no-verify"]).expect(0);
    let user = node.user();
    (node, user)
}

fn write_caller(node: &TestNode, what: &str) {
    let more = "[dependencies]\n\"agent:worker\" = { path = \"../worker\", version = \"0.1\" }\n";
    let code = format!("{CALLER}\nasync def what(inputs):\n{what}");
    let requirements = &["naptha-sdk==1.0.5"];
    Python { more, requirements, ..Python::new("orchestrator:caller", &code) }.write(&node.sandbox);
    let files =
        json!([{ "name": "caller", "module": { "name": "caller" }, "agent_deployments": [{ "name": "worker" }] }]);
    node.sandbox.write("caller/caller/configs/deployment.json", files.to_string());
    node.sandbox
        .write("caller/caller/configs/agent_deployments.json", r#"[{"name": "worker", "module": {"name": "worker"}}]"#);
    Python::new("agent:worker", WORKER).write(&node.sandbox);
}

#[track_caller]
fn result(user: &User, inputs: Value) -> Value {
    let run = user.run("orchestrator:caller", inputs);
    assert_eq!(run.status, RunStatus::Completed, "{:?}\n{}", run.error, user.log(&run.id));
    serde_json::from_str(&run.result.expect("a result")).expect("JSON")
}

// Naptha's defects: F12
#[test]
fn the_sdks_calls_go_over_the_runs_own_channel_and_are_its_children() {
    let (_node, user) = caller(
        "    runs = await asyncio.gather(*(call({'say': f'{n}'}) for n in range(20)))\n    \
         one = runs[0].model_dump()\n    \
         return [len(CONNECTIONS), [run.results for run in runs], [one[key] for key in \
         ('status', 'error', 'error_message')], one['created_time'] <= one['start_processing_time'] <= \
         one['completed_time'], 0 < one['duration'] < 60 and one['duration'] != round(one['duration'])]\n",
    );
    let run = user.run("orchestrator:caller", json!({}));
    let said: Vec<[String; 1]> = (0..20).map(|n: u32| [n.to_string()]).collect();
    let found: Value = serde_json::from_str(&run.result.expect("a result")).expect("JSON");
    assert_eq!(found, json!([0, said, ["completed", false, ""], true, true]));
    let tree = user.tree(&run.id);
    assert_eq!(tree.len(), 21);
    assert!(tree[1..].iter().all(|child| child.parent.as_deref() == Some(run.id.as_str())), "{tree:?}");
}

// Naptha's defects: F5
#[test]
fn a_failed_call_is_told_as_the_sdk_tells_it_and_in_the_callers_own_error() {
    let (_node, user) = caller(
        "    if inputs.get('careless'):\n        return (await call({'fail': 'no flour'})).results[-1]\n    \
         run = await call({'fail': 'no flour'})\n    told = [run.status, run.error, run.results, run.error_message]\n    \
         for name in ('nonesuch', 'UP', None):\n        try:\n            \
         other = deployment.model_copy(update={'module': {'name': name}})\n            await call({}, other)\n        \
         except Exception as error:\n            told.append(str(error))\n    \
         try:\n        await call({'x': math.nan})\n    except ValueError as error:\n        told.append(str(error))\n    \
         return told\n",
    );
    let told = result(&user, json!({}));
    assert_eq!(
        told.as_array().expect("a list")[..4],
        [json!("error"), json!(true), json!([]), json!("ValueError: no flour")]
    );
    let parts = [
        "`agent:nonesuch` is not part of the deployment `caller`",
        "invalid character `U`",
        "does not name its module",
        "Out of range float values are not JSON compliant",
    ];
    for (message, part) in told.as_array().expect("a list")[4..].iter().zip(parts) {
        assert!(message.as_str().is_some_and(|message| message.contains(part)), "{part}: {told}");
    }
    assert_eq!(told.as_array().map(Vec::len), Some(8), "{told}");

    let run = user.run("orchestrator:caller", json!({ "careless": true }));
    assert_eq!(run.status, RunStatus::Error);
    let error = run.error.expect("an error");
    let expected = "IndexError: list index out of range (a call failed before: `agent:worker`: ValueError: no flour)";
    assert_eq!(error, expected);
}

#[test]
fn calls_that_nobody_waits_for_any_more_are_cancelled() {
    let (_node, user) = caller(
        "    slow = asyncio.ensure_future(call({'wait': 600}))\n    \
         while not inputs.get('all') and await asyncio.sleep(0.1, False): pass\n    \
         try:\n        await asyncio.wait_for(slow, 600 if inputs.get('all') else 3)\n    \
         except asyncio.TimeoutError:\n        return [(await call({'say': 'on'})).results[0], len(CONNECTIONS)]\n",
    );
    let run = user.run("orchestrator:caller", json!({}));
    assert_eq!(run.result.as_deref(), Some(r#"["on", 0]"#), "{:?}", run.error);
    let statuses = |id: &str| user.tree(id).iter().map(|run| run.status).collect::<Vec<_>>();
    assert_eq!(statuses(&run.id), [RunStatus::Completed, RunStatus::Cancelled, RunStatus::Completed]);

    // And with the run itself.
    let run = user.start("orchestrator:caller", json!({ "all": true }));
    soon("the child runs", || statuses(&run.id) == [RunStatus::Processing; 2]);
    user.cancel(&run.id);
    soon("both have ended", || statuses(&run.id) == [RunStatus::Cancelled; 2]);
}

// Naptha's defects: A9
#[test]
fn large_and_odd_values_pass_and_too_large_ones_are_refused() {
    let (_node, user) = caller(
        "    big = 'é\"' * (2 << 20)\n    echoed = (await call({'say': big})).results[0] == big\n    \
         large = len((await call({'size': 5 << 20})).results[0])\n    \
         odd = \"O'Brien ''' \\\"\\\"\\\" \\\\ in'+'jected {{1+1}} \\u2028 \\x00\"\n    \
         same = (await call({'say': odd})).results[0] == odd\n    \
         try:\n        await call({'say': 'x' * (65 << 20)})\n    except ValueError as error:\n        \
         return [echoed, large, same, str(error), (await call({'say': 'on'})).results[0]]\n",
    );
    assert_eq!(result(&user, json!({})), json!([true, 5 << 20, true, "the call is larger than 64 MiB", "on"]));
}

#[test]
fn threads_and_loops_of_their_own_call_too_and_processes_by_the_door() {
    let (_node, user) = caller(
        "    said = []\n    def one(number):\n        said.append(asyncio.run(call({'say': str(number)})).results[0])\n    \
         threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]\n    \
         for thread in threads: thread.start()\n    for thread in threads: await asyncio.to_thread(thread.join)\n    \
         connections = len(CONNECTIONS)\n    read, write = os.pipe()\n    if os.fork() == 0:\n        \
         async def ask():\n            os.write(write, ((await call({'say': 'forked'})).results[0] + ' ' + \
         str(len(CONNECTIONS))).encode())\n            os._exit(0)\n        \
         threading.Thread(target=asyncio.run, args=(ask(),)).start()\n        time.sleep(600)\n    \
         return [sorted(said), connections, os.read(read, 100).decode(), (await call({'say': 'on'})).results[0]]\n",
    );
    let said: Vec<String> = (0..8).map(|n: u32| n.to_string()).collect();
    assert_eq!(result(&user, json!({})), json!([said, 0, "forked 1", "on"]));
}

#[test]
fn an_address_of_another_run_is_the_doors_business() {
    let (_node, user) = caller(
        "    node = deployment.node\n    credential, _, host = node.ip.rpartition('@')\n    \
         forged = deployment.model_copy(update={'node': node.model_copy(update={'ip': credential[:-1] + 'z@' + host})})\n    \
         try:\n        await call({}, forged)\n    except Exception as error:\n        return [len(CONNECTIONS), str(error)]\n",
    );
    assert_eq!(result(&user, json!({})), json!([1, "server rejected WebSocket connection: HTTP 401"]));
}

#[test]
fn a_client_of_an_unknown_sdk_is_left_alone() {
    let node = TestNode::start(&[]);
    let code = "from naptha_sdk.client.node import NodeClient\n\n\
                def run(module_run):\n    return NodeClient.send_receive_ws.__qualname__\n";
    Python::new("agent:odd", code).write(&node.sandbox);
    let client = "class NodeClient:\n    def __init__(self, node):\n        pass\n\n    \
                  async def send_receive_ws(self, data, action, more=None):\n        return 'own'\n";
    node.sandbox.write("odd/naptha_sdk/client/node.py", client);
    node.napt(&["deploy", "odd", "--no-verify"]).expect(0);
    let run = node.user().run("agent:odd", json!({}));
    assert_eq!(run.result.as_deref(), Some("NodeClient.send_receive_ws"), "{:?}", run.error);
}

/// Put before an orchestrator: its calls go over its own channel, or fail.
const NO_DOOR: &str = "\
import websockets

def no_door(*args, **kwargs):
    raise AssertionError('a call by the WebSocket door')

websockets.connect = no_door

";

/// Changes a file of the work folder.
#[track_caller]
fn change(node: &TestNode, file: &str, change: impl FnOnce(&str) -> String) {
    let path = node.sandbox.work().join(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    let changed = change(&text);
    assert_ne!(changed, text, "{file} is another one now");
    std::fs::write(path, changed).expect("a file");
}

/// A contest; `together`, each agent waits until all have begun, which never happens when they run one by one.
fn contest(agents: u32, together: bool) {
    let node = TestNode::start(&[]);
    copy_fixtures(&node.sandbox, &["contest", "guesser"], "1.0.5");
    change(&node, "contest/contest/run.py", |text| format!("{NO_DOOR}{text}"));
    let gate = Gate::new();
    if together {
        let wait = format!("while not is_open({:?}):\n        await asyncio.sleep(0.02)\n", gate.name());
        change(&node, "guesser/guesser/run.py", |text| {
            format!("{IS_OPEN}\n{}", text.replace("await asyncio.sleep(inputs.seconds)\n", &wait))
        });
    }
    node.napt(&["deploy", "contest", "--no-verify"]).expect(0);
    let user = node.user();
    let run = user.start("orchestrator:contest", json!({ "agents": agents }));
    if together {
        soon("all of them go on", || {
            let tree = user.tree(&run.id);
            tree.len() == agents as usize + 1 && tree.iter().all(|run| run.status == RunStatus::Processing)
        });
        gate.open();
    }
    let run = user.ended(&run.id);
    assert_eq!(run.status, RunStatus::Completed, "{:?}", run.error);
    let won: Value = serde_json::from_str(&run.result.expect("a result")).expect("JSON");
    assert_eq!(won["agents"], agents);
    let tree = user.tree(&run.id);
    assert_eq!(tree.len(), agents as usize + 1);
    assert!(tree.iter().all(|run| run.status == RunStatus::Completed));
    assert!(tree[1..].iter().all(|child| child.parent.as_deref() == Some(run.id.as_str())), "{tree:?}");
}

#[test]
fn agents_of_a_contest_run_at_the_same_time() {
    contest(2, true);
    contest(10, true);
}

#[test]
fn contest_of_a_hundred() {
    contest(100, false);
}

#[test]
fn contest_of_a_thousand() {
    contest(1000, false);
}

#[test]
fn a_node_has_as_many_descriptors_as_it_may() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let napt = sandbox.command(&[]);
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -Sn 128 && exec \"$0\" node --listen 127.0.0.1:0 --message-format json"])
        .arg(napt.get_program())
        .env_clear()
        .envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdout(Stdio::piped());
    let mut node = command.spawn().expect("it starts");
    let mut line = String::new();
    let stdout = node.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.id())).expect("limits");
    node.kill().expect("it runs");
    node.wait().expect("it ends");
    let open = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<&str> = open.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{open}");
    assert_ne!(numbers[0], "128", "{open}");
}

/// Calls with `import napt`, as its inputs say.
const PLAIN_CALLER: &str = r#"
import asyncio, math

import napt

async def run(module_run):
    inputs = module_run["inputs"]
    assert napt.run()["id"] == module_run["id"]
    said = await asyncio.gather(*(napt.call("agent:worker", {"say": f"{number}"}) for number in range(20)))
    here = module_run["deployment"]["node"]
    for node in ("local", here["id"], here):
        said.append(await napt.call("agent:worker", {"say": "here"}, node=node))
    told = []
    for module, given, node in (
        ("agent:worker", {"fail": "no flour"}, None),
        ("agent:nonesuch", {}, None),
        ("agent:UP", {}, None),
        ("thing:worker", {}, None),
        ("agent:worker", {}, "node:0123456789abcdef"),
        ("agent:worker", {}, "http://127.0.0.1:1"),
        ("agent:worker", {"x": math.nan}, None),
    ):
        try:
            await napt.call(module, given, node=node)
        except (napt.CallError, ValueError) as error:
            told.append(f"{type(error).__name__}: {error}")
    try:
        await asyncio.wait_for(napt.call("agent:worker", {"wait": 600}), 1)
    except asyncio.TimeoutError:
        told.append("late")
    return [said, told]
"#;

#[test]
fn modules_without_the_sdk_call_by_napts_own_client() {
    let node = TestNode::start(&["--allow-shared"]);
    Python::new("agent:worker", WORKER).write(&node.sandbox);
    for (name, isolation) in [("asker", "process"), ("sharer", "shared")] {
        let more = format!(
            "[dependencies]\n\"agent:worker\" = {{ path = \"../worker\", version = \"0.1\" }}\n[limits]\nisolation = \"{isolation}\"\n"
        );
        node.deploy(&Python { more: &more, ..Python::new(&format!("orchestrator:{name}"), PLAIN_CALLER) });
        let user = node.user();
        let run = user.run(&format!("orchestrator:{name}"), json!({}));
        let found: Value = serde_json::from_str(&run.result.expect("a result")).expect("JSON");
        let said: Vec<String> = (0..20).map(|n: u32| n.to_string()).chain(["here"; 3].map(str::to_owned)).collect();
        assert_eq!(found[0], json!(said));
        let told = [
            "CallError: `agent:worker`: ValueError: no flour",
            &format!("CallError: `agent:nonesuch`: `agent:nonesuch` is not part of the deployment `{name}`"),
            "CallError: `agent:UP`: invalid character `U`",
            "CallError: `thing:worker`: Invalid module type: thing",
            "CallError: `agent:worker`: there is no node `0123456789abcdef`",
            "CallError: the node is none of this run's deployment",
            "ValueError: Out of range float values are not JSON compliant",
            "late",
        ];
        let found: Vec<&str> = found[1].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(found.len(), told.len(), "{found:?}");
        assert!(found.iter().zip(told).all(|(found, told)| found.starts_with(told)), "{found:#?}");
        let ended = |status| user.tree(&run.id)[1..].iter().filter(|run| run.status == status).count();
        soon("what nobody waits for is cancelled", || ended(RunStatus::Cancelled) == 1);
        assert_eq!((ended(RunStatus::Completed), ended(RunStatus::Error)), (23, 1));
    }
}

#[test]
fn a_package_called_napt_goes_before_its_own_client() {
    let node = TestNode::start(&[]);
    Python::new("agent:odd", "import napt\n\ndef run(module_run):\n    return napt.WHOSE\n").write(&node.sandbox);
    node.sandbox.write("odd/napt/__init__.py", "WHOSE = 'its own'\n");
    node.napt(&["deploy", "odd", "--no-verify"]).expect(0);
    let run = node.user().run("agent:odd", json!({}));
    assert_eq!(run.result.as_deref(), Some("its own"), "{:?}", run.error);
}
