//! Modules of all generations run as they are: their calls, their classes, and what their SDKs had once.

use napt::wire::{RunRequest, RunStatus};
use serde_json::{Value, json};

use crate::support::{
    modules::{Python, copy_fixtures},
    node::{TestNode, User},
};

/// A node with modules of `tests/fixtures/modules`; the first one is deployed.
fn node_with(names: &[&str], sdk: &str) -> (TestNode, User) {
    let node = TestNode::start(&[]);
    copy_fixtures(&node.sandbox, names, sdk);
    node.napt(&["deploy", names[0], "--no-verify"]).expect(0);
    let user = node.user();
    (node, user)
}

/// The result of a run that must succeed.
#[track_caller]
fn result(user: &User, module: &str, inputs: Value) -> Value {
    let run = user.run(module, inputs);
    assert_eq!(run.status, RunStatus::Completed, "{:?}\n{}", run.error, user.log(&run.id));
    let text = run.result.expect("a result");
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[test]
fn planner_of_2024() {
    let (_node, user) = node_with(&["planner", "initiator", "executor", "finalizer"], "");
    let done = result(&user, "orchestrator:planner", json!({ "objective": "a cake" }));
    let results = ["done: think of a cake", "done: buy a cake", "done: bake a cake"];
    assert_eq!(done, json!({ "objective": "a cake", "results": results, "by": "finalizer" }));
    // Two workers for three agents, as `--agent_nodes` gives them.
    let here = json!({ "node": { "ip": "localhost" } });
    let ended = with_deployment(&user, "orchestrator:planner", json!({ "agent_deployments": [here, here] }));
    let done: Value = serde_json::from_str(&ended).expect("JSON");
    assert_eq!(done["results"], json!(results.map(|result| result.replace("a cake", "bread"))));
}

/// The result of a run with a deployment of its own.
#[track_caller]
fn with_deployment(user: &User, module: &str, deployment: Value) -> String {
    let run = user.runtime.block_on(user.client.run(&RunRequest {
        module: module.parse().expect("an id"),
        inputs: json!({ "objective": "bread" }),
        deployment: Some(serde_json::from_value(deployment).expect("a deployment")),
    }));
    let ended = user.ended(&run.expect("accepted").id);
    ended.result.unwrap_or_else(|| panic!("{:?}", ended.error))
}

fn talk(sdk: &str) {
    let (_node, user) = node_with(&["talk", "talker", "turns"], sdk);
    let turns = result(&user, "orchestrator:talk", json!({ "prompt": "begin" }));
    let turns = turns.as_array().expect("rows");
    assert_eq!(turns.len(), 20, "{turns:?}");
    assert_eq!(turns[0], json!({ "turn": 1, "words": "Ada says 1" }));
    assert_eq!(turns[19], json!({ "turn": 20, "words": "Bob says 20" }));
}

// Naptha's defects: F10
#[test]
fn talk_of_0_2_on_sdk_1() {
    talk("1.0.5");
}

#[test]
fn talk_of_0_2_on_its_own_sdk() {
    talk("0.2.2");
}

/// Deploys an orchestrator with one agent, `agent:worker`, that says `worker got WORD`.
fn with_worker(code: &str, worker: &str) -> (TestNode, User) {
    let node = TestNode::start(&[]);
    let requirements = &["naptha-sdk==1.0.5"];
    let more = "[dependencies]\n\"agent:worker\" = { path = \"../worker\", version = \"0.1\" }\n";
    Python { more, requirements, ..Python::new("orchestrator:old", code) }.write(&node.sandbox);
    let files = json!([{ "name": "old", "module": { "name": "old" }, "agent_deployments": [{ "name": "worker" }] }]);
    node.sandbox.write("old/old/configs/deployment.json", files.to_string());
    node.sandbox
        .write("old/old/configs/agent_deployments.json", r#"[{"name": "worker", "module": {"name": "worker"}}]"#);
    Python { requirements, ..Python::new("agent:worker", worker) }.write(&node.sandbox);
    node.napt(&["deploy", "old", "--no-verify"]).expect(0);
    let user = node.user();
    (node, user)
}

const WORKER: &str = "def run(module_run):\n    return 'worker got ' + module_run['inputs']['word']\n";

#[test]
fn between_2024_and_0_2_functions_take_runs_and_classes_take_callers() {
    let code = r#"
import json
from naptha_sdk.agent import Agent
from naptha_sdk.schemas import OrchestratorRun

async def run(orchestrator_run, *args, **kwargs):
    assert isinstance(orchestrator_run, OrchestratorRun)
    assert orchestrator_run.orchestrator_deployment is orchestrator_run.deployment
    assert len(orchestrator_run.agent_deployments) == 1
    assert orchestrator_run.model_dump()["id"] == orchestrator_run.id
    by_index = Agent(orchestrator_run=orchestrator_run, agent_index=0, *args, **kwargs)
    one = await by_index.call_agent_func(word="one")
    by_name = Agent(name="Agent_0", fn="worker", worker_node_url=None, flow_run=orchestrator_run, cfg=None)
    two = await by_name.call_agent_func(word=orchestrator_run.inputs.inputs["word"])
    return [one.results[0], two.results[0]]
"#;
    let (_node, user) = with_worker(code, WORKER);
    let said = result(&user, "orchestrator:old", json!({ "word": "two" }));
    assert_eq!(said, json!(["worker got one", "worker got two"]));
}

#[test]
fn parallel_tasks_of_2024_and_their_errors() {
    let code = r#"
import asyncio
from concurrent import futures
from naptha_sdk.task import Task
from naptha_sdk.task_engine import run_parallel_tasks

def run(inputs, worker_nodes=None, orchestrator_node=None, flow_run=None, cfg=None):
    def task(name, fn="worker"):
        return Task(name=name, fn=fn, worker_node=worker_nodes[0], orchestrator_node=orchestrator_node, flow_run=flow_run)

    said = asyncio.run(run_parallel_tasks([task("a"), task("b")], flow_run, {"word": "all"}))
    with futures.ThreadPoolExecutor() as pool:
        said += pool.map(lambda word: asyncio.run(task(word)(word=word)), ["c", "d"])
    for wrong, words in ((task("e"), {}), (task("f", "nobody"), {"word": "x"})):
        try:
            asyncio.run(wrong(**words))
        except RuntimeError as error:
            said.append(str(error))
    return [said, worker_nodes[0].node_url.startswith("ws://"), flow_run.consumer_id == flow_run["consumer_id"]]
"#;
    let (_node, user) = with_worker(code, WORKER);
    let found = result(&user, "orchestrator:old", json!({}));
    let said = found[0].as_array().expect("a list");
    assert_eq!(said[..4], ["worker got all", "worker got all", "worker got c", "worker got d"].map(Value::from));
    assert_eq!(said[4], "task `e` (worker): KeyError: 'word'");
    assert!(said[5].as_str().is_some_and(|text| text.contains("`agent:nobody` is not part of the deployment `old`")));
    assert_eq!((&found[1], &found[2]), (&json!(true), &json!(true)));
}

// Naptha's defects: F11
#[test]
fn what_create_answers_can_be_run_and_plain_dicts_do() {
    let code = r#"
import json
from naptha_sdk.modules.agent import Agent

async def run(module_run):
    deployment = module_run["deployment"]["agent_deployments"][0]
    agent = await Agent().create(deployment)
    json.dumps(agent)
    run_input = {"consumer_id": module_run["consumer_id"], "deployment": deployment, "signature": "x"}
    one = await agent.run({**run_input, "inputs": {"word": "one"}})
    named = {**deployment, "node": {"name": "node.example"}}
    two = await Agent().call_agent_func({**run_input, "deployment": named, "inputs": {"word": "two"}})
    return [agent["module"]["name"], agent.module["name"], one.results[0], two.error_message or two.results[0]]
"#;
    let (_node, user) = with_worker(code, WORKER);
    let run = user.run("orchestrator:old", json!({}));
    // The node's name is for the node to find, and there is none.
    assert_eq!(run.status, RunStatus::Error);
    let error = run.error.expect("an error");
    assert!(error.contains("node.example"), "{error}");

    let (_node, user) = with_worker(&code.replace("\"name\": \"node.example\"", "\"ip\": \"localhost\""), WORKER);
    let found = result(&user, "orchestrator:old", json!({}));
    assert_eq!(found, json!(["worker", "worker", "worker got one", "worker got two"]));
}

// Naptha's defects: F2, F9, F10
#[test]
fn configurations_arrive_whole_and_by_the_names_of_both_sdks() {
    let node = TestNode::start(&[]);
    let code = "def run(module_run):\n    return module_run['deployment']\n";
    let more = "[dependencies]\n\"kb:store\" = { path = \"../store\", version = \"0.1\" }\n\
                \"tool:hammer\" = { path = \"../hammer\", version = \"0.1\" }\n";
    Python { more, ..Python::new("orchestrator:whole", code) }.write(&node.sandbox);
    Python::new("kb:store", code).write(&node.sandbox);
    Python::new("tool:hammer", code).write(&node.sandbox);
    let old = json!({ "storage_type": "db", "path": "rows", "schema": { "id": { "type": "text" } } });
    let files = json!([{ "name": "whole", "module": { "name": "whole" },
        "config": { "config_name": "mine", "max_rounds": 3, "config_schema": "Own",
                    "llm_config": { "config_name": "fast", "max_tokens": 9 } },
        "kb_deployments": [{ "name": "store", "module": { "name": "store" }, "config": old }],
        "tool_deployments": [{ "name": "hammer", "module": { "name": "hammer" } }] }]);
    node.sandbox.write("whole/whole/configs/deployment.json", files.to_string());
    let models = json!([{ "config_name": "fast", "client": "openai", "model": "napt/echo", "temperature": 0.5 }]);
    node.sandbox.write("whole/whole/configs/llm_configs.json", models.to_string());
    node.napt(&["deploy", "whole", "--no-verify"]).expect(0);
    let user = node.user();
    let given = result(&user, "orchestrator:whole", json!({}));
    let config = &given["config"];
    assert_eq!((&config["config_schema"], &config["max_rounds"]), (&json!("Own"), &json!(3)));
    assert_eq!((&config["llm_config"]["model"], &config["llm_config"]["max_tokens"]), (&json!("napt/echo"), &json!(9)));
    assert_eq!(given["tool_deployments"][0]["module"]["name"], "hammer");
    let kb = &given["kb_deployments"][0]["config"];
    let new = json!({ "storage_type": "db", "path": "rows", "storage_schema": old["schema"], "options": {} });
    assert_eq!((&kb["storage_config"], &kb["path"], &kb["schema"]), (&new, &old["path"], &old["schema"]));
    for entry in [&given["node"], &given["kb_deployments"][0]["node"]] {
        let port = &entry["user_communication_port"];
        assert_eq!(
            (&entry["server_type"], &entry["http_port"], &entry["num_servers"]),
            (&json!("ws"), port, &json!(1))
        );
        let server = &entry["servers"][0];
        assert_eq!((&server["server_type"], &server["communication_protocol"]), (&json!("ws"), &json!("ws")));
    }

    // Names that the SDK's models make up do not hide the module's own.
    let over = json!({ "config_name": "orchestrator_config", "max_rounds": 4,
                       "llm_config": { "config_name": "llm_config", "model": "other" } });
    let ended = with_deployment(&user, "orchestrator:whole", json!({ "config": over }));
    let given: Value = serde_json::from_str(&ended).expect("JSON");
    let config = &given["config"];
    assert_eq!((&config["config_name"], &config["max_rounds"]), (&json!("mine"), &json!(4)));
    let llm =
        json!({ "config_name": "fast", "client": "openai", "model": "other", "temperature": 0.5, "max_tokens": 9 });
    assert_eq!(config["llm_config"], llm);
}

#[test]
fn the_environment_wins_over_files_and_clients_share_what_is_dear_and_take_large_messages() {
    let code = r#"
import json, os
import httpx, websockets
from dotenv import load_dotenv
from dotenv.main import load_dotenv as same

async def run(module_run):
    own = os.environ["PRIVATE_KEY"]
    with open(os.environ["HOME"] + "/.env", "w") as file:
        file.write("PRIVATE_KEY=stolen\nADDED=yes\n")
    load_dotenv(file.name, override=True)
    same(file.name, None, False, True)
    clients = [httpx.AsyncClient() for _ in range(3)]
    contexts = {id(client._transport._pool._ssl_context) for client in clients}
    node = module_run["deployment"]["agent_deployments"][0]["node"]
    call = {"consumer_id": module_run["consumer_id"], "inputs": {"word": "x" * (3 << 20)},
            "deployment": module_run["deployment"]["agent_deployments"][0], "signature": "x"}
    async with websockets.connect(f"ws://{node['ip']}:{node['ports'][0]}/ws/agent/run/1") as socket:
        await socket.send(json.dumps(call))
        answer = json.loads(await socket.recv())
    return [os.environ["PRIVATE_KEY"] == own, os.environ["ADDED"], len(contexts), len(answer["data"]["results"][0])]
"#;
    let (_node, user) = with_worker(code, WORKER);
    let found = result(&user, "orchestrator:old", json!({}));
    assert_eq!(found, json!([true, "yes", 1, (3 << 20) + "worker got ".len()]));
}

#[test]
fn results_may_be_models_of_pydantic() {
    let code = "from pydantic import BaseModel\n\nclass Answer(BaseModel):\n    text: str\n\n\
                def run(module_run):\n    return [Answer(text='one'), {'two': Answer(text='two')}]\n";
    let (_node, user) = with_worker(code, WORKER);
    assert_eq!(result(&user, "orchestrator:old", json!({})), json!([{ "text": "one" }, { "two": { "text": "two" } }]));
}

#[test]
fn modules_without_a_component_need_an_input_schema() {
    let node = TestNode::start(&[]);
    Python::new("agent:bare", "def run(module_run):\n    return 'x'\n").write(&node.sandbox);
    std::fs::remove_file(node.sandbox.work().join("bare/bare/schemas.py")).expect("a file");
    let refused = node.napt(&["deploy", "bare", "--no-verify"]).expect(1);
    assert!(refused.stderr.contains("No module named 'bare.schemas'"), "{}", refused.stderr);
    // In 2024 not every module had one; and a component that cannot be read is told.
    node.sandbox.write("bare/bare/run.py", "def run(inputs, cfg=None):\n    return [inputs.word, cfg['name']]\n");
    node.sandbox.write("bare/bare/component.yaml", "name: [\n");
    let refused = node.napt(&["deploy", "bare", "--no-verify"]).expect(1);
    assert!(refused.stderr.contains("`component.yaml` cannot be used"), "{}", refused.stderr);
    node.sandbox.write("bare/bare/component.yaml", "name: bare\n");
    let plain = node.napt(&["check", "bare"]);
    assert!(!plain.stderr.contains("error["), "{}", plain.stderr);
    node.napt(&["deploy", "bare"]).expect(0);
    assert_eq!(result(&node.user(), "agent:bare", json!({ "word": "w" })), json!(["w", "bare"]));
}
