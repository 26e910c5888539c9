//! `create` and `run` of what is not deployed, as Naptha's clients do it.

use std::{path::Path, time::Duration};

use napt::{client::NodeClient, identity::SecretKey, node};
use serde_json::{Value, json};

use crate::support::{
    faults::Gate,
    http::{runtime, send, signed},
    modules::{Python, with_sdk, write_python},
    node::{TestNode, cache},
    registry::TestRegistry,
    repository::Repository,
    sdk::{self, Author, steps},
    wait_for,
};

/// Says which version it is, and what it got.
fn worker(version: &str) -> String {
    format!(
        "def run(module_run):\n    prompt = (module_run['deployment'].get('config') or {{}}).get('system_prompt')\n    \
         who = ((prompt or {{}}).get('persona') or {{}}).get('name')\n    \
         return f\"{version} {{module_run['inputs'].get('word')}} {{who}}\"\n"
    )
}

/// Calls each of its agents by the SDK.
const CALLER: &str = r#"
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    said = []
    for agent in me.deployment.agent_deployments:
        call = AgentRunInput(consumer_id=me.consumer_id, inputs=me.inputs, deployment=agent, signature="x")
        ended = await Agent().run(call)
        said.append(ended.results[0] if ended.results else ended.error_message)
    return said
"#;

/// A registry with `agent:worker` 0.1.0.
fn with_worker() -> (TestRegistry, Author) {
    let registry = TestRegistry::start();
    let author = Author::new(&registry);
    publish_worker(&author, "0.1.0");
    (registry, author)
}

fn publish_worker(author: &Author, version: &str) {
    author.python(&Python { version, ..Python::new("agent:worker", &worker(version)) });
}

/// An open node on a registry.
fn open_node(registry: &TestRegistry) -> TestNode {
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    TestNode::start_in(sandbox, &["--open"])
}

fn deployments(node: &TestNode) -> Vec<Value> {
    let status = node.napt(&["status", "--message-format", "json"]).expect(0).json();
    status["data"]["deployments"].as_array().expect("a list").clone()
}

fn archives(node: &TestNode) -> usize {
    std::fs::read_dir(node.data().join("archives")).expect("a folder").count()
}

// Naptha's defects: C3, C4, F3
#[test]
fn a_published_module_is_created_and_run_without_a_deploy() {
    let (registry, author) = with_worker();
    let node = open_node(&registry);
    let key = SecretKey::generate();
    let run = |word: &str| json!({ "do": "run", "module": "agent:worker", "inputs": { "word": word } });
    let create = json!({ "do": "create", "module": "agent:worker" });
    let unknown = ["create", "run"].map(|verb| json!({ "do": verb, "module": "agent:worxer" }));
    let found = steps(&node.url, &key, &json!([run("one"), create, run("two"), unknown[0], unknown[1]]));
    let answer = |found: &Value, text: &str| {
        assert_eq!((&found["status"], &found["results"]), (&json!("completed"), &json!([text])), "{found}");
    };
    answer(&found[0], "0.1.0 one None");
    assert_eq!(found[1]["module"]["module_version"], "0.1.0", "{found:?}");
    assert!(found[1]["node"]["ports"].is_array(), "{found:?}");
    answer(&found[2], "0.1.0 two None");
    for unknown in &found[3..] {
        let told = unknown["failed"].as_str().expect("a refusal");
        assert!(told.contains("`agent:worxer` is not deployed on this node, and not in its registry"), "{told}");
        assert!(told.contains("did you mean `agent:worker`?"), "{told}");
    }

    // A new version changes nothing for a run; whoever wants it creates the module again, or names the version.
    publish_worker(&author, "0.2.0");
    let of = |version: &str| {
        json!({ "do": "run", "module": "agent:worker", "inputs": { "word": version },
                "deployment": { "module": { "name": "worker", "module_version": version } } })
    };
    let found = steps(&node.url, &key, &json!([run("a"), of("v0.2"), of("0.1.0"), of("v0.3"), of("main")]));
    answer(&found[0], "0.1.0 a None");
    answer(&found[1], "0.2.0 v0.2 None");
    answer(&found[2], "0.1.0 0.1.0 None");
    assert!(found[3]["failed"].as_str().is_some_and(|told| told.contains("no versions satisfy")), "{found:?}");
    assert!(found[4]["failed"].as_str().is_some_and(|told| told.contains("`main`, which is no version")), "{found:?}");
    // Each run resolves once: nothing was deployed again.
    let revisions = |node: &TestNode| deployments(node).iter().map(|it| it["revision"].as_u64()).collect::<Vec<_>>();
    assert!(revisions(&node).iter().all(|revision| *revision == Some(1)), "{:?}", deployments(&node));
    let mine = format!("user:{}", key.public());
    let own = deployments(&node).into_iter().find(|it| it["owner"] == mine.as_str()).expect("its own");
    assert!(own["name"].as_str().expect("a name").starts_with("agent:worker~"), "{own}");
    assert_eq!(own["modules"][0]["sha256"].as_str().map(str::len), Some(64), "pinned by its bytes");
}

