//! The commands of the real Naptha SDK that talk to the hub, against our registry.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use napt::identity::SecretKey;
use napt_registry_client::{NodeAnnouncement, node_owner_text};
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    http::{send, signed},
    modules, python,
    registry::TestRegistry,
    websocket::Socket,
};

/// A user of the SDK with a folder, a key, a name and a password.
struct Person {
    sandbox: Sandbox,
    cli: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The SDK's program `name` with a person's settings.
fn sdk(registry: &TestRegistry, sandbox: &Sandbox, key: &SecretKey, username: &str, program: &str) -> Command {
    let hub = registry.url.join("rpc").expect("a URL").to_string().replacen("http", "ws", 1);
    let mut command = Command::new(python::with_sdk().with_file_name(program));
    command
        .current_dir(sandbox.work())
        .env_clear()
        .env("HOME", sandbox.home())
        .env("COLUMNS", "2000")
        .env("HUB_URL", hub)
        .env("HUB_USERNAME", username)
        .env("HUB_PASSWORD", "pass word 1!")
        .env("PRIVATE_KEY", key.to_hex())
        .env("NODE_URL", "http://localhost:7001");
    command
}

impl Person {
    fn new(registry: &TestRegistry, username: &str) -> Self {
        Self::with_key(registry, username, &SecretKey::generate())
    }

    fn with_key(registry: &TestRegistry, username: &str, key: &SecretKey) -> Self {
        let sandbox = registry.sandbox();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testsuite/naptha_cli.py");
        let mut command = sdk(registry, &sandbox, key, username, "python");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cli = command.spawn().expect("it starts");
        let calls = cli.stdin.take().expect("a pipe");
        let answers = BufReader::new(cli.stdout.take().expect("a pipe"));
        Person { sandbox, cli, calls, answers }
    }

    /// `naptha …` in a folder below the work folder: its exit code and all that it printed.
    fn naptha_in(&mut self, folder: &str, arguments: &[&str]) -> (i64, String) {
        let call = json!({ "folder": self.sandbox.work().join(folder), "arguments": arguments });
        writeln!(self.calls, "{call}").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        (answer["code"].as_i64().expect("a code"), answer["output"].as_str().expect("text").to_owned())
    }

    /// The command ends well and prints all of this.
    #[track_caller]
    fn shows(&mut self, arguments: &[&str], texts: &[&str]) {
        let (code, output) = self.naptha_in("", arguments);
        assert_eq!(code, 0, "{output}");
        for text in texts {
            assert!(output.contains(text), "`{text}` is not in:\n{output}");
        }
    }

    /// The command ends badly, and says why.
    #[track_caller]
    fn fails(&mut self, arguments: &[&str], text: &str) {
        let (code, output) = self.naptha_in("", arguments);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(text), "`{text}` is not in:\n{output}");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.cli.kill();
        let _ = self.cli.wait();
    }
}

const TYPES: [(&str, &str); 7] = [
    ("agents", "agent"),
    ("tools", "tool"),
    ("orchestrators", "orchestrator"),
    ("environments", "environment"),
    ("personas", "persona"),
    ("kbs", "kb"),
    ("memories", "memory"),
];

// Naptha's defects: G8
#[test]
fn signup_then_sign_in_in_any_case() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let mut person = Person::with_key(&registry, "Ada.Lovelace", &key);
    person.fails(&["agents"], "Authentication failed: no user has this name and password");
    person.shows(&["signup"], &["Sign up successful"]);
    person.shows(&["signup"], &["Sign in successful"]);
    Person::with_key(&registry, "ada.lovelace", &key).shows(&["agents"], &["No agent found"]);
    // The SDK itself sees these two.
    Person::with_key(&registry, "grace", &key).fails(&["signup"], "already exists but doesn't match");
    Person::new(&registry, "ada.LOVELACE").fails(&["signup"], "Public key mismatch");
}

