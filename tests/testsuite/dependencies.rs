//! `napt add`, `remove`, `update`, `tree`, `fetch`, `search`, `info` and `yank`, and several registries, against real ones.

use napt::resolve::{LOCK_FILE, Lock};
use snapbox::{assert_data_eq, str};

use crate::support::{
    Sandbox,
    modules::{Python, write as module},
    node::{TestNode, cache},
    registry::TestRegistry,
};

/// Publishes a module from a folder of its own.
fn publish(registry: &TestRegistry, id: &str, version: &str, more: &str) -> Sandbox {
    let sandbox = registry.sandbox();
    publish_as(&sandbox, id, version, more);
    sandbox
}

/// The same, as the user of a sandbox.
fn publish_as(sandbox: &Sandbox, id: &str, version: &str, more: &str) {
    let folder = format!("{}-{version}", id.replace(':', "-"));
    module(sandbox, &folder, id, version, more);
    sandbox.write(format!("{folder}/README.md"), format!("# {id} {version}\n"));
    sandbox.napt(&["login", "--quiet"]).expect(0);
    sandbox.napt(&["-C", &folder, "publish", "--no-verify", "--quiet"]).expect(0);
}

/// A registry with `kb:facts` and `agent:chat`, which needs it, and the sandbox of who published them.
fn chat() -> (TestRegistry, Sandbox) {
    let registry = TestRegistry::start();
    let owner = publish(&registry, "kb:facts", "1.0.0", "");
    publish_as(&owner, "kb:facts", "1.1.0", "");
    publish_as(&owner, "agent:chat", "0.2.0", "[dependencies]\n\"kb:facts\" = \"^1\"\n");
    (registry, owner)
}

/// A workspace whose orchestrator needs `agent:chat`.
fn debate(registry: &TestRegistry) -> Sandbox {
    let sandbox = registry.sandbox();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"m/*\"]\n");
    let needs = "[dependencies]\n\"agent:chat\" = \"^0.2\"\n\"tool:own\" = { path = \"../own\", version = \"0.1\" }\n";
    module(&sandbox, "m/debate", "orchestrator:debate", "0.1.0", needs);
    module(&sandbox, "m/own", "tool:own", "0.1.0", "[dependencies]\n\"kb:facts\" = \"=1.0.0\"\n");
    sandbox
}

fn locked(sandbox: &Sandbox) -> Vec<String> {
    let lock = Lock::read(&sandbox.work()).expect("readable").expect("a lock file");
    lock.modules.iter().map(|module| format!("{}@{}", module.id, module.version)).collect()
}

#[test]
fn a_dependency_is_added_with_its_newest_version_and_removed_again() {
    let (registry, _owner) = chat();
    let sandbox = registry.sandbox();
    let manifest =
        "[module]\ntype = \"agent\"\nname = \"x\"\nversion = \"0.1.0\"\n\n# What it calls.\n[dependencies]\n";
    sandbox.write("napt.toml", manifest);
    let read = || std::fs::read_to_string(sandbox.work().join("napt.toml")).expect("a manifest");
    let ran = sandbox.napt(&["add", "kb:facts"]).expect(0);
    assert_eq!(ran.stderr, "      Adding kb:facts ^1.1.0 to agent:x\n");
    sandbox.napt(&["add", "chat@=0.2.0"]).expect(0);
    assert_eq!(read(), format!("{manifest}\"agent:chat\" = \"=0.2.0\"\n\"kb:facts\" = \"^1.1.0\"\n"));
    let json = sandbox.napt(&["add", "kb:facts@1", "--message-format", "json"]).expect(0).json();
    assert_eq!(json["data"]["dependency"]["version"], "^1");
    assert_eq!(json["data"]["dependency"]["newest"], "1.1.0");

    let ran = sandbox.napt(&["remove", "fact"]).expect(2);
    assert!(ran.stderr.contains("`fact` is not a dependency of `agent:x`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `facts`?"), "{}", ran.stderr);
    // All that are named, or none.
    sandbox.napt(&["remove", "chat", "none"]).expect(2);
    assert!(read().contains("agent:chat"));
    sandbox.napt(&["remove", "chat", "kb:facts"]).expect(0);
    assert!(!read().contains("dependencies"), "{}", read());
}

