//! What a node installs and deploys: strangers' archives, dependencies that fail, registries that are down or lie.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use napt::{
    client::ClientError,
    identity::{SecretKey, body_digest},
    module::Project,
    package,
    report::Silent,
    wire::{DeployRequest, DeploymentView, ModulePin},
};
use serde_json::json;

use crate::support::{
    archives,
    faults::{Faults, Reply, response},
    modules::Python,
    node::{TestNode, User, cache, own_cache},
    proxy::FaultProxy,
    registry::TestRegistry,
};

const FINE: &str = "def run(module_run):\n    return 'fine'\n";

/// All below a folder, with sizes.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            found.insert(entry.path(), entry.metadata().expect("metadata").len());
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, &mut found);
    found
}

/// What a node keeps of archives and modules.
fn kept(node: &TestNode) -> BTreeMap<PathBuf, u64> {
    let mut kept = files(&node.data().join("archives"));
    kept.extend(files(&node.data().join("modules")));
    kept
}

#[track_caller]
fn upload(user: &User, sha256: &str, bytes: Vec<u8>) -> (u16, String) {
    match user.runtime.block_on(user.client.give_archive(sha256, bytes)) {
        Err(ClientError::Refused { problem, .. }) => (problem.status, problem.detail),
        other => panic!("{other:?}"),
    }
}

/// Packs a module that was written.
fn pack(node: &TestNode, name: &str) -> (Vec<u8>, String) {
    let project = Project::load(&node.sandbox.work().join(name)).expect("a project");
    let packed = package::pack(&project, &node.sandbox.work(), &Silent).expect("an archive");
    (std::fs::read(&packed.path).expect("bytes"), packed.sha256)
}

fn deployments(user: &User) -> Vec<DeploymentView> {
    let all = user.runtime.block_on(user.client.deployments()).expect("deployments");
    all.into_iter().map(|status| status.deployment).collect()
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let node = TestNode::start(&[]);
    let user = node.user();
    node.deploy(&Python::new("agent:fine", FINE));
    let before = kept(&node);
    assert!(before.len() > 5);
    for (name, bytes, phrase) in archives::hostile() {
        let (status, detail) = upload(&user, &body_digest(&bytes), bytes);
        assert_eq!(status, 422, "{name}: {detail}");
        assert!(detail.contains(phrase), "{name}: `{phrase}` is not in `{detail}`");
        assert_eq!(kept(&node), before, "{name}");
    }
    let (bytes, sha256) = pack(&node, "fine");
    let wrong = "0".repeat(64);
    let (status, detail) = upload(&user, &wrong, bytes.clone());
    assert_eq!((status, detail.as_str()), (422, "the archive's SHA-256 is not the one in the path"));
    for name in ["short", "..%2Fevil", &sha256.to_uppercase()] {
        let (status, detail) = upload(&user, name, bytes.clone());
        assert_eq!(status, 422, "{detail}");
        assert!(detail.contains("64 lower-case hex digits"), "{detail}");
    }
    let large = vec![0; 60 << 20];
    let (status, detail) = upload(&user, &body_digest(&large), large);
    assert!(status == 422 && detail.contains("the archive has 60.0 MiB, more than 50.0 MiB"), "{detail}");
    assert_eq!(kept(&node), before);
}

/// A deployment as a client of its own could ask for it.
fn ask(node: &TestNode, user: &User, id: &str, version: &str, sha256: &str) -> (u16, String) {
    let id: napt::module::ModuleId = id.parse().expect("an id");
    let pin = ModulePin {
        id: id.clone(),
        version: version.parse().expect("a version"),
        sha256: sha256.to_owned(),
        dependencies: Vec::new(),
    };
    let request = DeployRequest { name: None, root: id, modules: vec![pin], deployment: None, dry_run: false };
    let token = napt::wire::NewToken { name: "test".to_owned(), expires_in: 60 };
    user.runtime.block_on(async {
        let token = user.client.new_token(&token).await.expect("a token").token;
        let url = format!("{}/v1/deployments", node.url);
        let response = reqwest::Client::new().post(url).bearer_auth(token).json(&request).send().await.expect("sent");
        let status = response.status().as_u16();
        (status, response.text().await.expect("text"))
    })
}