#[test]
fn modules_of_all_types_are_listed_made_changed_and_deleted() {
    let registry = TestRegistry::start();
    let (mut ada, mut bob) = (Person::new(&registry, "ada"), Person::new(&registry, "bob"));
    ada.shows(&["signup"], &["Sign up successful"]);
    bob.shows(&["signup"], &["Sign up successful"]);
    for (list, kind) in TYPES {
        let name = format!("my_{kind}");
        ada.shows(&[list], &[&format!("No {kind} found")]);
        let metadata =
            "description='Talks a lot' parameters='p' module_url='https://git.example/m' module_version=v1.2";
        ada.shows(&[list, &name, "-c", metadata], &[&format!("Created {kind}")]);
        ada.fails(&[list, &name, "-c", metadata], &format!("`{kind}:{name}` exists already"));
        ada.shows(&[list], &[&name, "Talks a lot", "https://git.example/m", "v1.2", "Total"]);
        ada.shows(&[list, &name, "-u", "description='Listens'"], &["Listens"]);
        bob.fails(&[list, &name, "-u", "description='Mine'"], "You are not authorized");
        bob.fails(&[list, &name, "-d"], "You are not authorized");
        ada.fails(&[list, "nothing_here", "-u", "description='x'"], "No existing");
        let found = ada.sandbox.napt(&["search", "--type", kind]).expect(0);
        assert!(found.stdout.contains("v1.2  Listens"), "{}", found.stdout);
        ada.shows(&[list, &name, "-d"], &[&format!("Deleted {kind}")]);
        ada.shows(&[list, &name, "-d"], &[&format!("Failed to delete {kind}")]);
        ada.shows(&[list], &[&format!("No {kind} found")]);
    }
    ada.fails(&["agents", "Upper", "-c", "description=d parameters=p module_url=u"], "try `upper`");
    ada.shows(&["agents", "x", "-c", "description=d"], &["Missing required metadata: parameters, module_url"]);
}

