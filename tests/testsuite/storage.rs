//! A user's storage on a node: by napt's command, by Naptha's SDK, from modules, and by those who would break it.

mod abuse;

use std::{
    io::{Cursor, Write},
    path::Path,
    process::Command,
};

use napt::{
    identity::{CredentialStore, SecretKey, body_digest},
    wire::RunStatus,
};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::support::{
    Ran, Sandbox,
    http::{Answer, runtime, send, signed},
    modules::Python,
    naptha,
    node::{TestNode, cache},
    python::{self, expect_success},
    repository::copy,
};

/// `bafkrei…` of `hello world`, as other implementations give it.
const HELLO: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

fn storage(node: &TestNode, arguments: &[&str]) -> Ran {
    node.napt(&[&["storage"], arguments].concat())
}

/// The result of a command that succeeds.
#[track_caller]
fn result(node: &TestNode, arguments: &[&str]) -> Value {
    let ran = storage(node, &[arguments, &["--message-format", "json"]].concat()).expect(0);
    ran.json()["data"]["result"].clone()
}

/// A request that the operator signs.
fn mine(node: &TestNode, method: &str, path: &str, body: &str) -> Answer {
    let url = format!("{}{path}", node.url);
    send(method, &url, &[("authorization", &signed(&node.key(), method, &url, body))], body)
}

/// Sends a file, with a token.
fn upload(node: &TestNode, token: &str, path: &str, name: &str, content: Vec<u8>) -> (u16, String) {
    let part = reqwest::multipart::Part::bytes(content).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().text("data", "{}").part("file", part);
    let request = reqwest::Client::new().post(format!("{}{path}", node.url)).bearer_auth(token).multipart(form);
    runtime().block_on(async {
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a text"))
    })
}

/// What is in a file of the work folder.
fn text(node: &TestNode, path: &str) -> String {
    std::fs::read_to_string(node.sandbox.work().join(path)).expect("a file")
}

/// Who uses a sandbox.
fn user(sandbox: &Sandbox) -> String {
    let folder = sandbox.home().join("napt").join("config");
    CredentialStore::new(folder).key_or_create().expect("a key").public().user_id()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, SimpleFileOptions::default()).expect("a file");
        archive.write_all(content).expect("content");
    }
    archive.finish().expect("an archive").into_inner()
}

/// All that a node keeps for its users' files.
fn kept(node: &TestNode) -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { below(&path, found) } else { found.push(path.display().to_string()) }
        }
    }
    let mut found = Vec::new();
    for part in ["files", "incoming", "contents", "pins", "names"] {
        below(&node.data().join("storage").join(part), &mut found);
    }
    found.sort();
    found
}

