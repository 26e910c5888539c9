//! The walls around modules: what they see of the machine and of each other, and that nothing of them outlives a node.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    modules::Python,
    node::{TestNode, cache},
    processes::{called_with, soon},
};

/// Says what there is.
const LOOKING: &str = r#"
import os, socket

def readable(path):
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            open(path, "rb").close()
        return True
    except OSError:
        return False

def writable(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False

def connects(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return True
    except OSError:
        return False

def run(module_run):
    inputs = module_run["inputs"]
    status = open("/proc/self/status").read()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "readable": [path for path in inputs["read"] if readable(path)],
        "writable": [path for path in inputs["write"] + [__file__] if writable(path)],
        "connects": [port for port in inputs["ports"] if connects("127.0.0.1", port)],
        "alone": os.getpid() < 1000 and not readable("/proc"),
        "capabilities": fields["CapEff"].strip() + fields["CapBnd"].strip(),
        "privileges": fields["NoNewPrivs"].strip(),
        "scratch": os.path.dirname(os.environ["HOME"]),
    }
"#;

fn found(node: &TestNode, inputs: &Value) -> Value {
    let run = node.user().run("agent:looking", inputs.clone());
    serde_json::from_str(&run.result.unwrap_or_else(|| panic!("{:?}", run.error))).expect("JSON")
}

#[test]
fn a_module_finds_its_node_and_nothing_else() {
    let node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:looking", LOOKING));
    let port: u16 = node.address().rsplit_once(':').expect("a port").1.parse().expect("a number");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = other.local_addr().expect("its address").port();
    let (data, home) = (node.data(), node.sandbox.home());
    let secrets = ["identity.key", "node.sqlite", "modules", "archives", "storage", "secrets", "views", "scratch"];
    let inputs = json!({
        "read": secrets.map(|name| data.join(name)).into_iter().chain([home, node.sandbox.work(), "/etc/shadow".into(), "/home".into()])
            .collect::<Vec<_>>(),
        "write": [data.join("x"), node.sandbox.work().join("x"), "/tmp/x", "/usr/x", "/etc/x"],
        "ports": [port, other],
    });
    let found = found(&node, &inputs);
    for (what, expected) in [
        ("readable", json!([])),
        ("writable", json!([])),
        ("connects", json!([port])),
        ("alone", json!(true)),
        ("capabilities", json!("0".repeat(32))),
        ("privileges", json!("1")),
    ] {
        assert_eq!(found[what], expected, "{what}: {found}");
    }
}

#[test]
fn nobody_runs_in_a_process_of_somebody_else() {
    let mut other = Sandbox::new();
    let store = napt::identity::CredentialStore::new(other.home().join("napt").join("config"));
    let id = store.key_or_create().expect("a key").public().user_id();
    let node = TestNode::start(&["--user", &id]);
    other.set("NAPT_NODE", &node.url);
    node.deploy(&Python::new("agent:looking", LOOKING));
    let inputs = json!({ "read": [], "write": [], "ports": [] });
    let mine = found(&node, &inputs)["scratch"].clone();
    assert_eq!(found(&node, &inputs)["scratch"], mine, "one user's runs are of one parent");
    // The same deployment, for another user.
    let ran = other.napt(&["run", "agent:looking", "-p", &inputs.to_string(), "--message-format", "json"]).expect(0);
    let result = ran.json()["data"]["run"]["result"].as_str().expect("a result").to_owned();
    let theirs = serde_json::from_str::<Value>(&result).expect("JSON")["scratch"].clone();
    assert_ne!(mine, theirs);
}

/// Starts what detaches itself in every way.
const DETACHING: &str = r#"
import os, signal, subprocess, sys, time

def run(module_run):
    marker = module_run["inputs"]["marker"]
    for number in range(3):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if number:
                os.setsid()
            if os.fork() == 0 or number == 2:
                os.closerange(0, 64)
                os.execvp("sleep", ["sleep", marker])
            os._exit(0)
    print("detached", flush=True)
    time.sleep(3600)
"#;

#[test]
fn no_process_of_a_module_outlives_a_killed_node() {
    let mut node = TestNode::start(&[]);
    node.deploy(&Python::new("agent:detaching", DETACHING));
    let user = node.user();
    let marker = format!("5{}", node.pid());
    let run = user.start("agent:detaching", json!({ "marker": marker }));
    user.line(&run.id, "detached");
    soon("all of them run", || called_with(&marker).len() >= 3);
    node.kill();
    soon("nothing is left", || called_with(&marker).is_empty());
}

/// A node that may make no namespaces, as in many containers.
fn without_namespaces(sandbox: &Sandbox, flags: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    let napt = sandbox.command(&[]);
    command.arg(napt.get_program()).args(flags);
    command.current_dir(sandbox.work()).env_clear();
    command.envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_node_that_must_have_a_sandbox_does_not_start_without() {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let flags = ["node", "--listen", "127.0.0.1:0", "--require-sandbox"];
    let refused = without_namespaces(&sandbox, &flags).output().expect("unshare");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("this machine lacks what `--require-sandbox` demands: namespaces cannot be used"), "{told}");
    assert_eq!(refused.status.code(), Some(1), "{told}");
    // Here there is everything; control groups it does without.
    let node = TestNode::start_in(sandbox, &["--require-sandbox"]);
    assert!(!node.log().contains("warning") || !node.has_groups(), "{}", node.log());
}

#[test]
fn a_node_does_not_keep_its_data_where_every_module_looks() {
    let folder = format!("napt-{}", std::process::id());
    for (seen, path) in [("/usr", format!("/usr/{folder}/node")), ("/usr", format!("/../bin/../usr/lib/{folder}"))] {
        let refused = Sandbox::new().napt(&["node", "--listen", "127.0.0.1:0", "--data", &path]).expect(2);
        let told = format!("is below `{seen}`, which every module can read");
        assert!(refused.stderr.contains(&told) && refused.stderr.contains(&path), "{}", refused.stderr);
        assert!(!std::path::Path::new(&path).exists(), "nothing was made");
    }
    // By a link too.
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("/usr/share", sandbox.work().join("link")).expect("a link");
    let path = format!("link/{folder}");
    let refused = sandbox.napt(&["node", "--listen", "127.0.0.1:0", "--data", &path]).expect(2);
    assert!(refused.stderr.contains("is below `/usr`"), "{}", refused.stderr);
}

/// Asks its node with a credential and without.
const ASKING: &str = r#"
import json, os, urllib.error, urllib.request

def status(headers):
    address = os.environ["NAPT_NODE_URL"].rpartition("@")[2]
    request = urllib.request.Request(f"http://{address}/user/check", b'{"public_key": "x"}', headers)
    request.add_header("Content-Type", "application/json")
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code

def run(module_run):
    return json.dumps([status({}), status({"Authorization": "Bearer None"})])
"#;

#[test]
fn a_module_that_leaves_its_credential_out_is_nobody_on_an_open_node_too() {
    let node = TestNode::start(&["--open"]);
    node.deploy(&Python::new("agent:asking", ASKING));
    let run = node.user().run("agent:asking", json!({}));
    assert_eq!(run.result.as_deref(), Some("[401, 401]"), "{:?}", run.error);
}
