//! A node that an ordinary user starts: it shuts modules in, keeps limits and installs, without any right of root's.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use napt::wire::RunStatus;
use serde_json::json;

use crate::support::{
    Sandbox,
    index::Index,
    modules::Python,
    node::{TestNode, cache},
};

/// Nobody of this machine's.
const USER: u32 = 64_123;

/// Does what its inputs say.
const MODULE: &str = r#"
import json, os, socket, time, urllib.error, urllib.request
import built

def readable(path):
    try:
        open(path, "rb").close()
        return True
    except OSError:
        return False

def status(url):
    try:
        return urllib.request.urlopen(url, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code

def connects(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return True
    except OSError:
        return False

def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)

def run(module_run):
    # Only this test writes the code.
    return json.dumps(eval(module_run["inputs"]["do"]))
"#;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A Python of the machine's that this user may run, with the folder that it is in.
fn python(user: u32) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["python3.12", "python3.11", "python3.10", "python3"];
    let candidates = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let good = "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))";
    candidates.into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-I", "-c", good]).env_clear().current_dir("/");
        command.uid(user).gid(user).output().is_ok_and(|output| output.status.success())
    })
}

/// uv, from the node that other tests have had fetch it.
fn uv() -> PathBuf {
    let uv = Path::new(&cache()).join("environments/installer/bin/uv");
    if !uv.exists() {
        TestNode::start(&[]).deploy(&Python::new("agent:any", "def run(module_run):\n    return 'any'\n"));
    }
    let on_path =
        || std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join("uv")).find(|uv| uv.exists());
    if uv.exists() { uv } else { on_path().expect("uv, where the node has found it") }
}

#[test]
fn a_node_of_an_ordinary_user_shuts_in_limits_and_installs() {
    let mut sandbox = Sandbox::new();
    let index = Index::start();
    index.source("built", "1.0", "return os.getuid()");
    sandbox.set("UV_DEFAULT_INDEX", &index.url());
    let owner = if is_root() { USER } else { rustix::process::geteuid().as_raw() };
    let Some(python) = python(owner) else {
        // All of this machine's are in somebody's home.
        assert!(std::env::var_os("CI").is_none(), "CI needs a Python that every user may run");
        return;
    };
    // What it needs is where it may read it.
    let bin = sandbox.home().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::fs::copy(uv(), bin.join("uv")).expect("a copy");
    std::os::unix::fs::symlink(&python, bin.join(python.file_name().expect("a name"))).expect("a link");
    sandbox.set("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    if is_root() {
        let napt = sandbox.home().join("bin/napt");
        std::fs::copy(env!("CARGO_BIN_EXE_napt"), &napt).expect("a copy");
        sandbox.give_to(USER, &napt);
    }
    let node = TestNode::start_in(sandbox, &[]);
    let found = &node.facts["sandbox"];
    assert_eq!((&found["namespaces"], &found["users"], &found["seccomp"]), (&json!(true), &json!(false), &json!(true)));
    if !node.has_groups() {
        assert!(found["missing"].to_string().contains("control groups are missing"), "{found}");
    }
    let more = "[permissions]\nhosts = [\"localhost\"]\n\n[limits]\nmemory = \"256MiB\"\nprocesses = 16\n";
    node.deploy(&Python { more, requirements: &["built"], ..Python::new("agent:probe", MODULE) });
    let user = node.user();
    let key = node.data().join("identity.key");
    assert!(key.exists());
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    for (code, result) in [
        (format!("readable({key:?})"), json!(false)),
        (
            format!(
                "[path for path in ['/etc/shadow', '/proc/1/environ', {:?}] if readable(path)]",
                node.sandbox.work()
            ),
            json!([]),
        ),
        (format!("connects('127.0.0.1', {other})"), json!(false)),
        (format!("status('http://localhost:{other}/')"), json!(403)),
        ("[os.getuid(), os.listdir('/home') if os.path.exists('/home') else []]".to_owned(), json!([1000, []])),
        // Who its build was: nobody whom the machine knows.
        ("built.FOUND".to_owned(), json!(1000)),
    ] {
        let run = user.run("agent:probe", json!({ "do": code }));
        let found = run.result.as_deref().map(|text| serde_json::from_str(text).expect("JSON"));
        assert_eq!(found, Some(result), "{code}: {:?}", run.error);
    }
    for (code, error) in [
        ("bytearray(1 << 30)", "memory limit of 256 MiB reached"),
        ("[open('/dev/null') for _ in range(5000)]", "open file limit of 1024 reached"),
    ] {
        let run = user.run("agent:probe", json!({ "do": code }));
        assert_eq!((run.status, run.error.as_deref()), (RunStatus::Error, Some(error)), "{code}");
    }
    if node.has_groups() {
        let run = user.run("agent:probe", json!({ "do": "bomb()" }));
        assert_eq!(run.error.as_deref(), Some("process limit of 16 reached"));
    } else {
        // Each process keeps to it by itself.
        let code = "[os.fork() or time.sleep(3600) for _ in range(100)]";
        let run = user.run("agent:probe", json!({ "do": code }));
        assert_eq!(run.error.as_deref(), Some("process limit of 16 reached"));
    }
    assert_eq!(user.run("agent:probe", json!({ "do": "'fine'" })).result.as_deref(), Some("\"fine\""));
}
