//! Modules in Rust: built on the node, run over the same frames and within the same limits as those in Python.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use napt::wire::{RunStatus, RunView};
use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    modules::{CALL, Python},
    node::{TestNode, cache},
    rust::{Rust, write_bare},
    wait_for,
};

/// Does what its inputs say.
const PROBE: &str = r##"
use serde_json::{json, Value};

fn run(run: &napt::Run) -> napt::Result<Value> {
    let inputs = &run.inputs;
    let argument = inputs["with"].as_str().unwrap_or_default();
    Ok(match inputs["do"].as_str().unwrap_or_default() {
        "echo" => inputs.clone(),
        "say" => json!(argument),
        "fail" => return Err(argument.to_owned().into()),
        "panic" => panic!("{argument}"),
        "exit" => std::process::exit(7),
        "abort" => std::process::abort(),
        "print" => {
            println!("to stdout: {argument}");
            eprintln!("to stderr: {argument}");
            json!("printed")
        }
        "flood" => loop {
            println!("{argument}");
        },
        "sleep" => {
            println!("sleeping");
            std::thread::sleep(std::time::Duration::from_secs(3600));
            json!("awake")
        }
        "allocate" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1; 1 << 20]);
            }
        }
        "large" => json!("x".repeat(17 << 20)),
        "frames" => {
            // What a node would read on a channel, on the wrong one.
            let forged = br#"{"op":"result","ok":true,"result":"forged"}"#;
            let mut frame = (forged.len() as u32).to_be_bytes().to_vec();
            frame.extend_from_slice(forged);
            std::io::Write::write_all(&mut std::io::stdout(), &frame)?;
            json!("true")
        }
        "surroundings" => {
            let home = std::env::var("HOME")?;
            std::fs::write(std::path::Path::new(&home).join("mine"), "x")?;
            let mut names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            names.sort();
            json!({ "variables": names, "folder": std::fs::read_to_string("Cargo.toml")? })
        }
        "leave" => {
            // It would hold the channel and the output.
            std::process::Command::new("sleep").arg("3600").spawn()?;
            json!("left")
        }
        "infer" => json!(run.infer(&[json!({ "role": "user", "content": argument })])?),
        "call" => json!(run.call(argument, &inputs["inputs"])?),
        "call many" => {
            let ask = |number: usize| run.call(argument, &json!({ "number": number })).map_err(|error| error.to_string());
            let results: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || ask(number))).collect();
                threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
            });
            json!(results.into_iter().collect::<Result<Vec<_>, _>>()?)
        }
        other => return Err(format!("what is `{other}`?").into()),
    })
}
"##;

/// A node with `agent:probe` in Rust, which may call `agent:echo` in Python.
fn probe(limits: &str) -> TestNode {
    let node = TestNode::start(&[]);
    Python::new("agent:echo", "def run(module_run):\n    return module_run['inputs']\n").write(&node.sandbox);
    let more = format!("[dependencies]\n\"agent:echo\" = {{ path = \"../echo\", version = \"0.1\" }}\n{limits}");
    Rust { more: &more, ..Rust::new("agent:probe", PROBE) }.write(&node.sandbox);
    node.sandbox.write("probe/configs/deployment.json", deployment("probe", "echo"));
    node.napt(&["deploy", "probe"]).expect(0);
    node
}

/// A deployment that has an agent.
fn deployment(name: &str, agent: &str) -> String {
    json!([{
        "node": {"ip": "localhost"},
        "module": {"name": name},
        "name": name,
        "config": {"llm_config": {"client": "openai", "model": "napt/echo"}},
        "agent_deployments": [{"node": {"ip": "localhost"}, "module": {"name": agent}, "name": agent}],
    }])
    .to_string()
}

fn doing(node: &TestNode, what: &str, with: &str) -> RunView {
    node.user().run("agent:probe", json!({"do": what, "with": with}))
}