// Naptha's defects: E1, E2, E3, E4, E5, E6, E7, E8
#[test]
fn the_sdks_storage_client_works() {
    let node = TestNode::start(&[]);
    let url = node.url.replacen("http://", &format!("http://{}@", node.token(600)), 1);
    let script = include_str!("storage_client.py");
    let output = expect_success(Command::new(python::with_sdk()).args(["-c", script, &url]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("FOUND ")).unwrap_or_else(|| panic!("{text}"));
    let found: Value = serde_json::from_str(line).expect("JSON");

    for (what, status) in [
        ("other schema", 409),
        ("same rows", 409),
        ("unknown column", 422),
        ("wrong dimension", 422),
        ("no data", 422),
        ("mistyped", 422),
        ("update all", 422),
        ("search nonsense", 422),
        ("delete lost", 422),
        ("no table", 404),
        ("fs nothing", 422),
        ("fs missing", 404),
        ("fs update", 422),
        ("fs not empty", 409),
        ("fs gone", 404),
        ("ipfs gone", 404),
        ("ipfs nonsense", 422),
    ] {
        let told = found[what].as_str().unwrap_or_else(|| panic!("{what}: {}", found[what]));
        assert!(told.starts_with("refused: ") && told.contains(&format!("'{status} ")), "{what}: {told}");
    }
    let row = json!({
        "id": 1, "text": "a cat sat", "tags": ["x"], "at": "2025-01-02T03:04:05", "n": 1.5, "embedding": "[0.25,0,0]",
    });
    for (what, expected) in [
        ("create table", json!(true)),
        ("same table", json!(true)),
        ("read one", json!([row])),
        ("both conditions", json!([{ "id": 2 }])),
        ("condition", json!([{ "id": 3 }])),
        ("page", json!([{ "id": 2 }])),
        ("near", json!([{ "id": 2, "distance": 0.0 }, { "id": 1, "distance": 0.75 }])),
        ("vectors are text", json!([{ "embedding": "[0.25,0,0]" }])),
        ("total", json!(3)),
        ("delete", json!(true)),
        ("left", json!([{ "id": 2 }, { "id": 3 }])),
        ("fs read", json!("68656c6c6f00")),
        ("fs zip", json!(["folder/a b.txt", "folder/in/two.txt", "folder/one.txt"])),
        ("fs list", json!([["my/folder/a b.txt", false], ["my/folder/in", true], ["my/folder/one.txt", false]])),
        ("fs times", json!(true)),
        ("fs list all", json!([["my/folder/in/two.txt", false]])),
        ("fs search", json!(["a second word"])),
        ("fs delete", json!(true)),
        ("fs ignored", json!(true)),
        ("ipfs read", json!("68656c6c6f20776f726c64")),
        ("ipns read", json!("7632")),
        ("ipfs list", json!([[HELLO, false]])),
        ("ipfs search", json!(["hello world"])),
        ("ipfs delete", json!(true)),
    ] {
        assert_eq!(found[what], expected, "{what}");
    }
    assert_eq!(found["create rows"]["data"], true);
    assert_eq!(found["list"]["data"][0]["id"], 3);
    assert_eq!(found["update"]["data"], 1);
    assert_eq!(found["search"][0]["id"], 3);
    assert_eq!((&found["search vector"][0]["id"], &found["search vector"][0]["distance"]), (&json!(3), &json!(0.0)));
    assert_eq!(found["fs create"]["data"], json!({ "message": "Files written to storage", "folder_id": "folder" }));
    assert_eq!(
        (&found["ipfs create"]["data"]["ipfs_hash"], &found["ipfs create"]["data"]["filename"]),
        (&json!(HELLO), &json!("h.txt"))
    );
    assert!(!found.to_string().contains(&node.data().display().to_string()), "no path of the server's");
}

// Naptha's defects: E1
#[test]
fn napthas_command_line_uses_storage_and_drops_nothing_by_mistake() {
    let node = TestNode::start(&[]);
    let url = node.url.replacen("http://", &format!("http://{}@", node.token(600)), 1);
    node.sandbox.write("hello.txt", "hello world");
    let naptha = |arguments: &[&str]| {
        let script = "import asyncio, json, sys\nfrom naptha_sdk.cli import storage_interaction\n\
                      from naptha_sdk.utils import url_to_node\n\
                      class Node: node = url_to_node(sys.argv[1])\n\
                      class Naptha: node = Node\n\
                      asyncio.run(storage_interaction(Naptha, *sys.argv[2:5], **json.loads(sys.argv[5])))\n";
        let mut command = Command::new(python::with_sdk());
        // It ends with a traceback when the node refuses.
        let output = command.current_dir(node.sandbox.work()).args(["-c", script, &url]).args(arguments).output();
        let output = output.expect("Python starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let flags = |flag: &str, value: Value| json!({ flag: value.to_string() }).to_string();
    let schema = flags("schema", json!({ "schema": { "id": { "type": "integer" } } }));
    assert!(naptha(&["db", "create", "t", &schema]).contains("data=True"));
    assert!(
        naptha(&["db", "create", "t", &flags("data", json!({ "data": [{ "id": 1 }, { "id": 2 }] }))])
            .contains("'data': True")
    );
    let lost = naptha(&["db", "delete", "t", &flags("options", json!({ "condition": { "id": 1 } }))]);
    assert!(lost.contains("Storage operation failed") && lost.contains("'422 "), "{lost}");
    let read = naptha(&["db", "read", "t", &flags("options", json!({ "conditions": [{ "id": 2 }] }))]);
    assert!(read.contains("data=[{'id': 2}]"), "{read}");
    let update = json!({ "data": "{\"data\":{\"id\":7}}", "options": "{\"condition\":{\"id\":2}}" }).to_string();
    assert!(naptha(&["db", "update", "t", &update]).contains("'data': 1"));
    assert!(naptha(&["db", "list", "t", "{}"]).contains("'id': 7"));
    let searched = naptha(&["db", "search", "t", &flags("data", json!("x"))]);
    assert!(searched.contains("Storage operation failed") && searched.contains("'422 "), "no text in it: {searched}");
    assert!(naptha(&["fs", "create", "a", "{\"file\": \"hello.txt\"}"]).contains("Files written"));
    assert!(naptha(&["fs", "read", "a/hello.txt", "{}"]).contains("File downloaded to: ./downloads/hello.txt"));
    assert_eq!(text(&node, "downloads/hello.txt"), "hello world");
    assert!(naptha(&["ipfs", "create", "a", "{\"file\": \"hello.txt\"}"]).contains(HELLO));
    assert!(naptha(&["ipfs", "read", HELLO, "{}"]).contains("data=b'hello world'"));
    // A condition in the options that does arrive is what it says; and `drop` is said in words.
    let delete = |options: &str| mine(&node, "DELETE", &format!("/storage/db/delete/t?options={options}"), "");
    assert_eq!(delete("%7B%22condition%22%3A%7B%22id%22%3A7%7D%7D").json()["data"], 1);
    assert_eq!(delete("%7B%22drop%22%3Atrue%2C%22condition%22%3A%7B%22id%22%3A1%7D%7D").status, 422);
    assert_eq!(delete("%7B%22dorp%22%3Atrue%7D").status, 422);
    assert_eq!(result(&node, &["db", "list"])["data"], json!(["t"]));
    assert_eq!(delete("%7B%22drop%22%3Atrue%7D").json()["data"], true);
    assert_eq!(result(&node, &["db", "list"])["data"], json!([]));
}

// Naptha's defects: E2
#[test]
fn a_module_whose_condition_is_lost_deletes_nothing() {
    let node = TestNode::start(&[]);
    copy(&naptha::folder("cognitive_memory"), &node.sandbox.work().join("cognitive_memory"));
    node.napt(&["init", "cognitive_memory", "--type", "memory"]).expect(0);
    node.napt(&["deploy", "cognitive_memory", "--no-verify"]).expect(0);
    let user = node.user();
    let run = |name: &str, data: Value| {
        user.run("memory:cognitive_memory", json!({ "func_name": name, "func_input_data": data }))
    };
    let (rain, sun) = (
        json!({ "cognitive_step": "seen", "content": "it rains" }),
        json!({ "cognitive_step": "thought", "content": "sun" }),
    );
    run("init", Value::Null);
    for item in [&rain, &sun] {
        assert_eq!(run("store_cognitive_item", item.clone()).status, RunStatus::Completed);
    }
    let deleted = run("delete_cognitive_items", json!({ "cognitive_step": "seen" }));
    assert_eq!(deleted.status, RunStatus::Error, "{:?}", deleted.result);
    let error = deleted.error.expect("an error");
    assert!(error.contains("StorageError") && error.contains("'422 "), "{error}");
    // The node has told the module why.
    assert!(user.log(&deleted.id).contains("a delete needs a `condition`"), "{}", user.log(&deleted.id));
    for (step, content) in [("seen", "it rains"), ("thought", "sun")] {
        let kept = run("get_cognitive_items", json!({ "cognitive_step": step })).result.expect("a result");
        assert_eq!(serde_json::from_str::<Value>(&kept).expect("JSON"), json!([content]));
    }
}

#[test]
fn the_command_has_sensible_manners() {
    let mut node = TestNode::start(&[]);
    let schema = r#"{"id": {"type": "integer", "primary_key": true}, "text": "text", "v": "vector(2)"}"#;
    storage(&node, &["db", "create", "notes", "--schema", schema]).expect(0);
    node.sandbox
        .write("rows.json", r#"[{"id": 1, "text": "one", "v": [1, 0]}, {"id": 2, "text": "two", "v": [0, 1]}]"#);
    storage(&node, &["db", "create", "notes", "--data", "@rows.json"]).expect(0);
    let read = storage(&node, &["db", "read", "notes", "--where", "text=one"]).expect(0);
    assert_eq!(read.stdout, "{\"id\":1,\"text\":\"one\",\"v\":\"[1,0]\"}\n");
    assert_eq!(result(&node, &["db", "search", "notes", "--data", "two"])[0]["data"]["id"], 2);
    assert_eq!(
        result(&node, &["db", "search", "notes", "--data", "[1, 0]", "--options", "{\"limit\": 1}"])[0]["data"]["id"],
        1
    );
    assert_eq!(result(&node, &["db", "update", "notes", "--where", "id=1", "--data", "{\"text\": \"1\"}"])["data"], 1);
    for (arguments, code, told) in [
        (vec!["db", "delete", "notes"], 2, "`--all`"),
        (vec!["db", "delete", "notes", "--all"], 2, "`--yes`"),
        (vec!["db", "delete", "notes", "--all", "--where", "id=1"], 2, "one of them"),
        (vec!["db", "update", "notes", "--data", "{}"], 2, "`--where id=1`"),
        (vec!["db", "read"], 2, "a path is missing"),
        (vec!["db", "read", "nothing"], 1, "there is no table `nothing`"),
        (vec!["db", "read", "notes", "--options", "{"], 2, "`--options`"),
        (vec!["fs", "create", "a"], 2, "`--file`"),
        (vec!["fs", "update", "a", "--data", "{}"], 2, "only rows"),
        (vec!["fs", "read", "none"], 1, "there is no file or folder `none`"),
    ] {
        let ran = storage(&node, &arguments).expect(code);
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
    storage(&node, &["db", "delete", "notes", "--where", "id=2"]).expect(0);
    storage(&node, &["db", "delete", "notes", "--all", "--yes"]).expect(0);
    storage(&node, &["db", "read", "notes"]).expect(1);

    node.sandbox.write("ä b.txt", "hello world");
    storage(&node, &["fs", "create", "reports/june", "--file", "ä b.txt"]).expect(0);
    let listed = storage(&node, &["fs", "list", "--options", "{\"recursive\": true}"]).expect(0);
    assert_eq!(listed.stdout, "reports  folder\nreports/june  folder\nreports/june/ä b.txt  11\n");
    storage(&node, &["fs", "read", "reports/june/ä b.txt", "--output", "copy.txt"]).expect(0);
    assert_eq!(text(&node, "copy.txt"), "hello world");
    let taken = storage(&node, &["fs", "read", "reports/june/ä b.txt"]);
    assert_ne!(taken.code, Some(0), "nothing is replaced unless it is named");
    assert_eq!(storage(&node, &["fs", "read", "reports"]).expect(0).stdout, "reports.zip\n");
    assert_eq!(
        storage(&node, &["fs", "search", "reports", "--data", "WORLD"]).expect(0).stdout,
        "reports/june/ä b.txt  hello world\n"
    );
    storage(&node, &["fs", "delete", "reports"]).expect(6);
    storage(&node, &["fs", "delete", "reports", "--all", "--yes"]).expect(0);

    let cid = result(&node, &["ipfs", "create", "--file", "ä b.txt"])["data"]["ipfs_hash"].clone();
    assert_eq!(cid, HELLO);
    assert_eq!(storage(&node, &["ipfs", "list"]).expect(0).stdout, format!("{HELLO}  11  ä b.txt\n"));
    storage(&node, &["ipfs", "read", HELLO, "--output", "content.txt"]).expect(0);
    assert_eq!(text(&node, "content.txt"), "hello world");
    storage(&node, &["ipfs", "delete", HELLO]).expect(0);
    assert_eq!(kept(&node), Vec::<String>::new());
    node.kill();
    node.fsck();
}

// Naptha's defects: A7
#[test]
fn users_have_their_own_and_no_more_than_their_quota() {
    let other = Sandbox::new();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--quota", "1MB", "--user", &user(&other)]);
    node.sandbox.write("a.txt", "hello world");
    storage(&node, &["db", "create", "t", "--schema", "{\"a\": \"text\"}"]).expect(0);
    storage(&node, &["fs", "create", "f", "--file", "a.txt"]).expect(0);
    storage(&node, &["ipfs", "create", "--file", "a.txt"]).expect(0);
    let theirs = |arguments: &[&str]| other.napt(&[&["storage"], arguments, &["--node", &node.url]].concat());
    theirs(&["db", "read", "t"]).expect(1);
    theirs(&["db", "delete", "t", "--all", "--yes"]).expect(1);
    theirs(&["fs", "read", "f/a.txt"]).expect(1);
    assert_eq!(theirs(&["fs", "list"]).expect(0).stdout, "");
    assert_eq!(theirs(&["ipfs", "list"]).expect(0).stdout, "");
    theirs(&["ipfs", "delete", HELLO]).expect(1);
    // Whoever knows a content's digest may read it; it goes with the last who stored it.
    theirs(&["ipfs", "read", HELLO, "--output", "found.txt"]).expect(0);
    other.write("b.txt", "hello world");
    theirs(&["ipfs", "create", "--file", "b.txt"]).expect(0);
    storage(&node, &["ipfs", "delete", HELLO]).expect(0);
    theirs(&["ipfs", "read", HELLO, "--output", "found.txt"]).expect(0);
    theirs(&["ipfs", "delete", HELLO]).expect(0);
    theirs(&["ipfs", "read", HELLO, "--output", "found.txt"]).expect(1);
    // A name is its owner's to change.
    let named = result(&node, &["ipfs", "create", "--file", "a.txt", "--options", "{\"publish_to_ipns\": true}"]);
    let name = named["data"]["ipns_hash"].as_str().expect("a name").to_owned();
    let change = json!({ "ipns_operation": "update", "ipns_name": name }).to_string();
    theirs(&["ipfs", "create", "--file", "b.txt", "--options", &change]).expect(1);
    storage(&node, &["ipfs", "create", "--file", "a.txt", "--options", &change]).expect(0);

    let large = "x".repeat(600_000);
    node.sandbox.write("large.txt", &large);
    storage(&node, &["fs", "create", "one", "--file", "large.txt"]).expect(0);
    storage(&node, &["fs", "create", "one", "--file", "a.txt"]).expect(0);
    for arguments in [["fs", "create", "two", "--file", "large.txt"], ["ipfs", "create", "x", "--file", "large.txt"]] {
        let ran = storage(&node, &arguments);
        assert_eq!(ran.code == Some(0), arguments[0] == "ipfs", "files and contents are counted apart: {ran:?}");
    }
    node.sandbox.write("larger.txt", format!("{large}y"));
    let refused = storage(&node, &["ipfs", "create", "--file", "larger.txt"]);
    assert!(refused.stderr.contains("that this node keeps for a user"), "{refused:?}");
    let rows = json!([{ "a": large }, { "a": large }]).to_string();
    node.sandbox.write("rows.json", &rows);
    let refused = storage(&node, &["db", "create", "t", "--data", "@rows.json"]);
    assert!(refused.stderr.contains("delete what is not needed"), "{refused:?}");
    assert_eq!(result(&node, &["db", "read", "t"]), json!([]));
    theirs(&["fs", "create", "two", "--file", "b.txt"]).expect(0);
}

/// Uses every kind of storage of the node that its agent is placed on.
const KEEPER: &str = r#"
import io, json
from naptha_sdk.schemas import OrchestratorRunInput
from naptha_sdk.storage.schemas import *
from naptha_sdk.storage.storage_client import StorageClient


def named(name, content):
    file = io.BytesIO(content)
    file.name = name
    return file


async def run(module_run):
    me = OrchestratorRunInput(**module_run)
    found = {}
    for name, node in {"here": me.deployment.node, "there": me.deployment.agent_deployments[0].node}.items():
        storage = StorageClient(node)
        large = bytes(range(256)) * (8 << 12) if name == "there" else b"hello"
        await storage.execute(CreateStorageRequest(storage_type="fs", path="d", file=named(name + ".bin", large)))
        read = await storage.execute(ReadStorageRequest(storage_type="fs", path=f"d/{name}.bin"))
        listed = await storage.execute(ListStorageRequest(storage_type="fs", path="d"))
        content = await storage.execute(CreateStorageRequest(storage_type="ipfs", path="x", file=named("h", b"hello world")))
        cid = content.data["data"]["ipfs_hash"]
        again = await storage.execute(ReadStorageRequest(storage_type="ipfs", path=cid))
        hits = await storage.execute(SearchStorageRequest(storage_type="ipfs", path="x", query="world"))
        found[name] = [read.data == large, [e.data["location"]["path"] for e in listed], again.data.decode(), hits[0].data]
    return json.dumps(found)
"#;

#[test]
fn modules_use_storage_here_and_on_peers() {
    let (first, second) = TestNode::pair();
    let sandbox = &first.sandbox;
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"keeper\", \"worker\"]\n");
    let more = "[dependencies]\n\"agent:worker\" = { path = \"../worker\", version = \"0.1\" }\n";
    let requirements = ["naptha-sdk==1.0.5"];
    let keeper = Python::new("orchestrator:keeper", KEEPER);
    Python { more, requirements: &requirements, ..keeper }.write(sandbox);
    Python::new("agent:worker", "def run(module_run):\n    return 'x'\n").write(sandbox);
    let deployment = json!([{
        "node": { "ip": "localhost" }, "module": { "name": "keeper" }, "name": "keeper",
        "agent_deployments": [{ "name": "worker" }],
    }]);
    sandbox.write("keeper/keeper/configs/deployment.json", deployment.to_string());
    let worker = json!([{ "node": { "name": second.url }, "module": { "name": "worker" }, "name": "worker" }]);
    sandbox.write("keeper/keeper/configs/agent_deployments.json", worker.to_string());
    first.napt(&["deploy", "--module", "keeper", "--no-verify"]).expect(0);
    let ran = first.napt(&["run", "orchestrator:keeper"]);
    let id = ran.stderr.split_whitespace().nth(1).expect("an id").to_owned();
    assert_eq!(ran.code, Some(0), "{}", first.napt(&["logs", &id, "--all"]).stdout);
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let expected = |name: &str| json!([true, [format!("d/{name}.bin")], "hello world", "hello world"]);
    assert_eq!((&found["here"], &found["there"]), (&expected("here"), &expected("there")));
    // They are the consumer's, on each node.
    assert_eq!(storage(&first, &["fs", "list", "d"]).expect(0).stdout, "d/here.bin  5\n");
    let there = storage(&first, &["fs", "list", "d", "--node", &second.url]).expect(0);
    assert_eq!(there.stdout, format!("d/there.bin  {}\n", 8 << 20));
    assert!(kept(&second).iter().all(|path| !path.contains("incoming")), "{:?}", kept(&second));
}