#[test]
fn create_brings_the_newest_version_and_does_without_a_registry_that_is_down() {
    let (mut registry, author) = with_worker();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &[]);
    let url = node.url.replacen("http://", &format!("http://{}@", node.token(600)), 1);
    let create = json!({ "do": "create", "module": "agent:worker" });
    let run = json!({ "do": "run", "module": "agent:worker" });
    let of = |found: &Value| found["module"]["module_version"].clone();
    let found = steps(&url, &node.key(), &json!([create, run]));
    assert_eq!((of(&found[0]), &found[1]["results"][0]), (json!("0.1.0"), &json!("0.1.0 None None")), "{found:?}");
    publish_worker(&author, "0.2.0");
    let found = steps(&url, &node.key(), &json!([create, run]));
    assert_eq!((of(&found[0]), &found[1]["results"][0]), (json!("0.2.0"), &json!("0.2.0 None None")), "{found:?}");
    registry.stop();
    let found = steps(&url, &node.key(), &json!([create, { "do": "create", "module": "agent:other" }]));
    assert_eq!(of(&found[0]), "0.2.0", "{found:?}");
    let told = found[1]["failed"].as_str().expect("a refusal");
    assert!(
        told.contains("`agent:other` is not deployed on this node, and its registry") && told.contains("refused"),
        "{told}"
    );
    // What its owner deploys goes before.
    node.deploy(&Python { version: "0.9.0", ..Python::new("agent:worker", &worker("0.9.0")) });
    let found = steps(&url, &node.key(), &json!([create, run]));
    assert_eq!((of(&found[0]), &found[1]["results"][0]), (json!("0.9.0"), &json!("0.9.0 None None")), "{found:?}");
}

/// A node's configuration as a client gets it: where it is reached, by the names of both generations of SDKs.
#[track_caller]
fn expect_node(node: &Value, protocol: &str, host: &str, port: u16) {
    let found = ["user_communication_protocol", "ip"].map(|name| node[name].as_str().expect("a text"));
    assert_eq!(found, [protocol, host], "{node}");
    for [name, old] in [
        ["node_communication_protocol", "server_type"],
        ["user_communication_port", "http_port"],
        ["num_node_communication_servers", "num_servers"],
    ] {
        assert!(!node[name].is_null() && node[name] == node[old], "{name}: {node}");
    }
    let server = &node["servers"][0];
    assert_eq!((&server["communication_protocol"], &server["server_type"]), (&json!("ws"), &json!("ws")), "{node}");
    assert_eq!((&node["user_communication_port"], &node["ports"]), (&json!(port), &json!([port])), "{node}");
    assert_eq!((&server["port"], &server["node_id"]), (&json!(port), &node["id"]), "{node}");
}

