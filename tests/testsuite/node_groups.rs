//! Control groups: whatever runs strangers' code is bounded together with all that it starts, and ends by it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use napt::wire::RunStatus;
use serde_json::json;

use crate::support::{
    Sandbox,
    index::Index,
    modules::Python,
    node::{TestNode, own_cache},
    processes::{called_with, soon, working_in},
    rust::Rust,
};

const SHARED: &str = "[limits]\nisolation = \"shared\"\n";

/// Waits when it is told to, and takes memory that no limit of a process counts.
const MODULE: &str = r#"
import mmap, os, time

def take(size):
    taken = mmap.mmap(-1, size)
    for at in range(0, size, 4096):
        taken[at] = 1

def run(module_run):
    inputs = module_run["inputs"]
    print("ready", flush=True)
    if "take" in inputs:
        for _ in range(inputs.get("children", 0)):
            if os.fork() == 0:
                take(inputs["take"])
                time.sleep(3600)
        if "children" not in inputs:
            take(inputs["take"])
    until = time.process_time() + inputs.get("spin", 0)
    while time.process_time() < until:
        pass
    if inputs.get("wait"):
        time.sleep(3600)
    return "fine"
"#;

/// The same in Rust.
const WAITING: &str = r#"
fn run(_run: &napt::Run) -> napt::Result<serde_json::Value> {
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(3600));
    Ok(serde_json::Value::Null)
}
"#;

/// The name of the group that a process is in, of a node's.
fn group_of(process: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut groups = paths.filter_map(|path| path.split('/').skip_while(|name| !name.starts_with("napt-")).nth(1));
    groups.next().map(str::to_owned)
}

