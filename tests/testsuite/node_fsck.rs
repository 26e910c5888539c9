//! `napt node fsck`: a clean node is clean, and each class of damage is seen and named.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::registry_fsck::{copy, sql_in};
use crate::support::{
    Sandbox,
    http::send,
    modules::{CALL, Python},
    node::TestNode,
};

/// A node that does not run, with a deployment, a run with a child, a run that failed, and a user's table.
struct Scene {
    node: TestNode,
    sha256: String,
    /// The node's folder, or a copy of it.
    data: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let mut node = TestNode::start(&[]);
        let child = Python::new("agent:child", "def run(module_run):\n    print('here')\n    return 'fine'\n");
        child.write(&node.sandbox);
        let code = format!(
            "{CALL}\ndef run(module_run):\n    if module_run['inputs'].get('fail'):\n        raise ValueError('no')\n    \
             return call('agent:child', {{}})['result']\n"
        );
        let more = "[dependencies]\n\"agent:child\" = { path = \"../child\", version = \"0.1.0\" }\n";
        node.deploy(&Python { more, ..Python::new("agent:parent", &code) });
        assert_eq!(node.napt(&["run", "agent:parent"]).expect(0).stdout, "fine\n");
        node.napt(&["run", "agent:parent", "-p", "fail=true"]).expect(1);
        let authorization = format!("Bearer {}", node.token(60));
        let schema = json!({ "schema": { "id": { "type": "integer", "primary_key": true } } }).to_string();
        let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &schema).finish();
        let url = format!("{}/storage/db/create/notes", node.url);
        assert_eq!(send("POST", &url, &[("Authorization", &authorization)], &form).status, 200);
        node.sandbox.write("hello.txt", "hello");
        node.napt(&["storage", "ipfs", "create", "--file", "hello.txt"]).expect(0);
        let user = node.user();
        let live = user.runtime.block_on(user.client.deployments()).expect("deployments");
        let sha256 = live[0].deployment.modules[0].sha256.clone();
        node.kill();
        let data = node.data();
        Scene { node, sha256, data }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.data.join(path.replace("SHA", &self.sha256))
    }

    fn sql(&self, sql: &'static str) {
        sql_in(&self.path("node.sqlite"), sql);
    }

    fn storage(&self) -> PathBuf {
        let files =
            std::fs::read_dir(self.path("storage")).expect("a folder").map(|entry| entry.expect("an entry").path());
        files.into_iter().find(|path| path.extension().is_some_and(|it| it == "sqlite")).expect("a database")
    }

    fn content(&self) -> PathBuf {
        let mut contents = std::fs::read_dir(self.path("storage/contents")).expect("a folder");
        contents.next().expect("one").expect("an entry").path()
    }

    /// The kinds of what is found.
    #[track_caller]
    fn found(&self, code: i32, list: &str) -> Vec<String> {
        let data = self.data.to_str().expect("UTF-8");
        let json = self.node.napt(&["node", "fsck", "--data", data, "--message-format", "json"]).expect(code).json();
        let kinds = json["data"][list].as_array().expect("a list").iter();
        kinds.map(|finding| finding["kind"].as_str().expect("text").to_owned()).collect()
    }
}

#[test]
fn a_clean_node_is_clean() {
    let scene = Scene::new();
    let ran = scene.node.napt(&["node", "fsck"]).expect(0);
    let data = scene.node.data();
    let expected =
        format!("No problem in `{}` (1 content, 2 modules, 1 revision, 3 runs, 1 storage)\n", data.display());
    assert_eq!((ran.stdout, ran.stderr), (expected, String::new()));
}