#[test]
fn clients_are_told_where_the_node_is_reached() {
    let (registry, _author) = with_worker();
    let start = |flags: &[&str]| {
        let mut sandbox = registry.sandbox();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        let mut node = TestNode::start_at(sandbox, "0.0.0.0:0", flags);
        node.url = node.url.replace("0.0.0.0", "127.0.0.1");
        node
    };
    let answers = |node: &TestNode| {
        let url = node.url.replacen("http://", &format!("http://{}@", node.token(600)), 1);
        let create = json!({ "do": "create", "module": "agent:worker" });
        // The SDK reads the record of a run with its own models.
        let run = json!({ "do": "run", "module": "agent:worker" });
        let found = steps(&url, &node.key(), &json!([create, run]));
        assert_eq!(found[1]["status"], "completed", "{found:?}");
        found[0]["node"].clone()
    };
    let node = start(&["--provider", "mine=http://127.0.0.1:9,models=small,large-*"]);
    let port = node.address().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let found = answers(&node);
    expect_node(&found, "http", "127.0.0.1", port);
    assert_eq!(found["id"], node.node_key().public().node_id());
    assert_eq!(found["models"], json!(["napt/echo", "small", "large-*"]));

    let listed = start(&["--name", "one.example", "--url", "https://one.example:8443/"]);
    expect_node(&answers(&listed), "https", "one.example", 8443);
}

#[test]
fn a_create_that_takes_too_long_goes_on_after_its_answer() {
    let (registry, _author) = with_worker();
    let gate = Gate::before(&registry.url, "/download");
    let data = tempfile::tempdir().expect("a folder");
    let operator = SecretKey::generate();
    let installer = std::env::vars().filter(|(name, _)| name.starts_with("UV_") || name.starts_with("PIP_"));
    let options = node::Options {
        allow_shared: false,
        listen: ([127, 0, 0, 1], 0).into(),
        data: data.path().to_owned(),
        config: data.path().join("config"),
        environments: Path::new(&cache()).join("environments"),
        registry: gate.url.clone(),
        sources: Vec::new(),
        users: vec![operator.public().user_id()],
        open: true,
        peers: Vec::new(),
        peer_owners: Vec::new(),
        listing: None,
        providers: Vec::new(),
        egress: Vec::new(),
        proxies: node::Proxies::default(),
        crates: data.path().join("crates"),
        rustup: Vec::new(),
        max_runs: 1,
        max_processes: 8,
        keep_warm: node::KEEP_WARM,
        max_warm: node::MAX_WARM,
        quota: node::QUOTA,
        caps: node::Caps::default(),
        create_within: Duration::from_secs(1),
        http: reqwest::Client::new(),
        policy: napt_registry_client::Policy::default(),
        installer: installer.collect(),
        path: std::env::var("PATH").expect("a path"),
        launcher: env!("CARGO_BIN_EXE_napt").into(),
        require_sandbox: false,
    };
    let running = runtime().block_on(node::serve(options)).expect("a node");
    let client = NodeClient::new(running.url().parse().expect("a URL"), reqwest::Client::new(), operator);
    let deployments = || runtime().block_on(client.deployments()).expect("a list").len();
    let create = || {
        let deployment = json!({ "node": { "ip": "localhost" }, "module": { "name": "worker" } });
        send("POST", &format!("{}/agent/create", running.url()), &[], &deployment.to_string())
    };
    // Asking again waits for the same install.
    for _ in 0..2 {
        let refused = create();
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.text.contains("`agent:worker` is being installed"), "{}", refused.text);
        assert!(refused.text.contains("ask again in a while"), "{}", refused.text);
    }
    assert_eq!((gate.held(), deployments()), (1, 0));
    gate.open();
    wait_for("the deployment", || (deployments() == 1).then_some(()));
    let created = create();
    assert_eq!((created.status, &created.json()["module"]["module_version"]), (200, &json!("0.1.0")));
    assert_eq!((gate.held(), deployments()), (1, 1));
    runtime().block_on(running.stop());
}