#[test]
fn the_lock_follows_with_the_next_command_that_resolves() {
    let (registry, _owner) = chat();
    let sandbox = debate(&registry);
    sandbox.napt(&["fetch"]).expect(0);
    let before = locked(&sandbox);
    assert!(!before.iter().any(|module| module.starts_with("persona")), "{before:?}");
    publish(&registry, "persona:ada", "1.0.0", "");

    let ran = sandbox.napt(&["-C", "m/debate", "add", "persona:ada"]).expect(0);
    let told = "`napt.lock` will follow with the next command that resolves, for example `napt fetch`; commit it then";
    assert_eq!(ran.stderr, format!("      Adding persona:ada ^1.0.0 to orchestrator:debate\n{told}\n"));
    assert_eq!(locked(&sandbox), before);
    let ran = sandbox.napt(&["fetch", "--locked"]).expect(1);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
error: `napt.lock` is out of date
  change what `orchestrator:debate` needs
  add `persona:ada` 1.0.0

hint: run the command without `--locked` to bring it up to date, and commit it

"#]]
    );
    assert_eq!(locked(&sandbox), before);
    sandbox.napt(&["fetch"]).expect(0);
    let after = locked(&sandbox);
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.contains(&"persona:ada@1.0.0".to_owned()), "{after:?}");
    // What was locked stays, and a change that the lock allows for is no news.
    assert!(before.iter().all(|module| after.contains(module)), "{after:?}");
    let ran = sandbox.napt(&["-C", "m/debate", "add", "persona:ada@^1"]).expect(0);
    assert!(!ran.stderr.contains("napt.lock"), "{}", ran.stderr);

    let ran = sandbox.napt(&["-C", "m/debate", "remove", "persona:ada"]).expect(0);
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    sandbox.napt(&["fetch", "--locked"]).expect(1);
    sandbox.napt(&["fetch"]).expect(0);
    assert_eq!(locked(&sandbox), before);
}

#[test]
fn what_cannot_be_added_changes_nothing_and_says_what_could() {
    let (registry, _owner) = chat();
    let sandbox = debate(&registry);
    let before = std::fs::read_to_string(sandbox.work().join("m/own/napt.toml")).expect("a manifest");
    for (arguments, code, message, hint) in [
        (&["add", "kb:facst"][..], 1, "there is no module `kb:facst`", "did you mean `kb:facts`?"),
        (&["add", "tool:facts"], 1, "there is no module `tool:facts`", "did you mean `kb:facts`?"),
        (&["add", "kb:facts@^7"], 1, "no version of `kb:facts`", "the versions are 1.1.0, 1.0.0"),
        (&["add", "tool:own"], 1, "there is no module `tool:own`", "`napt search`"),
        (&["add", "--path", "../own"], 2, "`tool:own` cannot depend on itself", ""),
        (
            &["add", "kb:x", "--path", "../debate"],
            1,
            "is `orchestrator:debate`, not `kb:x`",
            "name `orchestrator:debate`",
        ),
        (&["add", "orchestrator:debate@2", "--path", "../debate"], 1, "is 0.1.0, which does not fit ^2", ""),
        (&["add", "kb:facts", "--registry", "nowhere"], 2, "no registry is called `nowhere`", "[registries.nowhere]"),
        (&["add", "kb:facts", "--registry", "http://127.0.0.1:1"], 2, "has no name", "[registries.NAME]"),
        (&["add", "kb:facts", "--module", "ownn"], 2, "`ownn` is not a module", "did you mean `own`?"),
        (&["add"], 2, "required", ""),
        (&["add", "nonsense:x"], 2, "unknown module type `nonsense`", "the types are"),
    ] {
        let ran = sandbox.napt(&[&["-C", "m/own"], arguments].concat()).expect(code);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(hint), "{arguments:?}\n{}", ran.stderr);
    }
    let ran = sandbox.napt(&["add", "kb:facts"]).expect(2);
    assert!(ran.stderr.contains("use `--module` with one of orchestrator:debate, tool:own"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(sandbox.work().join("m/own/napt.toml")).expect("a manifest"), before);

    sandbox.napt(&["add", "--path", "m/own", "--module", "debate"]).expect(0);
    let manifest = std::fs::read_to_string(sandbox.work().join("m/debate/napt.toml")).expect("a manifest");
    assert!(manifest.contains("\"tool:own\" = { path = \"../own\", version = \"^0.1.0\" }"), "{manifest}");
}

