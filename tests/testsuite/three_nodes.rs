//! An orchestrator, its agents and its knowledge base on three nodes that find each other in the registry's directory,
//! placed by whoever starts the run.

use napt::identity::{CredentialStore, SecretKey};
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{send, signed},
    modules::{Python, with_sdk, write_python},
    node::{TestNode, cache},
    registry::TestRegistry,
    sdk::{self, Author, steps},
    wait_for,
};

/// Calls its agents and then its knowledge base by the SDK.
const PANEL: &str = r#"
from naptha_sdk.modules.agent import Agent
from naptha_sdk.modules.kb import KnowledgeBase
from naptha_sdk.schemas import AgentRunInput, KBRunInput, OrchestratorRunInput


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    said = []
    for agent in me.deployment.agent_deployments:
        call = AgentRunInput(consumer_id=me.consumer_id, inputs=me.inputs, deployment=agent, signature="x")
        ended = await Agent().run(call)
        if ended.error:
            raise RuntimeError(f"an agent failed: {ended.error_message}")
        said.append(ended.results[0])
    for kb in me.deployment.kb_deployments:
        call = KBRunInput(consumer_id=me.consumer_id, inputs={"said": said}, deployment=kb, signature="x")
        said.append((await KnowledgeBase().run(call)).results[0])
    return said
"#;

const SPEAKER: &str = "\
import time


def run(module_run):
    if module_run['inputs'].get('sleep'):
        print('asleep', flush=True)
        time.sleep(600)
    return f\"{module_run['deployment']['name']} heard {module_run['inputs'].get('word')}\"
";

const NOTES: &str = "def run(module_run):\n    return f\"noted {len(module_run['inputs']['said'])}\"\n";

/// A registry with the modules above, none of which declares another.
fn registry() -> TestRegistry {
    let registry = TestRegistry::start();
    let author = Author::new(&registry);
    author.python(&Python::new("agent:speaker", SPEAKER));
    author.python(&Python::new("kb:notes", NOTES));
    write_python(&author.0, "panel", "orchestrator:panel", PANEL, "");
    with_sdk(&author.0, "panel", "panel");
    let here = json!({ "ip": "localhost" });
    let file = |name: &str, value: Value| author.0.write(format!("panel/panel/configs/{name}"), value.to_string());
    file(
        "deployment.json",
        json!([{ "node": here, "module": { "name": "panel" }, "name": "panel",
                 "agent_deployments": [{ "name": "first" }, { "name": "second" }],
                 "kb_deployments": [{ "name": "notes" }] }]),
    );
    let of = |module: &str, name: &str| json!({ "node": here, "module": { "name": module }, "name": name });
    file("agent_deployments.json", json!([of("speaker", "first"), of("speaker", "second")]));
    file("kb_deployments.json", json!([of("notes", "notes")]));
    author.publish("panel");
    registry
}

/// Nodes in the directory, each at an address and under a name of its own, whose operators trust each other's. The first
/// operator is a user of all.
fn nodes<const N: usize>(registry: &TestRegistry, places: [(&str, &str); N]) -> [TestNode; N] {
    let sandboxes = places.map(|_| {
        let mut sandbox = registry.sandbox();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        sandbox
    });
    let users: Vec<String> = sandboxes.iter().map(operator).collect();
    let mut places = places.into_iter();
    sandboxes.map(|sandbox| {
        let (address, name) = places.next().expect("a place each");
        let mut flags = vec!["--open", "--name", name, "--user", &users[0]];
        users.iter().for_each(|user| flags.extend(["--peer-owner", user]));
        TestNode::start_at(sandbox, &format!("{address}:0"), &flags)
    })
}

fn operator(sandbox: &Sandbox) -> String {
    let credentials = CredentialStore::new(sandbox.home().join("napt").join("config"));
    credentials.key_or_create().expect("a key").public().user_id()
}

/// All runs that the user with this key has on a node.
fn runs(node: &TestNode, key: &SecretKey) -> Vec<Value> {
    let url = format!("{}/v1/runs?all=true&limit=100", node.url);
    let answer = send("GET", &url, &[("authorization", &signed(key, "GET", &url, ""))], "");
    answer.json().as_array().expect("a list").clone()
}

fn count(runs: &[Value], module: &str) -> usize {
    runs.iter().filter(|run| run["module"] == module).count()
}

fn deployments(node: &TestNode) -> usize {
    let status = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    status["data"]["deployments"].as_array().expect("a list").len()
}