// Naptha's defects: A3, A4
#[test]
fn nothing_is_installed_for_strangers() {
    let (registry, _author) = with_worker();
    let open = open_node(&registry);
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let closed = TestNode::start_in(sandbox, &[]);
    let (key, stranger) = (SecretKey::generate(), SecretKey::generate());
    let user = key.public().user_id();
    let deployment = json!({ "node": { "ip": "localhost" }, "module": { "name": "worker" } });
    let input = |signature: &str| {
        let input = json!({ "consumer_id": user, "inputs": {}, "deployment": deployment, "signature": signature });
        json!({ "agent_run_input": input }).to_string()
    };
    for (what, node, path, body, status) in [
        ("create", &closed, "/agent/create", deployment.to_string(), 401),
        ("a run", &closed, "/agent/run", input(&key.sign_consumer(&user)), 401),
        ("a bad signature", &open, "/agent/run", input(&stranger.sign_consumer(&user)), 401),
        ("garbage", &open, "/agent/run", input("garbage"), 401),
    ] {
        let url = format!("{}{path}", node.url);
        assert_eq!(send("POST", &url, &[], &body).status, status, "{what}");
    }
    let url = format!("{}/agent/create", closed.url);
    let body = deployment.to_string();
    let header = signed(&stranger, "POST", &url, &body);
    assert_eq!(send("POST", &url, &[("authorization", &header)], &body).status, 403, "a stranger");
    for node in [&open, &closed] {
        assert_eq!((archives(node), deployments(node).len()), (0, 0));
    }
}

/// Publishes an orchestrator and what it calls, none of which it declares.
fn publish_caller(author: &Author) {
    write_python(&author.0, "caller", "orchestrator:caller", CALLER, "");
    with_sdk(&author.0, "caller", "caller");
    let deployment = json!([{
        "node": { "ip": "localhost" }, "module": { "name": "caller" }, "name": "caller",
        "agent_deployments": [{ "name": "worker_1" }, { "name": "worker_2" }],
    }]);
    author.0.write("caller/caller/configs/deployment.json", deployment.to_string());
    let agent = |name: &str, config: Value| json!({ "node": { "ip": "localhost" }, "module": { "name": "worker" }, "name": name, "config": config });
    let agents =
        json!([agent("worker_1", json!({ "persona_module": { "name": "ada" } })), agent("worker_2", json!({}))]);
    author.0.write("caller/caller/configs/agent_deployments.json", agents.to_string());
    author.publish("caller");
    crate::support::modules::write(&author.0, "ada", "persona:ada", "0.1.0", "");
    author.0.write("ada/data.json", "{\"name\": \"Ada\"}\n");
    author.publish("ada");
}

#[test]
fn what_a_deployment_names_is_installed_though_nobody_declared_it() {
    let (registry, author) = with_worker();
    publish_caller(&author);
    let node = open_node(&registry);
    let key = SecretKey::generate();
    let run = |deployment: Value| json!({ "do": "run", "module": "orchestrator:caller", "inputs": { "word": "w" }, "deployment": deployment });
    let others = json!({ "agent_deployments": [{ "node": { "ip": "localhost" }, "name": "agent:other", "module": { "name": "agent:other" } }] });
    let found = steps(&node.url, &key, &json!([run(json!({})), run(others.clone())]));
    let said =
        |found: &Value| serde_json::from_str::<Value>(found["results"][0].as_str().expect("a result")).expect("JSON");
    assert_eq!(said(&found[0]), json!(["0.1.0 w Ada", "0.1.0 w None"]), "{found:?}");
    // Asked for beside it, and in no registry.
    assert_eq!(found[1]["status"], "error", "{found:?}");
    let told = found[1]["error"].as_str().expect("an error");
    assert!(told.contains("`orchestrator:caller` names `agent:other`, which is not in the registry"), "{told}");

    author.python(&Python::new("agent:other", "def run(module_run):\n    return 'other'\n"));
    let found = steps(&node.url, &key, &json!([run(others.clone()), run(others), run(json!({}))]));
    assert_eq!(said(&found[0]), json!(["other"]), "{found:?}");
    assert_eq!(said(&found[1]), json!(["other"]), "{found:?}");
    assert_eq!(said(&found[2]).as_array().map(Vec::len), Some(2), "the others are as they were");
    let names: Vec<String> =
        deployments(&node).iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(names.len(), 2, "one of it, and one of the choice of agents: {names:?}");
}