#[test]
fn each_kind_of_damage_is_named() {
    type Damage = fn(&Scene);
    let cases: [(&str, Damage); 23] = [
        ("archive-missing", |scene| std::fs::remove_file(scene.path("archives/SHA.napt")).expect("a file")),
        ("archive-damaged", |scene| {
            let mut bytes = std::fs::read(scene.path("archives/SHA.napt")).expect("a file");
            bytes[100] ^= 1;
            std::fs::write(scene.path("archives/SHA.napt"), bytes).expect("written");
        }),
        ("archive-differs", |scene| {
            scene.sql("UPDATE revisions SET view = replace(view, '\"version\":\"0.1.0\"', '\"version\":\"0.2.0\"')");
        }),
        ("install-missing", |scene| std::fs::remove_dir_all(scene.path("modules/SHA")).expect("a folder")),
        ("install-incomplete", |scene| std::fs::remove_file(scene.path("modules/SHA/.napt/sha256")).expect("a file")),
        ("install-incomplete", |scene| std::fs::create_dir(scene.path("modules/other")).expect("a folder")),
        ("install-damaged", |scene| std::fs::remove_file(scene.path("modules/SHA/napt.toml")).expect("a file")),
        ("run-state", |scene| scene.sql("UPDATE runs SET status = 'dancing' WHERE parent IS NOT NULL")),
        ("run-state", |scene| scene.sql("UPDATE runs SET status = 'processing' WHERE error IS NOT NULL")),
        ("run-state", |scene| scene.sql("UPDATE runs SET result = NULL WHERE parent IS NOT NULL")),
        ("run-state", |scene| scene.sql("UPDATE runs SET finished = NULL WHERE parent IS NOT NULL")),
        ("run-end", |scene| scene.sql("UPDATE runs SET status = 'cancelled' WHERE error IS NOT NULL")),
        ("event-gap", |scene| scene.sql("DELETE FROM events WHERE payload ->> 'kind' = 'line'")),
        ("events-without-run", |scene| scene.sql("DELETE FROM runs WHERE parent IS NULL")),
        ("call-without-run", |scene| scene.sql("DELETE FROM runs WHERE parent IS NOT NULL")),
        ("no-revision", |scene| scene.sql("UPDATE runs SET revision = 7")),
        ("revision-differs", |scene| scene.sql("UPDATE revisions SET revision = 7")),
        ("bad-row", |scene| scene.sql("UPDATE revisions SET view = '{}'")),
        ("database", |scene| {
            // What is in the log would make it whole again.
            std::fs::remove_file(scene.path("node.sqlite-wal")).expect("a file");
            std::fs::write(scene.path("node.sqlite"), "no database at all".repeat(1000)).expect("written");
        }),
        ("storage", |scene| {
            let _ = std::fs::remove_file(scene.storage().with_extension("sqlite-wal"));
            std::fs::write(scene.storage(), "no database at all".repeat(1000)).expect("written");
        }),
        ("content-damaged", |scene| std::fs::write(scene.content(), "hullo").expect("written")),
        ("content-missing", |scene| std::fs::remove_file(scene.content()).expect("a file")),
        ("key-missing", |scene| std::fs::remove_file(scene.path("identity.key")).expect("a file")),
    ];
    let mut scene = Scene::new();
    for (number, (kind, damage)) in cases.into_iter().enumerate() {
        scene.data = copy(&scene.node.data(), &scene.node.sandbox.work().join(number.to_string()));
        damage(&scene);
        let ran = scene.node.napt(&["node", "fsck", "--data", scene.data.to_str().expect("UTF-8")]);
        assert_eq!(ran.code, Some(3), "{number}: {kind}: {}{}", ran.stdout, ran.stderr);
        let found = scene.found(3, "problems");
        assert!(found.contains(&kind.to_owned()), "{number}: {kind} is not in {found:?}");
    }
}

#[test]
fn what_an_interrupted_node_leaves_is_a_note_and_goes_at_the_next_start() {
    let mut scene = Scene::new();
    std::fs::create_dir_all(scene.path("modules/.unpack-x/module")).expect("a folder");
    std::fs::write(scene.path("archives/.tmpX"), "half").expect("a file");
    std::fs::create_dir_all(scene.path("scratch/0/run")).expect("a folder");
    std::fs::create_dir_all(scene.path("storage/incoming")).expect("a folder");
    std::fs::write(scene.path("storage/incoming/half"), "half").expect("a file");
    std::fs::remove_dir_all(scene.path("storage/pins")).expect("a folder");
    scene.sql(
        "UPDATE runs SET status = 'processing', finished = NULL, result = NULL WHERE parent IS NOT NULL; \
         DELETE FROM events WHERE payload ->> 'status' = 'completed' AND run IN (SELECT id FROM runs WHERE parent IS NOT NULL)",
    );
    assert_eq!(
        scene.found(0, "notes"),
        ["run-interrupted", "temporary", "temporary", "scratch", "content", "temporary"]
    );
    scene.node.restart();
    scene.node.kill();
    assert_eq!(scene.found(0, "notes"), [""; 0]);
}

#[test]
fn a_node_that_runs_is_left_alone_and_an_empty_folder_is_none() {
    let node = TestNode::start(&[]);
    let ran = node.napt(&["node", "fsck"]).expect(6);
    let data = node.data();
    assert_eq!(
        ran.stderr,
        format!(
            "error: another node uses the folder `{}`\n\nhint: stop it, or name another folder with `--data`\n",
            data.display()
        )
    );
    let sandbox = Sandbox::new();
    let ran = sandbox.napt(&["node", "fsck", "--data", ".", "--message-format", "json"]).expect(2);
    assert_eq!(ran.json()["error"]["kind"], json!("usage"));
    assert_eq!(ran.json()["data"], Value::Null);
    assert_eq!(std::fs::read_dir(sandbox.work()).expect("a folder").count(), 0, "nothing was made");
}