/// The names of the groups of a node.
fn groups(node: &TestNode) -> Vec<String> {
    let id = node.facts["id"].as_str().expect("an id");
    let place = format!("napt-{}", &id.split_once(':').expect("`node:`").1[..16]);
    let mut names: Vec<String> = Vec::new();
    for place in folders(Path::new("/sys/fs/cgroup"), &place) {
        let entries = fs::read_dir(place).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
        names.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    names.sort();
    names.dedup();
    names
}

/// Folders of this name, at any depth.
fn folders(below: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    let (mut found, mut rest) =
        (Vec::new(), entries.filter(|path| path.is_dir() && !path.is_symlink()).collect::<Vec<_>>());
    while let Some(folder) = rest.pop() {
        if folder.file_name().is_some_and(|own| own == name) {
            found.push(folder);
            continue;
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        rest.extend(entries.filter(|path| path.is_dir() && !path.is_symlink()));
    }
    found
}

#[test]
fn whatever_runs_modules_is_in_a_group_and_goes_with_it() {
    let mut node = TestNode::start(&["--allow-shared"]);
    if !node.has_groups() {
        return;
    }
    node.deploy(&Python::new("agent:forked", MODULE));
    node.deploy(&Python { more: SHARED, ..Python::new("agent:shared", MODULE) });
    Rust::new("agent:built", WAITING).write(&node.sandbox);
    node.napt(&["deploy", "built", "--no-verify"]).expect(0);
    let user = node.user();
    for module in ["agent:forked", "agent:shared", "agent:built"] {
        let run = user.start(module, json!({ "wait": true }));
        user.line(&run.id, "ready");
    }
    let working = working_in(&node.data()).into_iter().filter(|id| Path::new(&format!("/proc/{id}/cgroup")).exists());
    let mut names: Vec<String> = working
        .filter_map(|process| match group_of(process) {
            // It has just ended, as one that waited for a run.
            None if !Path::new(&format!("/proc/{process}")).exists() => None,
            group => Some(group.unwrap_or_else(|| format!("{process} is in none"))),
        })
        .collect();
    names.sort();
    names.dedup();
    // Of a parent, a fork server and a shared interpreter; and of those that are a run, or wait for one.
    let (of_interpreters, of_runs): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| name.starts_with("interpreter-"));
    assert_eq!(of_interpreters.len(), 3, "{names:?}");
    assert!(of_runs.len() >= 2 && of_runs.iter().all(|name| name.starts_with("run-")), "{names:?}");

    // What a killed node has left, its next start removes.
    node.kill();
    let left = groups(&node);
    assert!(of_interpreters.iter().all(|name| left.contains(name)), "{left:?}");
    node.restart();
    assert!(groups(&node).iter().all(|name| !name.starts_with("run-")), "{:?}", groups(&node));
    assert_eq!(user.run("agent:forked", json!({})).result.as_deref(), Some("fine"));
    assert!(groups(&node).iter().any(|name| name.starts_with("interpreter-")));
    // One that is told to end leaves none.
    node.signal("TERM");
    node.ended();
    assert_eq!(groups(&node), [] as [&str; 0]);
}

#[test]
fn a_group_serves_one_run_after_another_and_each_has_its_own_bounds() {
    let node = TestNode::start(&[]);
    if !node.has_groups() {
        return;
    }
    let small = "[limits]\nmemory = \"64MiB\"\ncpu = \"2s\"\n";
    node.deploy(&Python { more: small, ..Python::new("agent:small", MODULE) });
    node.deploy(&Python::new("agent:large", MODULE));
    let user = node.user();
    let much = json!({ "take": 150 << 20 });
    for _ in 0..4 {
        let run = user.run("agent:small", json!({ "spin": 0.8 }));
        assert_eq!(run.result.as_deref(), Some("fine"), "what others have used is not its: {:?}", run.error);
        let run = user.run("agent:large", much.clone());
        assert_eq!(run.result.as_deref(), Some("fine"), "it may have more: {:?}", run.error);
        let run = user.run("agent:small", much.clone());
        assert_eq!(run.error.as_deref(), Some("memory limit of 64 MiB reached"), "{:?}", run.result);
    }
    // Each new one has a number of its own.
    let made = || {
        let numbers = groups(&node).into_iter().filter_map(|name| name.strip_prefix("run-")?.parse::<u32>().ok());
        numbers.max().unwrap_or_default()
    };
    let before = made();
    for _ in 0..16 {
        assert_eq!(user.run("agent:large", json!({})).result.as_deref(), Some("fine"));
    }
    assert!(made() <= before + 4, "{before}, then {}", made());
}

#[test]
fn a_shared_interpreter_that_takes_too_much_memory_ends_with_its_runs() {
    let node = TestNode::start(&["--allow-shared", "--limit", "memory=192MiB"]);
    if !node.has_groups() {
        return;
    }
    node.deploy(&Python { more: SHARED, ..Python::new("agent:shared", MODULE) });
    let user = node.user();
    let told = "the module's interpreter was ended, and the run with it: memory limit of 192 MiB reached";
    for inputs in
        [json!({ "take": 400 << 20, "wait": true }), json!({ "take": 100 << 20, "children": 4, "wait": true })]
    {
        let run = user.run("agent:shared", inputs.clone());
        assert_eq!((run.status, run.error.as_deref()), (RunStatus::Error, Some(told)), "{inputs}");
        assert_eq!(user.run("agent:shared", json!({})).result.as_deref(), Some("fine"), "in a fresh one");
    }
}

#[test]
fn a_parent_whose_imports_take_too_much_memory_is_told() {
    let index = Index::start();
    let code =
        "import mmap\n\ntaken = mmap.mmap(-1, 400 << 20)\nfor at in range(0, 400 << 20, 4096):\n    taken[at] = 1\n";
    index.wheel("greedy", "1.0", &[("greedy.py", code)]);
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    sandbox.set("UV_DEFAULT_INDEX", &index.url());
    let node = TestNode::start_in(sandbox, &["--limit", "memory=192MiB"]);
    if !node.has_groups() {
        return;
    }
    let run = "import greedy\n\ndef run(module_run):\n    return 'never'\n";
    Python { requirements: &["greedy"], ..Python::new("agent:user", run) }.write(&node.sandbox);
    let failed = node.napt(&["deploy", "user", "--no-verify"]);
    assert_ne!(failed.code, Some(0));
    let told = "the module's Python interpreter was ended: memory limit of 192 MiB reached";
    assert!(failed.stderr.contains(told), "{}", failed.stderr);
}

#[test]
fn the_programs_of_a_build_are_bounded_together() {
    let index = Index::start();
    let mut sandbox = Sandbox::new();
    own_cache(&mut sandbox);
    sandbox.set("UV_DEFAULT_INDEX", &index.url());
    let node = TestNode::start_in(sandbox, &[]);
    if !node.has_groups() {
        return;
    }
    // It waits for somebody to end what it has started, as often as it is called.
    let marker = format!("{}.25", 80_000 + std::process::id() % 10_000);
    index.source("waits", "1.0", &format!("import subprocess\nreturn subprocess.call(['sleep', '{marker}'])"));
    let run = "import waits\n\ndef run(module_run):\n    return str(waits.FOUND)\n";
    Python { requirements: &["waits"], ..Python::new("agent:waits", run) }.write(&node.sandbox);
    let mut seen = Vec::new();
    let deployed = std::thread::scope(|scope| {
        let deployed = scope.spawn(|| node.napt(&["deploy", "waits", "--no-verify"]));
        soon("it is built", || {
            for process in called_with(&marker) {
                seen.push(group_of(process));
                let process = rustix::process::Pid::from_raw(process.cast_signed()).expect("its number");
                // It may just have ended.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
            deployed.is_finished()
        });
        deployed.join().expect("an end")
    });
    deployed.expect(0);
    let is_of_install = |group: &Option<String>| group.as_ref().is_none_or(|name| name.starts_with("install-"));
    assert!(seen.iter().any(Option::is_some) && seen.iter().all(is_of_install), "{seen:?}");
    assert!(groups(&node).iter().all(|name| !name.starts_with("install-")), "{:?}", groups(&node));

    // Five of them take as much as one may, and a quarter more.
    let many = "import time\nfor _ in range(5):\n    if os.fork() == 0:\n        taken = b'x' * (1 << 30)\n        \
                time.sleep(3600)\nos.wait()\ntime.sleep(3600)";
    index.source("many", "1.0", many);
    Python { requirements: &["many"], ..Python::new("agent:many", run) }.write(&node.sandbox);
    let failed = node.napt(&["deploy", "many", "--no-verify"]).expect(1);
    assert!(failed.stderr.contains("memory limit of 4.0 GiB reached"), "{}", failed.stderr);
    assert_eq!(working_in(&node.sandbox.home().join("cache")).len(), 0);
}