#[test]
fn an_archive_must_hold_what_is_pinned() {
    let node = TestNode::start(&[]);
    let user = node.user();
    Python::new("agent:fine", FINE).write(&node.sandbox);
    let (bytes, sha256) = pack(&node, "fine");
    user.runtime.block_on(user.client.give_archive(&sha256, bytes)).expect("kept");
    for (id, version) in [("agent:fine", "0.2.0"), ("agent:other", "0.1.0"), ("tool:fine", "0.1.0")] {
        let (_, answer) = ask(&node, &user, id, version, &sha256);
        assert!(answer.contains(&format!("the archive of `{id} {version}` holds `agent:fine 0.1.0`")), "{answer}");
    }
    let (_, answer) = ask(&node, &user, "agent:fine", "0.1.0", "../../../../tmp/x");
    assert!(answer.contains("64 lower-case hex digits"), "{answer}");
    assert!(deployments(&user).is_empty());
    let (_, answer) = ask(&node, &user, "agent:fine", "0.1.0", &sha256);
    assert!(answer.contains("\"kind\":\"ready\""), "{answer}");
}

#[test]
fn an_archive_that_changed_on_disk_is_not_installed_and_can_be_given_again() {
    let node = TestNode::start(&[]);
    let user = node.user();
    Python::new("agent:fine", FINE).write(&node.sandbox);
    let (bytes, sha256) = pack(&node, "fine");
    user.runtime.block_on(user.client.give_archive(&sha256, bytes)).expect("kept");
    std::fs::write(node.data().join("archives").join(format!("{sha256}.napt")), "other bytes").expect("a file");
    let (_, answer) = ask(&node, &user, "agent:fine", "0.1.0", &sha256);
    assert!(answer.contains("the archive is refused"), "{answer}");
    node.napt(&["deploy", "fine", "--no-verify"]).expect(0);
}

#[test]
fn a_failing_dependency_leaves_the_old_revision_live() {
    let node = TestNode::start(&[]);
    let user = node.user();
    let module = Python::new("agent:fine", FINE);
    node.deploy(&module);
    // Needs no network to be missing: nobody listens there.
    let requirements = ["missing_package @ https://127.0.0.1:1/missing_package-1.0-py3-none-any.whl"];
    let run = "def run(module_run):\n    return 'new'\n";
    Python { version: "0.2.0", requirements: &requirements, run, ..module }.write(&node.sandbox);
    for _ in 0..2 {
        let failed = node.napt(&["deploy", "fine", "--no-verify"]).expect(1);
        assert!(failed.stderr.contains("cannot install `agent:fine 0.2.0`"), "{}", failed.stderr);
        assert!(failed.stderr.contains("installing the module's dependencies failed"), "{}", failed.stderr);
        assert!(failed.stderr.contains("missing_package-1.0-py3-none-any.whl"), "{}", failed.stderr);
    }
    let live = deployments(&user);
    assert_eq!((live.len(), live[0].revision, live[0].version.to_string().as_str()), (1, 1, "0.1.0"));
    assert_eq!(user.run("agent:fine", json!({})).result.as_deref(), Some("fine"));
    Python { version: "0.2.0", run, ..Python::new("agent:fine", FINE) }.write(&node.sandbox);
    node.napt(&["deploy", "fine", "--no-verify"]).expect(0);
    assert_eq!((deployments(&user)[0].revision, deployments(&user).len()), (2, 1));
    assert_eq!(user.run("agent:fine", json!({})).result.as_deref(), Some("new"));
}

