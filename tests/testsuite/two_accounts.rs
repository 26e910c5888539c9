//! Two people with keys of their own on one node: one who means well and one who does not. What each sees by command.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    Ran, Sandbox,
    modules::Python,
    node::{TestNode, cache},
};

/// Keeps books, with a secret of whoever it runs for.
const LEDGER: &str = r#"
import os

def run(module_run):
    with open(os.environ["HOME"] + "/book.txt", "w") as book:
        book.write(module_run["inputs"]["entry"])
    print("entered", flush=True)
    return {"entry": open(os.environ["HOME"] + "/book.txt").read(), "has a secret": "LEDGER_PASSWORD" in os.environ}
"#;

/// Looks for whatever there is, and gives what it has found.
const SPY: &str = r#"
import os

# Not as a whole, or it would find itself.
NEEDLE = b"hunter2" + b"-of-ledger"

def run(module_run):
    inputs, found = module_run["inputs"], []
    for folder, folders, files in os.walk(inputs["home"]):
        for name in files:
            try:
                text = open(os.path.join(folder, name), "rb").read(1 << 20)
            except OSError:
                continue
            if name in ("identity.key", "node.sqlite") or NEEDLE in text:
                found.append(os.path.join(folder, name))
    for name in range(1, 1000):
        try:
            if NEEDLE in open(f"/proc/{name}/environ", "rb").read():
                found.append(str(name))
        except OSError:
            pass
    print("looked", flush=True)
    if inputs.get("stay"):
        while True:
            pass
    return found
"#;

/// A user's home, on this node.
fn person() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let store = napt::identity::CredentialStore::new(sandbox.home().join("napt").join("config"));
    let id = store.key_or_create().expect("a key").public().user_id();
    (sandbox, id)
}

#[track_caller]
fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    sandbox.napt(&[arguments, &["--message-format", "json"]].concat()).expect(0).json()["data"].clone()
}

/// Runs a module by command, and gives its record.
#[track_caller]
fn run(sandbox: &Sandbox, module: &str, inputs: &str) -> Value {
    json(sandbox, &["run", module, "-p", inputs])["run"].clone()
}

fn result(run: &Value) -> Value {
    serde_json::from_str(run["result"].as_str().unwrap_or_else(|| panic!("{run:#}"))).expect("JSON")
}

fn ids(runs: &Value) -> Vec<&str> {
    runs["runs"].as_array().expect("a list").iter().map(|run| run["id"].as_str().expect("an id")).collect()
}

/// A command that is refused, without a word of what it was about.
#[track_caller]
fn refused(ran: Ran, code: i32) {
    let ran = ran.expect(code);
    let told = ran.stdout + &ran.stderr;
    assert!(!told.contains("hunter2") && !told.contains("seven crowns"), "{told}");
}

#[test]
fn a_hostile_and_an_honest_user_share_a_node() {
    let ((mut ada, ada_id), (mut mallory, mallory_id)) = (person(), person());
    let mut home = Sandbox::new();
    home.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(home, &["--require-sandbox", "--user", &ada_id, "--user", &mallory_id]);
    ada.set("NAPT_NODE", &node.url);
    mallory.set("NAPT_NODE", &node.url);

    // Ada keeps books.
    let password = ada.write("password", "hunter2-of-ledger");
    let mut set = ada.command(&["secret", "set", "LEDGER_PASSWORD"]);
    ada.run(set.stdin(Stdio::from(std::fs::File::open(&password).expect("a file")))).expect(0);
    std::fs::remove_file(password).expect("it is there");
    Python::new("agent:ledger", LEDGER).write(&ada);
    ada.napt(&["deploy", "ledger", "--no-verify"]).expect(0);
    let entered = run(&ada, "agent:ledger", "entry='seven crowns'");
    assert_eq!(result(&entered), serde_json::json!({ "entry": "seven crowns", "has a secret": true }));
    let hers = entered["id"].as_str().expect("an id");

    // Mallory looks around, from inside and by command.
    let limits = "[limits]\ntimeout = \"3s\"\n";
    Python { more: limits, ..Python::new("agent:spy", SPY) }.write(&mallory);
    mallory.napt(&["deploy", "spy", "--no-verify"]).expect(0);
    let home = node.sandbox.home();
    let looked = run(&mallory, "agent:spy", &format!("home='{}'", home.display()));
    assert_eq!(result(&looked), serde_json::json!([]));
    let his = looked["id"].as_str().expect("an id");
    for list in [&["runs"][..], &["runs", "--all"]] {
        assert_eq!(ids(&json(&mallory, list)), [his]);
        assert_eq!(ids(&json(&ada, list)), [hers]);
        assert_eq!(ids(&json(&node.sandbox, list)), [""; 0], "the operator's own");
    }
    for verb in ["logs", "status", "cancel"] {
        refused(mallory.napt(&[verb, hers]), 1);
        refused(ada.napt(&[verb, his]), 1);
    }
    assert!(ada.napt(&["logs", hers]).expect(0).stdout.contains("entered"));
    assert!(mallory.napt(&["logs", his]).expect(0).stdout.contains("looked"));

    // He sees that there is a deployment, not what is in it, and cannot change it.
    let deployments = json(&mallory, &["status"]);
    let names: Vec<&Value> =
        deployments["deployments"].as_array().expect("a list").iter().map(|of| &of["name"]).collect();
    assert!(names.len() == 2 && names.iter().all(|name| *name == "ledger" || *name == "spy"), "{names:?}");
    assert!(!deployments.to_string().contains("hunter2"));
    for command in [&["undeploy", "ledger"][..], &["rollback", "ledger"]] {
        refused(mallory.napt(command), 5);
    }
    assert!(!mallory.napt(&["secret", "list"]).expect(0).stdout.contains("LEDGER_PASSWORD"));

    // Her module runs for him too, but for him: without what is hers.
    let for_him = run(&mallory, "agent:ledger", "entry='mine'");
    assert_eq!(result(&for_him), serde_json::json!({ "entry": "mine", "has a secret": false }));
    // One of his of the same name is not hers.
    let posing = LEDGER.replace("module_run[\"inputs\"][\"entry\"]", "\"forged\"");
    Python { version: "9.0.0", ..Python::new("agent:ledger", &posing) }.write(&mallory);
    refused(mallory.napt(&["deploy", "ledger", "--no-verify"]), 5);
    mallory.napt(&["deploy", "ledger", "--no-verify", "--name", "better"]).expect(0);
    assert_eq!(result(&run(&ada, "agent:ledger", "entry='eight'"))["entry"], "eight");
    assert_eq!(result(&run(&mallory, "agent:ledger", "entry='eight'"))["entry"], "forged");

    // What goes on without end is ended, and says so to him alone; she is served meanwhile.
    let mut stays = mallory.command(&["run", "agent:spy", "-p", &format!("{{\"home\": {home:?}, \"stay\": true}}")]);
    let stays = stays.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("napt starts");
    assert_eq!(result(&run(&ada, "agent:ledger", "entry='nine'"))["entry"], "nine");
    let ended = stays.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("time limit of 3 s reached"), "{told}");
    let seen = json(&mallory, &["runs"]);
    let last =
        seen["runs"].as_array().expect("a list").iter().find(|run| run["status"] == "error").expect("it is told");
    assert_eq!(last["error"], "time limit of 3 s reached");
    assert!(!json(&ada, &["runs"]).to_string().contains("time limit"));
}