#[test]
fn update_says_what_changes_and_keeps_the_rest() {
    let (registry, owner) = chat();
    let sandbox = registry.sandbox();
    module(&sandbox, ".", "orchestrator:o", "0.1.0", "[dependencies]\n\"agent:chat\" = \"^0.2\"\n");
    let ran = sandbox.napt(&["update"]).expect(0);
    assert_data_eq!(
        ran.stderr,
        str![[r#"
      Adding orchestrator:o 0.1.0
      Adding agent:chat 0.2.0
      Adding kb:facts 1.1.0

"#]]
    );
    publish_as(&owner, "kb:facts", "1.2.0", "");
    publish_as(&owner, "agent:chat", "0.2.1", "[dependencies]\n\"kb:facts\" = \"^1\"\n");
    let lock = std::fs::read(sandbox.work().join(LOCK_FILE)).expect("a lock file");
    let ran = sandbox.napt(&["update", "--dry-run"]).expect(0);
    assert!(ran.stderr.contains("Updating agent:chat 0.2.0 -> 0.2.1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Updating kb:facts 1.1.0 -> 1.2.0"), "{}", ran.stderr);
    assert_eq!(std::fs::read(sandbox.work().join(LOCK_FILE)).expect("a lock file"), lock);

    sandbox.napt(&["update", "chat"]).expect(0);
    assert_eq!(locked(&sandbox), ["orchestrator:o@0.1.0", "agent:chat@0.2.1", "kb:facts@1.1.0"]);
    let ran = sandbox.napt(&["update", "kb:facts", "--precise", "1.0.0"]).expect(0);
    assert_eq!(ran.stderr, " Downgrading kb:facts 1.1.0 -> 1.0.0\n");
    let json = sandbox.napt(&["update", "--message-format", "json"]).expect(0).json();
    assert_eq!(json["data"]["changes"], serde_json::json!([{ "id": "kb:facts", "from": "1.0.0", "to": "1.2.0" }]));
    assert_eq!(sandbox.napt(&["update"]).expect(0).stderr, "   Unchanged 3 modules\n");

    for (arguments, code, part) in [
        (&["update", "fact"][..], 2, "did you mean `facts`?"),
        (&["update", "orchestrator:o"], 2, "is a module of this workspace"),
        (&["update", "kb:facts", "--precise", "9.0.0"], 1, "the versions are 1.0.0, 1.1.0, 1.2.0"),
        (&["update", "--precise", "1.0.0"], 2, "`--precise` is for one module"),
    ] {
        let ran = sandbox.napt(arguments).expect(code);
        assert!(ran.stderr.contains(part), "{arguments:?}\n{}", ran.stderr);
    }
}

#[test]
fn the_tree_is_drawn_from_the_lock() {
    let (registry, _owner) = chat();
    let sandbox = debate(&registry);
    sandbox.napt(&["update"]).expect(0);
    assert_data_eq!(
        sandbox.napt(&["tree"]).expect(0).stdout,
        str![[r#"
orchestrator:debate 0.1.0
├── agent:chat 0.2.0
│   └── kb:facts 1.0.0
└── tool:own 0.1.0
    └── kb:facts 1.0.0
tool:own 0.1.0 (*)

"#]]
    );
    assert_data_eq!(
        sandbox.napt(&["tree", "--invert", "facts"]).expect(0).stdout,
        str![[r#"
kb:facts 1.0.0
├── agent:chat 0.2.0
│   └── orchestrator:debate 0.1.0
└── tool:own 0.1.0
    └── orchestrator:debate 0.1.0

"#]]
    );
    assert_data_eq!(
        sandbox.napt(&["-C", "m/debate", "tree", "--depth", "1"]).expect(0).stdout,
        str![[r#"
orchestrator:debate 0.1.0
├── agent:chat 0.2.0
└── tool:own 0.1.0

"#]]
    );
    let ran = sandbox.napt(&["tree", "chatt"]).expect(2);
    assert!(ran.stderr.contains("did you mean `chat`?"), "{}", ran.stderr);
    // What the lock has needs no registry.
    drop(registry);
    let json = sandbox.napt(&["tree", "agent:chat", "--message-format", "json"]).expect(0).json();
    assert_eq!(json["data"]["modules"][0]["modules"][0]["id"], "kb:facts");
}

#[test]
fn a_yank_is_shown_with_its_reason_and_can_be_undone() {
    let (registry, owner) = chat();
    let sandbox = debate(&registry);
    sandbox.napt(&["update"]).expect(0);
    assert!(sandbox.napt(&["yank", "kb:facts@1.0.0", "--reason", "x"]).expect(5).stderr.contains("napt login"));
    let ran = owner.napt(&["yank", "kb:facts@1.0.0", "--reason", "it lies"]).expect(0);
    assert_eq!(ran.stdout, "kb:facts@1.0.0 is yanked\n");
    assert!(registry.index("kb:facts").expect("an index").contains("\"yank_reason\":\"it lies\""));

    // Who has it locked keeps it, and is told; nobody else gets it.
    let ran = sandbox.napt(&["fetch", "--locked"]).expect(0);
    assert!(ran.stderr.contains("warning: `kb:facts@1.0.0` is yanked: it lies"), "{}", ran.stderr);
    let ran = sandbox.napt(&["update"]).expect(1);
    assert!(ran.stderr.contains("`tool:own` 0.1.0 needs `kb:facts` =1.0.0"), "{}", ran.stderr);
    let ran = sandbox.napt(&["info", "kb:facts"]).expect(0);
    assert!(ran.stdout.contains("1.0 KiB") || ran.stdout.contains("yanked: it lies"), "{}", ran.stdout);
    assert!(sandbox.napt(&["info", "kb:facts@1.0.0"]).expect(0).stdout.contains("\nyanked      it lies\n"));

    owner.napt(&["yank", "kb:facts@1.0.0", "--undo"]).expect(0);
    let ran = sandbox.napt(&["fetch"]).expect(0);
    assert!(!ran.stderr.contains("yanked"), "{}", ran.stderr);
    sandbox.napt(&["update"]).expect(0);

    for (arguments, code, part) in [
        (&["yank", "kb:facts@9.0.0", "--reason", "x"][..], 1, "its versions are 1.0.0, 1.1.0"),
        (&["yank", "kb:facst@1.0.0", "--reason", "x"], 1, "did you mean `kb:facts`?"),
        (&["yank", "kb:facts", "--reason", "x"], 2, "kb:facts@1.2.3"),
        (&["yank", "kb:facts@1", "--reason", "x"], 2, "`1` is not a version"),
        (&["yank", "kb:facts@1.0.0"], 2, "--reason"),
        (&["yank", "kb:facts@1.0.0", "--undo", "--reason", "x"], 2, "cannot be used with"),
        (&["yank", "kb:facts@1.0.0", "--undo", "--offline"], 4, "leave `--offline` out"),
    ] {
        let ran = owner.napt(arguments).expect(code);
        assert!(ran.stderr.contains(part), "{arguments:?}\n{}", ran.stderr);
    }
}

#[test]
fn modules_are_found_and_described() {
    let (registry, owner) = chat();
    let sandbox = registry.sandbox();
    assert_data_eq!(
        sandbox.napt(&["search", "module"]).expect(0).stdout,
        str![[r#"
agent:chat  0.2.0  A module for tests
kb:facts    1.1.0  A module for tests

"#]]
    );
    let json = sandbox.napt(&["search", "--type", "kb", "--message-format", "json"]).expect(0).json();
    assert_eq!((&json["data"]["total"], &json["data"]["modules"][0]["name"]), (&1.into(), &"facts".into()));
    let ran = sandbox.napt(&["search", "--limit", "1"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 1);
    assert!(ran.stderr.contains("and 1 more"), "{}", ran.stderr);
    assert!(sandbox.napt(&["search", "nothing"]).expect(0).stderr.contains("Nothing in the registry"));
    assert!(sandbox.napt(&["search", "--type", "knowledge"]).expect(2).stderr.contains("the types are"));
    for number in 0..25 {
        publish_as(&owner, &format!("tool:t{number:02}"), "0.1.0", "");
    }
    assert_eq!(sandbox.napt(&["search", "--type", "tool", "--limit", "22"]).expect(0).stdout.lines().count(), 22);
    assert_eq!(sandbox.napt(&["search", "--type", "tool", "--limit", "99"]).expect(0).stdout.lines().count(), 25);

    let ran = sandbox.napt(&["info", "agent:chat", "--readme"]).expect(0);
    assert_data_eq!(
        ran.stdout,
        str![[r#"
agent:chat 0.2.0
description A module for tests
registry    http://127.0.0.1:[..]
owners      user:[..]
runtime     data
size        [..] B
sha256      [..]
published   [..] by user:[..]
dependencies
  kb:facts ^1
versions
  0.2.0       [..]  [..] B

# agent:chat 0.2.0

"#]]
    );
    // An older version's README and manifest are in its archive.
    let ran = sandbox.napt(&["info", "kb:facts@1.0.0", "--readme"]).expect(0);
    assert!(ran.stdout.contains("# kb:facts 1.0.0"), "{}", ran.stdout);
    for (arguments, code, part) in [
        (&["info", "agent:chatt"][..], 1, "did you mean `agent:chat`?"),
        (&["info", "facts"], 1, "did you mean `kb:facts`?"),
        (&["info", "kb:facts@3.0.0"], 1, "its versions are 1.1.0, 1.0.0"),
        (&["info", "kb:facts@x"], 2, "`x` is not a version"),
    ] {
        let ran = sandbox.napt(arguments).expect(code);
        assert!(ran.stderr.contains(part), "{arguments:?}\n{}", ran.stderr);
    }
}

/// A sandbox whose default registry is one, and in which another one is called `internal`.
fn with_internal(default: &TestRegistry, internal: &TestRegistry) -> Sandbox {
    let sandbox = default.sandbox();
    let config = format!("[registries.internal]\nurl = \"{}\"\n", internal.url);
    std::fs::create_dir_all(sandbox.home().join("napt/config")).expect("a folder");
    std::fs::write(sandbox.home().join("napt/config/config.toml"), config).expect("a file");
    sandbox
}

#[test]
fn registries_have_names_and_modules_of_one_are_not_taken_from_another() {
    let (default, internal) = (TestRegistry::start(), TestRegistry::start());
    // The same name and version in both, by different people.
    publish(&default, "kb:facts", "1.0.0", "keywords = [\"public\"]\n");
    publish(&internal, "kb:facts", "1.0.0", "keywords = [\"internal\"]\n");
    let sandbox = with_internal(&default, &internal);
    module(&sandbox, ".", "agent:x", "0.1.0", "publish = [\"internal\"]\n");
    sandbox.napt(&["add", "kb:facts", "--registry", "internal"]).expect(0);
    let manifest = std::fs::read_to_string(sandbox.work().join("napt.toml")).expect("a manifest");
    assert!(manifest.contains("\"kb:facts\" = { version = \"^1.0.0\", registry = \"internal\" }"), "{manifest}");
    sandbox.napt(&["update"]).expect(0);
    let lock = Lock::read(&sandbox.work()).expect("readable").expect("a lock file");
    let facts = lock.get(&"kb:facts".parse().expect("an id")).expect("locked").clone();
    assert_eq!(facts.registry.as_deref(), Some(internal.url.as_str().trim_end_matches('/')));
    let digest = facts.sha256.expect("a digest");
    assert!(internal.index("kb:facts").expect("an index").contains(&digest));
    assert!(!default.index("kb:facts").expect("an index").contains(&digest));
    let tree = sandbox.napt(&["tree"]).expect(0).stdout;
    assert!(tree.contains(&format!("kb:facts 1.0.0 ({})", internal.url.as_str().trim_end_matches('/'))), "{tree}");

    // Published where the manifest says, with the token of that registry.
    assert!(sandbox.napt(&["publish", "--no-verify"]).expect(5).stderr.contains(internal.url.as_str()));
    sandbox.napt(&["login", "--registry", "internal"]).expect(0);
    sandbox.napt(&["publish", "--no-verify"]).expect(0);
    assert!(internal.index("agent:x").is_some() && default.index("agent:x").is_none());
    let ran = sandbox.napt(&["publish", "--no-verify", "--registry", default.url.as_str()]).expect(1);
    assert!(ran.stderr.contains("may be published to `internal` only"), "{}", ran.stderr);

    // What is from there needs the name; without it nothing else is taken.
    let other = default.sandbox();
    module(
        &other,
        ".",
        "agent:y",
        "0.1.0",
        "[dependencies]\n\"kb:facts\" = { version = \"1\", registry = \"internall\" }\n",
    );
    let ran = other.napt(&["update"]).expect(1);
    assert!(ran.stderr.contains("`agent:y` needs the registry `internall`"), "{}", ran.stderr);
    let ran = other.napt(&["publish", "--registry", "internal"]).expect(2);
    assert!(ran.stderr.contains("no registry is called `internal`"), "{}", ran.stderr);
}

#[test]
fn the_token_of_the_environment_goes_to_no_registry_that_a_checkout_names() {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0a".repeat(24)));
    module(&sandbox, ".", "agent:x", "0.1.0", "");
    sandbox.write(".napt/config.toml", format!("[registries.internal]\nurl = \"{}\"\n", registry.url));
    let ran = sandbox.napt(&["publish", "--registry", "internal"]).expect(5);
    assert!(ran.stderr.contains("is not sent to the registry"), "{}", ran.stderr);
}

#[test]
fn offline_answers_come_from_the_cache_and_the_lock() {
    let (registry, _owner) = chat();
    let mut sandbox = debate(&registry);
    let ran = sandbox.napt(&["update", "--offline"]).expect(4);
    assert!(ran.stderr.contains("the index of `agent:chat` is not in the cache"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: run `napt fetch`"), "{}", ran.stderr);
    sandbox.napt(&["fetch"]).expect(0);
    sandbox.napt(&["info", "agent:chat"]).expect(0);
    // Nobody listens there any more.
    drop(registry);
    for arguments in [&["fetch"][..], &["fetch", "--locked"], &["update"], &["tree"], &["info", "agent:chat"]] {
        sandbox.napt(&[arguments, &["--offline"]].concat()).expect(0);
    }
    let ran = sandbox.napt(&["search", "chat", "--offline"]).expect(4);
    assert!(ran.stderr.contains("leave `--offline` out"), "{}", ran.stderr);
    sandbox.napt(&["publish", "--offline", "-C", "m/own"]).expect(4);
    sandbox.napt(&["login", "--offline"]).expect(4);
    let ran = sandbox.napt(&["status", "--offline", "--node", "http://192.0.2.1:7001"]).expect(4);
    assert!(ran.stderr.contains("is not on this machine"), "{}", ran.stderr);

    // A damaged archive is not trusted because it is there, nor is an index.
    let cache = sandbox.home().join("napt/cache/registries");
    for archive in std::fs::read_dir(cache.join("archives")).expect("a folder") {
        std::fs::write(archive.expect("an entry").path(), "something else").expect("a file");
    }
    let ran = sandbox.napt(&["fetch", "--offline"]).expect(4);
    assert!(ran.stderr.contains("the archive of `") && ran.stderr.contains("is not in the cache"), "{}", ran.stderr);
    sandbox.set("NAPT_CACHE_DIR", sandbox.work().join("empty").to_str().expect("UTF-8"));
    sandbox.napt(&["tree", "--offline"]).expect(0);
    sandbox.napt(&["fetch", "--offline"]).expect(4);
}

/// A node whose sandbox has its own registry and another one called `internal`.
fn node(default: &TestRegistry, internal: &TestRegistry) -> TestNode {
    let mut sandbox = with_internal(default, internal);
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let mut node = TestNode::start_in(sandbox, &["--registry", default.url.as_str()]);
    // The commands' own: the one that nodes share may have the archives of an earlier test.
    let own = node.sandbox.work().join("cache");
    node.sandbox.set("NAPT_CACHE_DIR", own.to_str().expect("UTF-8"));
    node
}

#[test]
fn what_the_node_cannot_fetch_is_given_to_it() {
    let (default, internal) = (TestRegistry::start(), TestRegistry::start());
    publish(&internal, "agent:voice", "1.0.0", "");
    let node = node(&default, &internal);
    let needs = "[dependencies]\n\"agent:voice\" = { version = \"1\", registry = \"internal\" }\n";
    module(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", needs);
    let ran = node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    assert!(ran.stderr.contains("Downloading agent:voice@1.0.0 from"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Uploading agent:voice 1.0.0"), "{}", ran.stderr);
}

#[test]
fn a_fetched_workspace_is_deployed_offline() {
    let registry = TestRegistry::start();
    publish(&registry, "agent:voice", "1.0.0", "");
    let node = node(&registry, &registry);
    module(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", "[dependencies]\n\"agent:voice\" = \"1\"\n");
    let offline = ["deploy", "choir", "--no-verify", "--offline"];
    let ran = node.napt(&offline).expect(4);
    assert!(ran.stderr.contains("the index of `agent:voice` is not in the cache"), "{}", ran.stderr);
    node.napt(&["-C", "choir", "fetch"]).expect(0);
    drop(registry);
    let ran = node.napt(&offline).expect(0);
    assert!(ran.stderr.contains("Uploading agent:voice 1.0.0"), "{}", ran.stderr);
}

#[test]
fn a_yanked_version_is_told_at_deploy_and_at_run() {
    let registry = TestRegistry::start();
    let node = node(&registry, &registry);
    Python::new("agent:voice", "def run(module_run):\n    return 'la'\n").write(&node.sandbox);
    node.napt(&["login"]).expect(0);
    node.napt(&["-C", "voice", "publish", "--no-verify"]).expect(0);
    node.napt(&["deploy", "agent:voice"]).expect(0);
    let ran = node.napt(&["run", "agent:voice"]).expect(0);
    assert!(!ran.stderr.contains("yanked"), "{}", ran.stderr);
    node.napt(&["yank", "agent:voice@0.1.0", "--reason", "it is flat"]).expect(0);
    let ran = node.napt(&["run", "agent:voice"]).expect(0);
    assert!(ran.stderr.contains("warning: `agent:voice@0.1.0` is yanked: it is flat"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "la\n");
    // Nobody gets it anew, but who has it locked does, and is told.
    node.napt(&["deploy", "agent:voice"]).expect(1);
    let needs = "[dependencies]\n\"agent:voice\" = \"0.1\"\n";
    module(&node.sandbox, "choir", "orchestrator:choir", "0.1.0", needs);
    node.napt(&["yank", "agent:voice@0.1.0", "--undo"]).expect(0);
    node.napt(&["-C", "choir", "update"]).expect(0);
    node.napt(&["yank", "agent:voice@0.1.0", "--reason", "it is flat"]).expect(0);
    let ran = node.napt(&["deploy", "choir", "--no-verify"]).expect(0);
    assert!(ran.stderr.contains("warning: `agent:voice@0.1.0` is yanked: it is flat"), "{}", ran.stderr);
}