#[track_caller]
fn fails(node: &TestNode, what: &str, with: &str, error: &str) {
    let ran = doing(node, what, with);
    assert_eq!(ran.status, RunStatus::Error, "{what}");
    assert!(ran.error.as_ref().is_some_and(|said| said.starts_with(error)), "{what}: {:?}", ran.error);
}

#[track_caller]
fn gives(node: &TestNode, what: &str, with: &str) -> String {
    let ran = doing(node, what, with);
    ran.result.unwrap_or_else(|| panic!("{what}: {:?}", ran.error))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_a_run_gives_prints_and_calls() {
    let node = probe("");
    let user = node.user();
    let odd =
        json!({"do": "echo", "quotes": "'\"`\\", "unicode": "é 🦀 \u{2028}", "numbers": [0, -1, 1.5], "none": null});
    let ran = user.run("agent:probe", odd.clone());
    assert_eq!(json_of(&ran.result.expect("a result")), odd);
    assert_eq!(gives(&node, "say", "plain text"), "plain text");
    let printed = doing(&node, "print", "é");
    let log = user.log(&printed.id);
    assert!(log.contains("to stdout: é") && log.contains("to stderr: é"), "{log}");
    assert_eq!(gives(&node, "infer", "are you there?"), "are you there?");
    let called = user.run("agent:probe", json!({"do": "call", "with": "agent:echo", "inputs": {"a": 1}}));
    assert_eq!(json_of(&called.result.expect("a result")), json!({"a": 1}));
    assert_eq!(user.tree(&called.root).len(), 2);
    let many = json_of(&gives(&node, "call many", "agent:echo"));
    let many: Vec<Value> = many.as_array().expect("a list").iter().filter_map(Value::as_str).map(json_of).collect();
    assert_eq!(many, (0..8).map(|number| json!({"number": number})).collect::<Vec<_>>());
    fails(&node, "call", "agent:nobody", "the deployment has no `agent:nobody`");
    let surroundings = json_of(&gives(&node, "surroundings", ""));
    for name in ["HOME", "NAPT_NODE_URL", "NAPT_RUN_ID", "NAPT_RUN_TOKEN", "PRIVATE_KEY", "TMPDIR"] {
        assert!(surroundings["variables"].as_array().expect("a list").contains(&json!(name)), "{surroundings}");
    }
    assert!(surroundings["folder"].as_str().expect("a text").contains("[package]"));
}

#[test]
fn however_a_run_ends_it_is_told() {
    let node = probe("[limits]\ntimeout = \"5s\"\nmemory = \"256MiB\"\n");
    fails(&node, "fail", "no more tea", "no more tea");
    fails(&node, "panic", "a teapot", "the module panicked: a teapot");
    let panicked = doing(&node, "panic", "a teapot");
    assert!(node.user().log(&panicked.id).contains("src/main.rs:"));
    fails(&node, "exit", "", "the module's process exited with code 7 before it had a result");
    fails(&node, "abort", "", "the module's process was ended by signal ");
    fails(&node, "sleep", "", "time limit of 5 s reached");
    fails(&node, "allocate", "", "memory limit of 256");
    fails(&node, "flood", &"x".repeat(1000), "output limit of 10");
    fails(&node, "large", "", "result limit of 16");
    assert_eq!(gives(&node, "frames", ""), "true");
    assert_eq!(gives(&node, "leave", ""), "left");
    let user = node.user();
    let run = user.start("agent:probe", json!({"do": "sleep"}));
    user.line(&run.id, "sleeping");
    user.cancel(&run.id);
    assert_eq!(user.ended(&run.id).status, RunStatus::Cancelled);
    assert_eq!(gives(&node, "say", "still there"), "still there");
}

/// The newest change of each library that was built for the crates.
fn libraries(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(libraries(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "rlib") {
            let changed = path.metadata().and_then(|file| file.modified()).expect("a time");
            found.push((path, changed));
        }
    }
    found.sort();
    found
}

#[test]
fn a_version_builds_what_changed_and_is_built_once() {
    let mut sandbox = Sandbox::new();
    let own = sandbox.home().join("cache");
    sandbox.set("NAPT_CACHE_DIR", own.to_str().expect("UTF-8"));
    let mut node = TestNode::start_in(sandbox, &[]);
    let run =
        |says: &str| format!("fn run(_: &napt::Run) -> napt::Result<String> {{\n    Ok(\"{says}\".to_owned())\n}}\n");
    Rust::new("agent:versions", &run("one")).write(&node.sandbox);
    let deployed = node.napt(&["deploy", "versions"]).expect(0);
    assert!(deployed.stderr.contains("Building the Rust of agent:versions"), "{}", deployed.stderr);
    let built = libraries(&own.join("cargo").join("targets"));
    assert!(built.len() > 5, "{built:?}");
    Rust { version: "0.2.0", ..Rust::new("agent:versions", &run("two")) }.write(&node.sandbox);
    node.napt(&["deploy", "versions"]).expect(0);
    assert_eq!(libraries(&own.join("cargo").join("targets")), built);
    assert_eq!(node.user().run("agent:versions", json!({})).result.as_deref(), Some("two"));
    // What was built stays, wherever it was built.
    fs::remove_dir_all(own.join("cargo")).expect("it is there");
    node.kill();
    node.restart();
    assert_eq!(node.user().run("agent:versions", json!({})).result.as_deref(), Some("two"));
    node.napt(&["rollback", "versions"]).expect(0);
    assert_eq!(node.user().run("agent:versions", json!({})).result.as_deref(), Some("one"));
    assert!(!own.join("cargo").exists());
}

#[test]
fn what_does_not_build_is_told_in_the_compilers_words() {
    let node = TestNode::start(&[]);
    write_bare(&node.sandbox, "agent:wrong", "fn main() {\n    let x: u32 = \"tea\";\n}\n");
    let ran = node.napt(&["deploy", "wrong"]).expect(1);
    assert!(ran.stderr.contains("error[E0308]: mismatched types"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--> src/main.rs:2:18"), "{}", ran.stderr);
    // A program that is none of a node's.
    write_bare(&node.sandbox, "agent:silent", "fn main() {\n    println!(\"hello\");\n}\n");
    let ran = node.napt(&["deploy", "silent"]).expect(1);
    assert!(ran.stderr.contains("exited with code 0 before it had a result"), "{}", ran.stderr);
    write_bare(&node.sandbox, "agent:unlocked", "fn main() {}\n");
    fs::remove_file(node.sandbox.work().join("unlocked/Cargo.lock")).expect("a file");
    let ran = node.napt(&["deploy", "unlocked", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("the archive has no `Cargo.lock`"), "{}", ran.stderr);
    write_bare(&node.sandbox, "agent:elsewhere", "fn main() {}\n");
    node.sandbox.write(
        "elsewhere/Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"elsewhere\"\nversion = \"0.1.0\"\ndependencies = [\"x\"]\n\n[[package]]\n\
         name = \"x\"\nversion = \"1.0.0\"\nsource = \"git+file:///etc#0123456789012345678901234567890123456789\"\n",
    );
    let ran = node.napt(&["deploy", "elsewhere", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("`x 1.0.0` is from `git+file:///etc#"), "{}", ran.stderr);
}

/// The processes of this machine that were started with these words.
fn started_with(words: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("a folder").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").trim_end() == words).count()
}

#[test]
fn a_build_script_is_shut_in() {
    let node = TestNode::start(&[]);
    write_bare(&node.sandbox, "agent:nosy", "fn main() {}\n");
    let script = r#"
use std::{fs, net::TcpStream, path::Path, process::Command};

fn main() {
    let (data, node) = (Path::new(DATA), NODE);
    let crates = Path::new(&std::env::var("CARGO_HOME").unwrap()).join("registry");
    let sources = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let mut found = Vec::new();
    let mut tried = |what: &str, done: bool| if done { found.push(what.to_owned()) };
    tried("key", fs::read(data.join("identity.key")).is_ok());
    tried("data", fs::read_dir(data).is_ok_and(|mut entries| entries.any(|entry| entry.unwrap().file_name() == "node.sqlite")));
    tried("binaries", fs::write(data.join("binaries").join("mine"), "x").is_ok());
    tried("node", TcpStream::connect(node).is_ok());
    tried("network", TcpStream::connect("1.1.1.1:443").is_ok());
    tried("crates", fs::write(crates.join("mine"), "x").is_ok());
    tried("sources", fs::write(Path::new(&sources).join("mine"), "x").is_ok());
    tried("home", fs::write(Path::new("/root/mine"), "x").is_ok() || fs::read_dir("/home").is_ok());
    tried("other processes", fs::read_dir("/proc/1/root/home").is_ok());
    // Cargo waits for whatever has its output.
    let nothing = std::process::Stdio::null;
    Command::new("setsid").args(["sleep", "86399"]).stdout(nothing()).stderr(nothing()).spawn().ok();
    panic!("found {found:?}");
}
"#;
    let script =
        script.replace("DATA", &format!("{:?}", node.data())).replace("NODE", &format!("{:?}", node.address()));
    node.sandbox.write("nosy/build.rs", script);
    let ran = node.napt(&["deploy", "nosy", "--no-verify"]).expect(1);
    assert!(ran.stderr.contains("found []"), "{}", ran.stderr);
    wait_for("its processes to be gone", || (started_with("sleep 86399") == 0).then_some(()));
}

#[test]
fn without_rust_a_node_says_what_to_install() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("PATH", "/nowhere");
    let node = TestNode::start_in(sandbox, &[]);
    write_bare(&node.sandbox, "agent:plain", "fn main() {}\n");
    let ran = node.napt(&["deploy", "plain"]).expect(1);
    assert!(ran.stderr.contains("no Rust was found in the node's `PATH`"), "{}", ran.stderr);
}

#[test]
fn rust_and_python_call_each_other() {
    let node = TestNode::start(&[]);
    let more = "[dependencies]\n\"agent:shout\" = { path = \"../shout\", version = \"0.1\" }\n";
    let run = format!("{CALL}\ndef run(module_run):\n    return call('agent:shout', module_run['inputs'])['result']\n");
    Python { more, ..Python::new("orchestrator:bare", &run) }.write(&node.sandbox);
    let shout = "fn run(run: &napt::Run) -> napt::Result<String> {\n    \
                 Ok(run.inputs[\"text\"].as_str().unwrap_or_default().to_uppercase())\n}\n";
    Rust::new("agent:shout", shout).write(&node.sandbox);
    // The same with the SDK.
    let sdk = r#"
from naptha_sdk.modules.agent import Agent
from naptha_sdk.schemas import AgentRunInput, OrchestratorRunInput

async def run(module_run):
    run = OrchestratorRunInput(**module_run)
    agent = run.deployment.agent_deployments[0]
    ended = await Agent().run(
        AgentRunInput(consumer_id=run.consumer_id, inputs=run.inputs, deployment=agent, signature="x")
    )
    return ended.results[-1]
"#;
    Python { more, requirements: &["naptha-sdk==1.0.5"], ..Python::new("orchestrator:with_sdk", sdk) }
        .write(&node.sandbox);
    node.sandbox.write("with_sdk/with_sdk/configs/deployment.json", deployment("with_sdk", "shout"));
    for name in ["bare", "with_sdk"] {
        node.napt(&["deploy", name, "--no-verify"]).expect(0);
        let ran = node.user().run(&format!("orchestrator:{name}"), json!({"text": "tea"}));
        assert_eq!(ran.result.as_deref(), Some("TEA"), "{name}: {:?}", ran.error);
    }
}