// Naptha's defects: F4, F6
#[test]
fn a_run_is_placed_on_three_nodes_by_whoever_starts_it() {
    let registry = registry();
    let mut all =
        nodes(&registry, [("127.0.0.2", "one.example"), ("127.0.0.3", "two.example"), ("127.0.0.4", "three.example")]);
    let [one, two, three] = &all;
    let key = one.key();
    let said = json!(["first heard hi", "second heard hi", "noted 2"]).to_string().replace(',', ", ");

    // By the SDK, nodes by name and by address.
    let placed = json!({ "agent_deployments": [{ "node": { "ip": "two.example" } }, { "node": { "ip": "127.0.0.4" } }],
                         "kb_deployments": [{ "node": { "ip": "three.example" } }] });
    let run = json!({ "do": "run", "module": "orchestrator:panel", "inputs": { "word": "hi" }, "deployment": placed });
    let found = steps(&one.url, &key, &json!([run]));
    assert_eq!((&found[0]["status"], &found[0]["results"]), (&json!("completed"), &json!([said])), "{found:?}");
    let root = found[0]["id"].as_str().expect("an id");
    let [here, second, third] = [one, two, three].map(|node| runs(node, &key));
    assert_eq!((here.len(), count(&here, "orchestrator:panel")), (1, 1));
    assert_eq!((second.len(), count(&second, "agent:speaker")), (1, 1));
    assert_eq!((third.len(), count(&third, "agent:speaker"), count(&third, "kb:notes")), (2, 1, 1));
    for run in second.iter().chain(&third) {
        assert_eq!((&run["parent"], &run["root"]), (&json!(root), &json!(root)), "one tree: {run}");
        assert_eq!((&run["consumer"], &run["status"]), (&json!(one.operator()), &json!("completed")), "{run}");
    }
    // The consumer has never been there before, and is known now.
    let check = json!({ "public_key": key.public().to_string() }).to_string();
    assert_eq!(send("POST", &format!("{}/user/check", two.url), &[], &check).json()["is_registered"], true);

    // By napt, the same placement in other words: nothing new is deployed.
    let before = [one, two, three].map(deployments);
    let words = json!({ "agent_deployments": [{ "node": { "name": "two.example" } }, { "node": { "name": three.url } }],
                        "kb_deployments": [{ "node": { "id": three.node_key().public().node_id() } }] });
    let ran = ["run", "orchestrator:panel", "-p", "word=hi", "--deployment", &words.to_string()];
    assert_eq!(one.napt(&ran).expect(0).stdout.split_whitespace().collect::<String>(), said.replace(' ', ""));
    assert_eq!([one, two, three].map(deployments), before);
    // All on the node that is asked, as its files say.
    one.napt(&["run", "orchestrator:panel", "-p", "word=hi"]).expect(0);
    assert_eq!(count(&runs(one, &key), "agent:speaker"), 2);

    // It is as good after a restart.
    all[0].kill();
    all[0].restart();
    let [one, _, three] = &all;
    one.napt(&ran).expect(0);
    assert_eq!(count(&runs(three, &key), "kb:notes"), 3);
}