// Naptha's defects: C3
#[test]
fn what_the_registry_only_points_at_is_fetched_from_where_the_operator_allows() {
    let registry = TestRegistry::start();
    let start = |flags: &[&str]| {
        let mut sandbox = registry.sandbox();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        TestNode::start_in(sandbox, flags)
    };
    let (key, person) = (SecretKey::generate(), registry.sandbox());
    let repository = Repository::of_fixture(&person.home(), "hello_world_agent", "v0.16");
    let place = format!("file://{}/", person.home().display());
    let (node, strict) = (start(&["--open", "--source", &place]), start(&["--open"]));
    let naptha = |node: &TestNode, arguments: &[&str]| sdk::naptha(&registry, &person, &key, &node.url, arguments);
    naptha(&node, &["signup"]).expect(0);
    let record = format!("description='d' parameters='p' module_url='{}' module_version='v0.16'", repository.url());
    naptha(&node, &["agents", "hello_world_agent", "-c", &record]).expect(0);
    let line = ["run", "agent:hello_world_agent", "-p", "firstname=sam surname=smith"];
    let refused = naptha(&strict, &line);
    assert!(refused.stdout.contains("this node takes modules from `https://` only"), "{refused:?}");
    let ran = naptha(&node, &line).expect(0);
    assert!(ran.stdout.contains("Hello sam smith"), "{ran:?}");
    // A tag that moves moves nothing that is deployed.
    repository.write("hello_world_agent/run.py", "def run(module_run):\n    return 'moved'\n");
    repository.commit("moved");
    repository.git(&["tag", "--force", "v0.16"]);
    assert!(naptha(&node, &line).expect(0).stdout.contains("Hello sam smith"));
    // A branch is not a version, and is fetched by its name.
    let of = json!({ "module": { "name": "hello_world_agent", "module_version": "main" } });
    let inputs = json!({ "firstname": "sam", "surname": "smith" });
    let run = json!({ "do": "run", "module": "agent:hello_world_agent", "deployment": of, "inputs": inputs });
    let found = steps(&node.url, &key, &json!([run]));
    assert_eq!(found[0]["results"], json!(["moved"]), "{found:?}");
}

#[test]
fn a_run_that_waits_for_its_install_outlives_the_node() {
    let (registry, _author) = with_worker();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    // It dies when it begins to fetch.
    sandbox.set("FAILPOINTS", "install.fetching=return(kill)");
    let mut node = TestNode::start_in(sandbox, &["--open"]);
    let user = node.operator();
    let deployment = json!({ "node": { "ip": "localhost" }, "module": { "name": "worker" } });
    let input = json!({ "consumer_id": user, "inputs": { "word": "w" }, "deployment": deployment,
                        "signature": node.key().sign_consumer(&user) });
    let client = reqwest::Client::new();
    let request = client
        .post(format!("{}/agent/run", node.url))
        .header("content-type", "application/json")
        .body(json!({ "agent_run_input": input }).to_string());
    // It may die before it has answered: accepted is what is stored.
    let answer = crate::support::http::runtime().block_on(async { request.send().await?.text().await });
    node.ended();
    node.sandbox.set("FAILPOINTS", "");
    node.fsck();
    if let Ok(text) = &answer {
        let record: Value = serde_json::from_str(text).expect("a record");
        assert_eq!(
            (&record["status"], &record["deployment"]["module"]["module_type"]),
            (&json!("pending"), &json!("agent"))
        );
    }
    node.restart();
    let ended = wait_for("its end", || {
        let runs = node.napt(&["runs", "--message-format", "json"]).expect(0).json()["data"]["runs"].clone();
        let run = runs.as_array().expect("a list").first().expect("the run").clone();
        (!run["finished"].is_null()).then_some(run)
    });
    assert_eq!((&ended["status"], &ended["version"]), (&json!("completed"), &json!("0.1.0")), "{ended}");
}
