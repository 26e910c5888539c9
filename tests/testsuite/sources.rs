//! Modules from git: fetched, adopted where they have no manifest, pinned, deployed and run.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, process::Command};

use napt::identity::SecretKey;
use serde_json::json;

use crate::support::{
    Sandbox,
    git_server::{GitServer, Way},
    modules::{self, Python},
    naptha,
    node::{TestNode, cache},
    provider::Provider,
    python::{expect_success, with_sdk},
    registry::TestRegistry,
    repository::{Repository, copy},
    sdk::steps,
};

#[test]
fn a_naptha_agent_is_deployed_from_a_tag_and_run() {
    let node = TestNode::start(&[]);
    let repository = Repository::of_fixture(&node.sandbox.home(), "hello_world_agent", "v0.16");
    let tagged = repository.head();
    // What came after the tag plays no part.
    repository.write("hello_world_agent/run.py", "raise RuntimeError('later')\n");
    repository.commit("later");
    let deploy = ["deploy", "--git", &repository.url(), "--tag", "v0.16"];
    let ran = node.napt(&deploy).expect(0);
    assert!(ran.stderr.contains(&format!("Fetching {}?tag=v0.16", repository.url())), "{}", ran.stderr);
    let run = node.user().run("agent:hello_world_agent", json!({"firstname": "sam", "surname": "smith"}));
    assert_eq!(run.result.as_deref(), Some("Hello sam smith"), "{:?}", run.error);

    // Again it is the same, and nothing is there to do; by its commit it is the same too.
    node.napt(&deploy).expect(0);
    let by_commit = node.napt(&["deploy", "--git", &repository.url(), "--rev", &tagged, "agent:hello_world_agent"]);
    assert!(by_commit.expect(0).stdout.contains("live already"));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let sandbox = Sandbox::new();
    let repository = Repository::of_fixture(&sandbox.home(), "hello_world_agent", "v0.16");
    let node = TestNode::start_in(sandbox, &[]);
    let url = repository.url();
    for (arguments, code, told) in [
        (vec!["--git", &url, "--tag", "v0.17"], 1, "did you mean `v0.16`?"),
        (vec!["--git", &url, "--branch", "mian"], 1, "did you mean `main`?"),
        (vec!["--git", &url, "--rev", "0123456"], 1, "has no tag, branch or commit `0123456`"),
        (vec!["--git", &url, "agent:hello_wrld_agent"], 1, "name `agent:hello_world_agent`"),
        (vec!["--git", "file:///nowhere/at/all"], 1, "there is no git repository at `file:///nowhere/at/all`"),
        (vec!["--git", "ipfs://bafybeigdyrzt"], 2, "is on IPFS"),
        (vec!["--git", &url, "--tag", "v0.16", "--branch", "main"], 2, "cannot be used with"),
        (vec!["https://example.org/a#v0.1"], 2, "write `napt deploy --git https://example.org/a --rev v0.1`"),
    ] {
        let ran = node.napt(&[&["deploy"], &*arguments].concat());
        ran.expect_ref(code);
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
}

/// A persona of Naptha's in a repository: a file and no manifest.
fn persona(sandbox: &Sandbox, name: &str, text: &str) -> Repository {
    let repository = Repository::new(sandbox.home().join("repositories").join(name));
    repository.write("persona.json", &format!("{{\"name\": \"Ada\", \"description\": \"{text}\"}}\n"));
    repository.commit("first");
    repository
}

/// The commit in a workspace's lock.
fn locked(sandbox: &Sandbox) -> String {
    let text = fs::read_to_string(sandbox.work().join("teller/napt.lock")).expect("a lock");
    let git = text.lines().find(|line| line.starts_with("git = ")).unwrap_or_else(|| panic!("{text}"));
    git.trim_end_matches('"').rsplit('#').next().expect("a commit").to_owned()
}

#[test]
fn a_dependency_in_git_is_added_pinned_updated_and_kept() {
    let sandbox = Sandbox::new();
    modules::write(&sandbox, "teller", "agent:teller", "0.1.0", "");
    let repository = persona(&sandbox, "ada", "first");
    let first = repository.head();
    let add = ["-C", "teller", "add", "--git", &repository.url(), "--branch", "main"];
    let added = sandbox.napt(&[&add[..], &["--message-format", "json"]].concat()).expect(0).json();
    assert_eq!(added["data"]["dependency"]["id"], "persona:ada");
    let manifest = fs::read_to_string(sandbox.work().join("teller/napt.toml")).expect("a manifest");
    let line = format!("\"persona:ada\" = {{ git = \"{}\", branch = \"main\" }}", repository.url());
    assert!(manifest.contains(&line), "{manifest}");
    sandbox.napt(&["-C", "teller", "fetch"]).expect(0);
    assert_eq!(locked(&sandbox), first);

    // The branch goes on; what is locked stays, also without the network.
    repository.write("persona.json", "{\"name\": \"Ada\", \"description\": \"second\"}\n");
    let second = repository.commit("second");
    let fetched = sandbox.napt(&["-C", "teller", "fetch", "--locked", "--message-format", "json"]).expect(0).json();
    let path = fetched["data"]["modules"][0]["path"].as_str().expect("a path").to_owned();
    let contents = napt::package::inspect(path.as_ref(), &napt::package::Limits::default()).expect("an archive");
    assert_eq!(contents.manifest.description, "first");
    let hidden = repository.folder.with_extension("gone");
    fs::rename(&repository.folder, &hidden).expect("moved");
    sandbox.napt(&["-C", "teller", "--offline", "fetch", "--locked"]).expect(0);
    assert_eq!(locked(&sandbox), first);
    let tree = sandbox.napt(&["-C", "teller", "--offline", "tree"]).expect(0).stdout;
    let place = format!("persona:ada 0.1.0 ({}?branch=main#{})", repository.url(), &first[..8]);
    assert!(tree.contains(&place), "{tree}");
    fs::rename(&hidden, &repository.folder).expect("moved");

    // Only an update takes the new commit.
    let updated = sandbox.napt(&["-C", "teller", "update"]).expect(0);
    let step = format!("persona:ada 0.1.0 ({}) -> 0.1.0 ({})", &first[..8], &second[..8]);
    assert!(updated.stderr.contains(&step), "{}", updated.stderr);
    assert_eq!(locked(&sandbox), second);
    let again = sandbox.napt(&["-C", "teller", "update", "--message-format", "json"]).expect(0).json();
    assert_eq!(again["data"]["changes"], json!([]));
}

#[test]
fn what_a_manifest_says_of_git_is_judged() {
    let sandbox = Sandbox::new();
    for (entry, told) in [
        (r#"{ git = "https://example.org/a", tag = "v1", rev = "0a" }"#, "`tag` and `rev` cannot both be given"),
        (r#"{ git = "https://example.org/a", path = "../a" }"#, "`git` and `path` cannot both be given"),
        (r#"{ tag = "v1" }"#, "there is no `git` with its URL"),
        (r#"{ git = "https://u:p4ssw0rd@example.org/a" }"#, "has a credential in it"),
        (r#"{ git = "ext::sh -c id" }"#, "is not"),
        (r#"{ git = "https://example.org/a", brnach = "x" }"#, "brnach"),
    ] {
        modules::write(&sandbox, "m", "agent:m", "0.1.0", &format!("\n[dependencies]\n\"agent:a\" = {entry}\n"));
        for command in [&["-C", "m", "fetch"][..], &["check", "m"]] {
            let ran = sandbox.napt(command);
            ran.expect_ref(3);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(told) && !said.contains("p4ssw0rd"), "{command:?} {entry}: {said}");
        }
    }
}

#[test]
fn a_module_that_needs_git_is_published_with_a_version_alone() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.napt(&["login"]).expect(0);
    let ada = persona(&sandbox, "ada", "first");
    let git = format!("git = \"{}\"", ada.url());
    let write = |entry: &str| {
        modules::write(
            &sandbox,
            "m",
            "agent:m",
            "0.1.0",
            &format!("\n[dependencies]\n\"persona:ada\" = {{ {entry} }}\n"),
        );
        sandbox.write("m/README.md", "# m\n");
    };
    write(&git);
    let publish = ["-C", "m", "publish", "--no-verify"];
    let ran = sandbox.napt(&publish).expect(1);
    assert!(ran.stderr.contains("by path or git, without a version"), "{}", ran.stderr);
    // With a version it is from the registry for everybody else, so it must be there.
    write(&format!("{git}, version = \"^0.1\""));
    assert!(sandbox.napt(&publish).expect(1).stderr.contains("has no such version"));
    copy(&ada.folder, &sandbox.work().join("ada"));
    sandbox.napt(&["init", "ada"]).expect(0);
    sandbox.write("ada/README.md", "# Ada\n");
    sandbox.napt(&["-C", "ada", "publish", "--allow-dirty"]).expect(0);
    sandbox.napt(&publish).expect(0);
    let index = registry.index("agent:m").expect("an index");
    assert!(index.contains("persona") && !index.contains("file://"), "{index}");
}

#[test]
fn repositories_are_fetched_from_every_kind_of_server() {
    let sandbox = Sandbox::new();
    let repository = persona(&sandbox, "ada", "first");
    let first = repository.head();
    repository.git(&["tag", "-a", "v0.1", "-m", "annotated"]);
    repository.write("persona.json", "{\"name\": \"Ada\", \"description\": \"second\"}\n");
    repository.commit("second");
    repository.git(&["update-server-info"]);
    let folder = sandbox.home().join("repositories");
    let servers = [Way::Smart, Way::Dumb].map(|way| GitServer::start(folder.clone(), way));
    let urls = servers.iter().map(|server| format!("{}/ada/.git", server.url)).chain([repository.url()]);
    for (at, url) in urls.enumerate() {
        for reference in [["--tag", "v0.1"], ["--rev", "v0.1"], ["--rev", &first], ["--rev", &first[..10]]] {
            let name = format!("m{at}");
            modules::write(&sandbox, &name, "agent:m", "0.1.0", "");
            let json = ["--message-format", "json", "-C", &name, "add", "--git", &url];
            let added = sandbox.napt(&[&json[..], &reference].concat()).expect(0).json();
            let pinned = added["data"]["dependency"]["git"].as_str().expect("a place").to_owned();
            assert!(pinned.ends_with(&format!("#{first}")), "{url} {reference:?}: {pinned}");
        }
    }
    let private = GitServer::start(folder, Way::Private);
    modules::write(&sandbox, "m", "agent:m", "0.1.0", "");
    let ran = sandbox.napt(&["-C", "m", "add", "--git", &format!("{}/ada", private.url)]).expect(5);
    assert!(ran.stderr.contains("is private, or there is none") && ran.stderr.contains("credential helper"));
    let ran = sandbox.napt(&["-C", "m", "add", "--git", "http://127.0.0.1:9/ada"]).expect(4);
    assert!(ran.stderr.contains("cannot reach the repository"), "{}", ran.stderr);
}

// Naptha's defects: C9, C14
#[test]
fn nothing_of_a_repository_is_run_and_only_its_files_are_taken() {
    let sandbox = Sandbox::new();
    let repository = Repository::new(sandbox.home().join("trap"));
    let mark = sandbox.home().join("mark");
    let touch = format!("import pathlib\npathlib.Path({:?}).touch()\n", mark.display().to_string());
    // A module that acts when it is imported, set up or filtered.
    repository.write("pyproject.toml", "[project]\nname = \"trap\"\nversion = \"0.1.0\"\n");
    repository.write("setup.py", &touch);
    repository.write("conftest.py", &touch);
    repository.write("trap/run.py", &format!("{touch}def run(module_run):\n    AgentRunInput(**module_run)\n"));
    repository.write("trap/schemas.py", &touch);
    repository.write(".gitattributes", "*.py filter=touch\n");
    repository.write(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = file:///nowhere\n");
    // What is committed is part of it, though a pattern ignores it.
    repository.write(".gitignore", "data/\n");
    repository.write("data/rows.json", "[]\n");
    std::os::unix::fs::symlink("/etc/passwd", repository.folder.join("link")).expect("a link");
    repository.commit("first");
    // What is not committed is not.
    repository.write("data/private.pem", "not committed\n");
    repository.git(&["config", "filter.touch.smudge", &format!("touch {}", mark.display())]);
    modules::write(&sandbox, "m", "agent:m", "0.1.0", "");
    let ran = sandbox.napt(&["-C", "m", "add", "--git", &repository.url()]).expect(0);
    assert!(ran.stderr.contains("links and submodules are left out: `link`"), "{}", ran.stderr);
    let fetched = sandbox.napt(&["--message-format", "json", "-C", "m", "fetch"]).expect(0).json();
    let path = fetched["data"]["modules"][0]["path"].as_str().expect("a path").to_owned();
    let contents = napt::package::inspect(path.as_ref(), &napt::package::Limits::default()).expect("an archive");
    let files: Vec<&str> = contents.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        files,
        [
            ".gitattributes",
            ".gitignore",
            ".gitmodules",
            ".napt/manifest.json",
            ".napt/vcs.json",
            "conftest.py",
            "data/rows.json",
            "napt.toml",
            "pyproject.toml",
            "setup.py",
            "trap/run.py",
            "trap/schemas.py",
        ]
    );
    assert!(!mark.exists(), "something was run");
}

#[test]
fn one_repository_may_have_several_modules() {
    let sandbox = Sandbox::new();
    let repository = Repository::new(sandbox.home().join("several"));
    for (name, more) in [("one", "\n[dependencies]\n\"agent:two\" = { path = \"../two\" }\n"), ("two", "")] {
        modules::write(&sandbox, name, &format!("agent:{name}"), "0.1.0", more);
        copy(&sandbox.work().join(name), &repository.folder.join("modules").join(name));
    }
    repository.write("napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n");
    let commit = repository.commit("both");
    modules::write(&sandbox, "teller", "agent:teller", "0.1.0", "");
    let ran = sandbox.napt(&["-C", "teller", "add", "--git", &repository.url()]).expect(2);
    assert!(ran.stderr.contains("name one of `agent:one`, `agent:two`"), "{}", ran.stderr);
    sandbox.napt(&["-C", "teller", "add", "agent:one", "--git", &repository.url()]).expect(0);
    sandbox.napt(&["-C", "teller", "fetch"]).expect(0);
    // What it names by path is from the same place.
    let lock = fs::read_to_string(sandbox.work().join("teller/napt.lock")).expect("a lock");
    let place = format!("git = \"{}#{commit}\"", repository.url());
    assert_eq!(lock.matches(&place).count(), 2, "{lock}");
}

// Naptha's defects: C4, C13
#[test]
fn every_layout_is_deployed_from_the_registry_and_from_git() {
    let registry = TestRegistry::start();
    let provider = Provider::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.napt(&["login"]).expect(0);
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    let mut repositories = BTreeMap::new();
    for (name, module_type) in naptha::PROJECTS {
        copy(&naptha::folder(name), &node.sandbox.work().join(name));
        node.napt(&["init", name, "--type", module_type]).expect(0);
        node.napt(&["-C", name, "publish", "--no-verify"]).expect(0);
        let repository = Repository::of_fixture(&node.sandbox.home().join("repositories"), name, "v0.1");
        repositories.insert(format!("{module_type}:{name}"), repository.url());
    }
    let runs = naptha::runs();
    for (module, expected) in &runs {
        node.napt(&["deploy", module]).expect(0);
        naptha::check(&node.user(), module, expected);
    }
    // Where nothing of them is there yet.
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    for (module, expected) in &runs {
        node.napt(&["deploy", module, "--git", &repositories[*module], "--tag", "v0.1"]).expect(0);
        naptha::check(&node.user(), module, expected);
    }
}

/// Registers an agent with the hub as Naptha's users do, with the real SDK: a URL and a tag.
fn register(registry: &TestRegistry, name: &str, url: &str, tag: &str) {
    let key = SecretKey::generate().to_hex();
    let hub = registry.url.join("rpc").expect("a URL").to_string().replacen("http", "ws", 1);
    let sandbox = registry.sandbox();
    let metadata = format!("description='From git' parameters='p' module_url='{url}' module_version={tag}");
    for arguments in [&["signup"][..], &["agents", name, "-c", &metadata]] {
        let mut command = Command::new(with_sdk().with_file_name("naptha"));
        command.args(arguments).current_dir(sandbox.work()).env_clear().env("HOME", sandbox.home());
        command.env("HUB_URL", &hub).env("HUB_USERNAME", "ada").env("HUB_PASSWORD", "pass word 1!");
        command.env("PRIVATE_KEY", &key).env("NODE_URL", "http://localhost:7001");
        expect_success(&mut command);
    }
}

// Naptha's defects: C3, C14
#[test]
fn what_naptha_users_register_is_had_from_where_it_is() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let repository = Repository::of_fixture(&sandbox.home().join("repositories"), "hello_world_agent", "v0.16");
    let first = repository.head();
    let server = GitServer::start(sandbox.home().join("repositories"), Way::Smart);
    let url = format!("{}/hello_world_agent", server.url);
    register(&registry, "hello_world_agent", &url, "v0.16");
    let node = TestNode::start_in(sandbox, &["--open", "--source", &server.url]);
    let inputs = json!({"firstname": "sam", "surname": "smith"});

    // A client deploys it by its name, at any version that fits its tag.
    for spec in ["agent:hello_world_agent", "agent:hello_world_agent@0.16.0"] {
        node.napt(&["deploy", spec]).expect(0);
    }
    let run = node.user().run("agent:hello_world_agent", inputs.clone());
    assert_eq!(run.result.as_deref(), Some("Hello sam smith"), "{:?}", run.error);

    // In a workspace it is pinned by commit: that somebody moves the tag changes nothing.
    let sandbox = &node.sandbox;
    modules::write(sandbox, "teller", "agent:teller", "0.1.0", "");
    sandbox.napt(&["-C", "teller", "add", "agent:hello_world_agent"]).expect(0);
    sandbox.napt(&["-C", "teller", "fetch"]).expect(0);
    assert_eq!(locked(sandbox), first);
    repository.write("hello_world_agent/run.py", "raise RuntimeError('other')\n");
    let moved = repository.commit("other");
    repository.git(&["tag", "--force", "v0.16"]);
    sandbox.napt(&["-C", "teller", "fetch", "--locked"]).expect(0);
    assert_eq!(locked(sandbox), first);
    sandbox.napt(&["-C", "teller", "update"]).expect(0);
    assert_eq!(locked(sandbox), moved);

    // A node that is asked to run what it has not got fetches it itself.
    repository.git(&["tag", "--force", "v0.16", &first]);
    node.napt(&["undeploy", "hello_world_agent"]).expect(0);
    let run = json!({ "do": "run", "module": "agent:hello_world_agent", "inputs": inputs });
    let found = steps(&node.url, &SecretKey::generate(), &json!([run]));
    assert_eq!(found[0]["results"], json!(["Hello sam smith"]), "{found:?}");
}

/// A module that says which version of a package it has, with a lock file of Poetry.
fn locked_module(node: &TestNode, asks: &str, locked: &str, hash: &str) {
    let module = Python { requirements: &[asks], ..Python::new("agent:locked", VERSION) };
    module.write(&node.sandbox);
    let lock = format!(
        "[[package]]\nname = \"iniconfig\"\nversion = \"{locked}\"\nfiles = [{{file = \"x.whl\", hash = \"sha256:{hash}\"}}]\n"
    );
    node.sandbox.write("locked/poetry.lock", lock);
}

const VERSION: &str =
    "from importlib.metadata import version\n\n\ndef run(module_run):\n    return version('iniconfig')\n";

// Naptha's defects: C4
#[test]
fn a_lock_file_binds_and_one_that_is_out_of_date_is_told() {
    let node = TestNode::start(&[]);
    let version = || node.user().run("agent:locked", json!({})).result.expect("a version");
    let good = "b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374";
    // Other bytes than those that were locked.
    locked_module(&node, "iniconfig>=2", "2.0.0", &"0a".repeat(32));
    let ran = node.napt(&["deploy", "locked", "--no-verify"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("Hash mismatch"), "{}", ran.stderr);
    locked_module(&node, "iniconfig>=2", "2.0.0", good);
    let ran = node.napt(&["deploy", "locked", "--no-verify"]).expect(0);
    assert!(!ran.stderr.contains("out of date"), "{}", ran.stderr);
    assert_eq!(version(), "2.0.0");
    // What the module asks for is newer than its lock; so it is said, each time.
    for version in ["0.1.1", "0.1.2"] {
        locked_module(&node, "iniconfig>=2.1", "2.0.0", good);
        let manifest = node.sandbox.work().join("locked/napt.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest").replace("0.1.0", version);
        fs::write(manifest, text).expect("a manifest");
        let ran = node.napt(&["deploy", "locked", "--no-verify"]).expect(0);
        assert!(ran.stderr.contains("`poetry.lock` is out of date, and was not followed"), "{}", ran.stderr);
    }
    assert_ne!(version(), "2.0.0");
}

// Naptha's defects: B3, C14
#[test]
fn git_of_a_node_gets_nothing_of_its_environment() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    sandbox.set("NODE_SECRET", "of the operator");
    // A git that tells what it is given.
    let told = sandbox.home().join("told");
    let bin = sandbox.home().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let git = bin.join("git");
    fs::write(&git, format!("#!/bin/sh\nenv >> {0}\necho \"$@\" >> {0}\nexit 1\n", told.display())).expect("a program");
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").expect("a path");
    sandbox.set("PATH", &format!("{}:{path}", bin.display()));
    register(&registry, "hello", "http://127.0.0.1:9/hello", "v1");
    let node = TestNode::start_in(sandbox, &["--open", "--source", "http://127.0.0.1:9/"]);
    let run = json!({ "do": "run", "module": "agent:hello", "inputs": {} });
    let found = steps(&node.url, &SecretKey::generate(), &json!([run]));
    assert!(found[0]["error"].as_str().is_some_and(|told| told.contains("git cannot fetch")), "{found:?}");
    let told = fs::read_to_string(told).expect("git was called");
    assert!(told.contains("GIT_TERMINAL_PROMPT=0") && told.contains(" -- http://127.0.0.1:9/hello"), "{told}");
    assert!(!told.contains("NODE_SECRET") && !told.contains("NAPT_"), "{told}");
}