#[test]
fn by_the_sdks_own_commands() {
    let registry = registry();
    let [one, two, three] =
        nodes(&registry, [("127.0.0.2", "one.example"), ("127.0.0.3", "two.example"), ("127.0.0.4", "three.example")]);
    let (key, person) = (one.key(), registry.sandbox());
    let naptha = |arguments: &[&str]| sdk::naptha(&registry, &person, &key, &one.url, arguments).expect(0);
    naptha(&["signup"]);
    let listed = naptha(&["nodes"]).stdout;
    for node in [&one, &two, &three] {
        assert!(listed.contains(&node.node_key().public().node_id()[..12]), "{listed}");
    }
    let nodes = ["--agent_nodes", "two.example,127.0.0.4", "--kb_nodes", "three.example"];
    let modules = ["--agent_modules", "agent:speaker,agent:speaker", "--kb_modules", "kb:notes"];
    let created = naptha(&[&["create", "orchestrator:panel"][..], &modules, &nodes].concat()).stdout;
    assert!(created.contains("Orchestrator creation result: {"), "{created}");
    let ran = naptha(&[&["run", "orchestrator:panel", "-p", "word='hi'"][..], &nodes].concat()).stdout;
    assert!(ran.contains(r#"["first heard hi", "second heard hi", "noted 2"]"#), "{ran}");
    let [here, second, third] = [&one, &two, &three].map(|node| runs(node, &key).len());
    assert_eq!((here, second, third), (1, 1, 2));
    // A wrong name is told by the command.
    let wrong = ["run", "orchestrator:panel", "--agent_nodes", "nobody.example"];
    let refused = sdk::naptha(&registry, &person, &key, &one.url, &wrong);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let told = refused.stdout + &refused.stderr;
    assert!(told.contains("node `nobody.example` is not known to this node"), "{told}");
}

// Naptha's defects: F5, F7
#[test]
fn a_node_that_is_lost_is_told_by_its_name_and_hangs_nobody() {
    let registry = registry();
    let [one, mut two] = nodes(&registry, [("127.0.0.2", "one.example"), ("127.0.0.3", "two.example")]);
    let placed = json!({ "agent_deployments": [{ "node": { "name": "two.example" } }], "kb_deployments": [] });
    let (placed, key) = (placed.to_string(), one.key());
    let run = |word: &str, more: &[&str]| {
        let line = ["run", "orchestrator:panel", "--deployment", &placed, "-p", word];
        one.napt(&[&line[..], more].concat())
    };
    // On demand is for Naptha's doors; napt's own asks for a deploy.
    assert!(run("word=hi", &[]).expect(1).stderr.contains("is not deployed on this node"));
    let created = steps(&one.url, &key, &json!([{ "do": "create", "module": "orchestrator:panel" }]));
    assert_eq!(created[0]["agent_deployments"].as_array().map(Vec::len), Some(2), "{created:?}");

    let id = run("sleep=true", &["--detach"]).expect(0).stdout.trim().to_owned();
    wait_for("the agent", || {
        let child = runs(&two, &key).into_iter().next()?["id"].as_str()?.to_owned();
        one.napt(&["logs", &child, "--node", &two.url]).stdout.contains("asleep").then_some(())
    });
    two.kill();
    let ended = wait_for("the end", || {
        let shown = one.napt(&["status", &id, "--message-format", "json"]).expect(0).json();
        let run = shown["data"]["run"].clone();
        (!run["finished"].is_null()).then_some(run)
    });
    assert_eq!(ended["status"], "error");
    let told = ended["error"].as_str().expect("an error");
    assert!(told.contains(&format!("node `{}/` went away before the run ended", two.url)), "{told}");

    // It is still in the directory, and does not answer.
    let failed = run("word=hi", &[]).expect(1);
    assert!(failed.stderr.contains(&format!("node `{}/` does not answer", two.url)), "{}", failed.stderr);
    two.restart();
    run("word=hi", &[]).expect(0);
}

#[test]
fn names_that_mean_nobody_or_several_are_refused_with_those_that_there_are() {
    let registry = registry();
    let all =
        nodes(&registry, [("127.0.0.2", "one.example"), ("127.0.0.3", "two.example"), ("127.0.0.3", "three.example")]);
    let [one, two, three] = &all;
    // In the directory too, and of an owner whom nobody trusts.
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let stranger = TestNode::start_at(sandbox, "127.0.0.5:0", &["--name", "stranger.example"]);
    assert_eq!(one.napt(&["nodes"]).expect(0).stdout.lines().count(), 4);
    let run = |node: Value, root: Value| {
        let given = json!({ "node": root, "agent_deployments": [{ "node": node }] });
        let step = json!({ "do": "create", "module": "orchestrator:panel", "deployment": given });
        steps(&one.url, &one.key(), &json!([step])).remove(0)
    };
    let here = json!({ "ip": "localhost" });
    let told = |found: Value| found["failed"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned();
    let several = told(run(json!({ "ip": "127.0.0.3" }), here.clone()));
    assert!(several.contains("several nodes are at `127.0.0.3`"), "{several}");
    assert!(several.contains("`two.example` at") && several.contains("`three.example` at"), "{several}");
    for (name, address) in [("stranger.example", &stranger.url), ("nobody.example", &stranger.url)] {
        let unknown = told(run(json!({ "ip": name }), here.clone()));
        assert!(unknown.contains(&format!("node `{name}` is not known to this node")), "{unknown}");
        assert!(unknown.contains("`two.example` at") && !unknown.contains(address.as_str()), "{unknown}");
    }
    // The port tells them apart.
    let port: u16 = three.address().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let found = run(json!({ "ip": "127.0.0.3", "user_communication_port": port }), here.clone());
    assert_eq!(found["module"]["name"], "panel", "{found}");
    assert_eq!((deployments(two), deployments(three)), (0, 1));
    // The whole is for the node that is asked.
    let elsewhere = told(run(here, json!({ "ip": "two.example" })));
    assert!(elsewhere.contains(&format!("the deployment is for the node `{}/`", two.url)), "{elsewhere}");

    // A stranger's envelope is refused, though it is in the directory.
    let key = stranger.node_key();
    let path = format!("/v1/forward/archives/{}", "0".repeat(64));
    let now = jiff::Timestamp::now().as_second();
    let envelope = |key: &SecretKey| {
        let to = two.node_key().public().node_id();
        let signed = napt::wire::Envelope::sign(key, &to, &path, b"", &one.operator(), "", "", now);
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&signed).expect("JSON"));
        send("GET", &format!("{}{path}", two.url), &[("napt-envelope", &header)], "").status
    };
    assert_eq!((envelope(&key), envelope(&three.node_key())), (403, 404));
}