#[test]
fn the_same_deployment_is_the_same_revision_however_often_and_at_once() {
    let node = TestNode::start(&[]);
    let user = node.user();
    Python::new("agent:fine", FINE).write(&node.sandbox);
    // What another napt is writing just now is no part of the module.
    node.sandbox.write("fine/.napt-part-a1B2c3", "half");
    let commands: Vec<_> = (0..8)
        .map(|_| {
            let mut command = node.sandbox.command(&["deploy", "fine", "--no-verify"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("napt")
        })
        .collect();
    let mut installs = 0;
    for command in commands {
        let output = command.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        installs += told.matches("Installing").count();
    }
    assert_eq!(installs, 1);
    std::fs::remove_file(node.sandbox.work().join("fine").join(".napt-part-a1B2c3")).expect("removed");
    node.napt(&["deploy", "fine", "--no-verify"]).expect(0);
    let live = deployments(&user);
    assert_eq!((live.len(), live[0].revision), (1, 1));
}

/// A registry with `agent:fine` and a node that installs from it.
fn published() -> (TestRegistry, TestNode) {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    Python::new("agent:fine", FINE).write(&sandbox);
    let token = registry.sign_up(&SecretKey::generate()).token;
    let mut publisher = registry.sandbox();
    publisher.set("NAPT_TOKEN", &token);
    Python::new("agent:fine", FINE).write(&publisher);
    publisher.napt(&["-C", "fine", "publish", "--no-verify"]).expect(0);
    let node = TestNode::start_in(sandbox, &[]);
    (registry, node)
}

#[test]
fn a_published_module_is_installed_and_an_unknown_one_is_not() {
    let (registry, node) = published();
    let user = node.user();
    let unknown = node.napt(&["deploy", "agent:nobody_has_this", "--no-verify"]).expect(1);
    assert!(unknown.stderr.contains("agent:nobody_has_this"), "{}", unknown.stderr);
    node.napt(&["deploy", "agent:fine@^0.1", "--no-verify"]).expect(0);
    assert_eq!(user.run("agent:fine", json!({})).result.as_deref(), Some("fine"));
    drop(registry);
    let down = node.napt(&["deploy", "agent:fine@^0.1", "--no-verify"]).expect(4);
    assert!(down.stderr.contains("cannot reach the registry"), "{}", down.stderr);
    assert_eq!(user.run("agent:fine", json!({})).result.as_deref(), Some("fine"));
}

#[test]
fn of_16_installs_of_one_module_at_once_one_downloads_and_builds() {
    let (registry, elsewhere) = (published().0, Faults::start(|_, _| Reply::Hang));
    let proxy = FaultProxy::start(&elsewhere.url);
    proxy.stands_before(&registry.url);
    let mut sandbox = registry.sandbox();
    own_cache(&mut sandbox);
    sandbox.set("NAPT_REGISTRY", proxy.url.as_str());
    let node = TestNode::start_in(sandbox, &[]);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let node = &node;
            scope.spawn(move || node.napt(&["deploy", "agent:fine", "--name", &format!("d{number}")]).expect(0));
        }
    });
    assert_eq!(proxy.requests("/download"), 1);
    let built = std::fs::read_dir(node.sandbox.home().join("cache/environments")).expect("a folder");
    let built = built.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().join("complete").exists());
    assert_eq!(built.filter(|entry| entry.file_name() != "installer").count(), 1);
    assert_eq!(deployments(&node.user()).len(), 16);
    assert_eq!(node.user().run("agent:fine", json!({})).result.as_deref(), Some("fine"));
}

#[test]
fn a_swapped_blob_of_a_registry_is_not_installed() {
    let (registry, node) = published();
    let before = kept(&node);
    let blob = registry.blobs().into_keys().find(|path| path.starts_with(registry.data().join("blobs")));
    let blob = blob.expect("a blob");
    let good = std::fs::read(&blob).expect("bytes");
    // As long as the good one, so that only the digest tells.
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    std::fs::write(&blob, bad).expect("written");
    let refused = node.napt(&["deploy", "agent:fine", "--no-verify"]).expect(1);
    assert!(refused.stderr.contains("is damaged: its sha256 is"), "{}", refused.stderr);
    assert_eq!(kept(&node), before);
    std::fs::write(&blob, good).expect("written");
    node.napt(&["deploy", "agent:fine", "--no-verify"]).expect(0);
}

#[test]
fn a_registry_that_breaks_off_is_told_by_the_node() {
    let (registry, _node) = published();
    let index = registry.index("agent:fine").expect("an index");
    // It has the module, and no archive ever comes.
    let broken = Faults::start(move |_, head| match head.starts_with("GET /index/") {
        true => response("200 OK", "Content-Type: application/x-ndjson\r\n", &index),
        false => Reply::Reset,
    });
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NAPT_REGISTRY", broken.url.as_str());
    let node = TestNode::start_in(sandbox, &[]);
    let failed = node.napt(&["deploy", "agent:fine"]).expect(4);
    assert!(failed.stderr.contains("cannot fetch `agent:fine 0.1.0`"), "{}", failed.stderr);
    assert!(failed.stderr.contains("cannot reach the registry at `"), "{}", failed.stderr);
}

#[test]
fn what_the_users_registry_has_and_the_nodes_has_not_is_given_to_the_node() {
    let (registry, _node) = published();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NAPT_REGISTRY", "http://127.0.0.1:9/");
    let lonely = TestNode::start_in(sandbox, &[]);
    lonely.napt(&["deploy", "agent:fine", "--registry", registry.url.as_str()]).expect(0);
}