#[test]
fn what_napt_publishes_is_listed_and_what_naptha_registers_is_found() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    ada.shows(&["signup"], &["Sign up successful"]);
    ada.sandbox.napt(&["login"]).expect(0);
    for (list, kind) in TYPES {
        modules::write(&ada.sandbox, kind, &format!("{kind}:published"), "1.2.0", "");
        ada.sandbox.napt(&["publish", "--no-verify", "-C", kind]).expect(0);
        let url = registry.url.join(&format!("api/v1/modules/{kind}/published/1.2.0/download")).expect("a URL");
        ada.shows(&[list], &["A module for tests", "1.2.0", url.as_str(), "data.json"]);
    }
    ada.fails(&["agents", "published", "-c", "description=d parameters=p module_url=u"], "exists already");

    // `naptha publish -r URL`, twice: the second changes the first's record.
    let deployment = r#"[{"name": "d", "module": {"name": "given", "description": "A tool", "parameters": "{x: int}",
        "module_type": "tool", "module_version": "v0.2", "module_entrypoint": "run.py", "execution_type": "package"},
        "node": {"ip": "localhost"}}]"#;
    ada.sandbox.write("given/given/configs/deployment.json", deployment);
    for url in ["https://git.example/one", "https://git.example/two"] {
        let (code, output) = ada.naptha_in("given", &["publish", "-r", url]);
        assert!(code == 0 && output.contains("Total time taken to publish 1 modules"), "{output}");
    }
    let info = ada.sandbox.napt(&["info", "tool:given"]).expect(0).stdout;
    assert!(info.contains("tool:given v0.2") && info.contains("https://git.example/two"), "{info}");
    // With what its files name: each to where it says that it is, or to the same.
    let record = |module_type: &str, name: &str, more: &str| {
        format!(
            r#"{{"name": "{name}", "description": "One", "parameters": "None", "module_type": "{module_type}",
            "module_version": "v0.3", "module_entrypoint": "run.py", "execution_type": "package"{more}}}"#
        )
    };
    let node = r#""node": {"ip": "localhost"}, "config": {}"#;
    let whole = record("orchestrator", "whole", "");
    let (first, second) = (
        record("agent", "first_part", r#", "module_url": "https://git.example/first""#),
        record("kb", "second_part", ""),
    );
    let parts = r#""agent_deployments": [{"name": "a"}], "kb_deployments": [{"name": "k"}]"#;
    ada.sandbox.write(
        "whole/whole/configs/deployment.json",
        format!(r#"[{{"name": "d", "module": {whole}, {node}, {parts}}}]"#),
    );
    ada.sandbox.write(
        "whole/whole/configs/agent_deployments.json",
        format!(r#"[{{"name": "a", "module": {first}, {node}}}]"#),
    );
    ada.sandbox
        .write("whole/whole/configs/kb_deployments.json", format!(r#"[{{"name": "k", "module": {second}, {node}}}]"#));
    let (code, output) = ada.naptha_in("whole", &["publish", "-s", "-r", "https://git.example/whole"]);
    assert!(code == 0 && output.contains("Total time taken to publish 3 modules"), "{output}");
    for (id, url) in [
        ("orchestrator:whole", "https://git.example/whole"),
        ("agent:first_part", "https://git.example/first"),
        ("kb:second_part", "https://git.example/whole"),
    ] {
        let info = ada.sandbox.napt(&["info", id]).expect(0).stdout;
        assert!(info.contains(&format!("{id} v0.3")) && info.contains(url), "{info}");
    }
    let refused = ada.sandbox.napt(&["info", "tool:given@1.0.0"]).expect(1).stderr;
    assert!(refused.contains("it is kept at https://git.example/two, as `v0.2`"), "{refused}");
    // Ada's key in napt is another one, so the name is not hers there.
    modules::write(&ada.sandbox, "taken", "tool:given", "1.0.0", "");
    ada.sandbox.napt(&["publish", "--no-verify", "-C", "taken"]).expect(5);
}

// Naptha's defects: G5, C8
#[test]
fn nodes_and_servers_are_listed() {
    let registry = TestRegistry::start();
    let key = SecretKey::generate();
    let mut ada = Person::with_key(&registry, "ada", &key);
    ada.shows(&["signup"], &["Sign up successful"]);
    ada.shows(&["nodes"], &["No nodes found"]);
    ada.shows(&["nodes", "-s"], &["No servers found"]);
    // One that registers itself as Naptha's do, and one of napt's.
    let mut hub = Socket::open(registry.url.authority(), "/rpc", "").expect("a hub");
    let call = |method: &str, params: Value| json!({ "id": "1", "method": method, "params": params }).to_string();
    hub.ask(&call("signin", json!([{ "username": "ada", "password": "pass word 1!" }])));
    let node = json!({
        "ip": "node.example", "user_communication_protocol": "https", "user_communication_port": 443,
        "node_communication_protocol": "grpc", "num_node_communication_servers": 1, "models": ["phi3:mini"],
        "provider_types": ["models"], "os": "Linux", "arch": "x86_64",
    });
    let id = key.public().node_id();
    assert!(hub.ask(&call("create", json!([id, node])))["error"].is_null());
    assert!(
        hub.ask(&call("create", json!(["server", { "communication_protocol": "grpc", "port": 7002, "node_id": id }])))
            ["error"]
            .is_null()
    );
    announce(&registry, "two", "http://127.0.0.2:7101");
    ada.shows(&["nodes"], &["node.example", "phi3:mini", "127.0.0.2", "7101", "hermes3:8b", "Total nodes: 2"]);
    ada.shows(&["nodes", "-s"], &["grpc", "7002", "7101", "Total servers: 2"]);
    // What the SDK asks before it calls a module on a node that it knows by its address only.
    let script = "import asyncio, sys\nfrom naptha_sdk.client.hub import list_nodes\n\
                  print(asyncio.run(list_nodes(sys.argv[1]))['ports'])\n";
    for (address, ports) in [("node.example", "[7002]"), ("127.0.0.2", "[7101]"), ("two", "[7101]")] {
        let mut command = sdk(&registry, &ada.sandbox, &key, "ada", "python");
        let output = python::expect_success(command.args(["-c", script, address]));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), ports, "{address}");
    }
    // As it is installed, and not only in one process.
    let output = python::expect_success(sdk(&registry, &ada.sandbox, &key, "ada", "naptha").arg("nodes"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("node.example"));
}

/// Puts a node into the registry's directory, as `napt node` does.
fn announce(registry: &TestRegistry, name: &str, url: &str) {
    let (node, owner) = (SecretKey::generate(), SecretKey::generate());
    let id = node.public().node_id();
    let record = NodeAnnouncement {
        owner: owner.public().user_id(),
        owner_signature: owner.sign(node_owner_text(&id, name, url).as_bytes()),
        name: name.to_owned(),
        url: url.to_owned(),
        models: vec!["hermes3:8b".to_owned()],
        provider_types: vec!["modules".to_owned()],
        arch: "x86_64".to_owned(),
        os: "Linux".to_owned(),
        version: "0.1.0".to_owned(),
        id: id.clone(),
    };
    let body = serde_json::to_string(&record).expect("JSON");
    let target = registry.url.join(&format!("api/v1/nodes/{id}")).expect("a URL").to_string();
    let authorization = signed(&node, "PUT", &target, &body);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    assert_eq!(send("PUT", &target, &headers, &body).status, 200);
}

#[test]
fn secrets_are_listed_before_a_run() {
    let registry = TestRegistry::start();
    let mut ada = Person::new(&registry, "ada");
    ada.shows(&["signup"], &["Sign up successful"]);
    // No node is there: what the hub has to say comes first.
    ada.fails(&["run", "agent:x", "-p", "{}"], "connect");
}
