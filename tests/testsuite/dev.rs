//! The loop of a module author: save, and the next answer is new.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Ran, Sandbox,
    dev::TestDev,
    gate::{Gate, IS_OPEN},
    modules, node,
    processes::{soon, working_in},
    registry::TestRegistry,
    rust::write_bare,
    wait_for,
};

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &node::cache());
    sandbox
}

/// A workspace `w` with one agent, which answers with what is in `a/words.py`.
fn workspace() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("w/napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n");
    agent(&sandbox, "a", "def run(module_run):\n    from a.words import WORD\n    return WORD\n");
    say(&sandbox, "one");
    sandbox
}

fn agent(sandbox: &Sandbox, name: &str, run: &str) {
    modules::write_python(sandbox, &format!("w/modules/{name}"), &format!("agent:{name}"), run, "");
    let project = format!("[project]\nname = \"{name}\"\nversion = \"0.1.0\"\nrequires-python = \">=3.10,<3.13\"\n");
    sandbox.write(format!("w/modules/{name}/pyproject.toml"), project);
}

fn say(sandbox: &Sandbox, word: &str) -> PathBuf {
    sandbox.write("w/modules/a/a/words.py", format!("WORD = \"{word}\"\n"))
}

/// Runs a module from within the workspace, as from another terminal.
#[track_caller]
fn answer(sandbox: &Sandbox, module: &str) -> String {
    let ran = sandbox.napt(&["-C", "w", "run", module]).expect(0);
    ran.stdout.trim().to_owned()
}

/// The live revisions, by deployment.
fn revisions(sandbox: &Sandbox) -> Vec<(String, u64)> {
    let status = sandbox.napt(&["-C", "w", "status", "--message-format", "json"]).expect(0).json();
    let list = status["data"]["deployments"].as_array().expect("a list").clone();
    let revision = |deployment: &Value| {
        let name = deployment["name"].as_str().expect("a name").to_owned();
        (name, deployment["revision"].as_u64().expect("a number"))
    };
    list.iter().map(revision).collect()
}

#[test]
fn code_prompt_and_configuration_answer_anew_and_the_last_good_version_stays() {
    let sandbox = sandbox();
    sandbox.napt(&["new", "orchestrator", "debate", "--yes", "--set", "rounds=1"]).expect(0);
    let mut dev = TestDev::start(&sandbox, "debate", &[]);
    let run = || sandbox.napt(&["-C", "debate/modules/debate_agent", "run", "orchestrator:debate", "-p", "prompt=Hm."]);
    let edit = |path: &str, from: &str, to: &str| {
        let path = format!("debate/modules/{path}");
        let text = std::fs::read_to_string(sandbox.work().join(&path)).expect("a file");
        assert!(text.contains(from), "{path}: {text}");
        sandbox.write(&path, text.replacen(from, to, 1));
    };
    assert!(run().expect(0).stdout.contains("in one plain sentence."));

    edit("debate/debate/configs/agent_deployments.json", "in one plain sentence.", "in a song.");
    dev.until("Reloaded orchestrator:debate ");
    assert!(run().expect(0).stdout.contains("in a song."));

    edit("debate_agent/debate_agent/run.py", "return f\"{inputs.prompt} {point}\"", "return f\"First: {point}\"");
    dev.until("Reloaded agent:debate_agent ");
    assert!(run().expect(0).stdout.contains("First: Let us begin"));

    edit("debate/debate/configs/deployment.json", "\"max_rounds\": 1", "\"max_rounds\": 2");
    dev.until("Reloaded orchestrator:debate ");
    assert_eq!(run().expect(0).stdout.matches("speaker").count(), 4);

    edit("debate_agent/debate_agent/run.py", "import re\n", "import re, (\n");
    let told = dev.until("Keeping").join("\n");
    assert!(told.contains("error[python-syntax]") && told.contains("debate_agent/run.py:"), "{told}");
    assert!(told.ends_with("Keeping revision 4 of `debate`"), "{told}");
    assert!(run().expect(0).stdout.contains("First: Let us begin"));

    edit("debate_agent/debate_agent/run.py", "import re, (\n", "import re\nimport no_such_thing\n");
    let told = dev.until("Keeping").join("\n");
    assert!(told.contains("ModuleNotFoundError: No module named 'no_such_thing'"), "{told}");
    assert!(told.contains("File \"debate_agent/run.py\", line "), "{told}");
    assert!(run().expect(0).stdout.contains("First: Let us begin"));

    edit("debate_agent/debate_agent/run.py", "import no_such_thing\n", "import string\n");
    assert_eq!(dev.until("Reloaded")[..1], ["Mended what was wrong"]);
    assert!(run().expect(0).stdout.contains("First: Let us begin"));
    assert_eq!(dev.end(Signal::INT).0, Some(0));
}

#[test]
fn a_run_that_has_begun_keeps_its_code() {
    let sandbox = workspace();
    let gate = Gate::new();
    let code = format!(
        "{IS_OPEN}\nimport time\n\ndef run(module_run):\n    print('begun', flush=True)\n    \
         while not is_open({:?}):\n        time.sleep(0.01)\n    from a.words import WORD\n    return WORD\n",
        gate.name()
    );
    agent(&sandbox, "a", &code);
    let mut dev = TestDev::start(&sandbox, "w", &[]);
    let id = sandbox.napt(&["-C", "w", "run", "agent:a", "--detach"]).expect(0).stdout.trim().to_owned();
    let view = || sandbox.napt(&["-C", "w", "status", &id, "--message-format", "json"]).expect(0).json();
    wait_for("the run's begin", || {
        sandbox.napt(&["-C", "w", "logs", &id]).expect(0).stdout.contains("begun").then_some(())
    });
    say(&sandbox, "two");
    dev.until("Reloaded agent:a ");
    gate.open();
    assert_eq!(answer(&sandbox, "agent:a"), "two");
    let old = wait_for("the run's end", || {
        let run = view()["data"]["run"].clone();
        (run["status"] == "completed").then_some(run)
    });
    assert_eq!(old["result"], "one");
}

#[test]
fn what_is_no_change_changes_nothing() {
    let sandbox = workspace();
    sandbox.write("w/modules/a/.gitignore", "*.log\nout/\n");
    let mut dev = TestDev::start(&sandbox, "w", &[]);
    let words = say(&sandbox, "one");
    let text = std::fs::read(&words).expect("a file");
    // Only touched.
    let file = std::fs::File::options().write(true).open(&words).expect("a file");
    file.set_modified(std::time::SystemTime::now()).expect("a time");
    // As an editor saves that keeps a backup meanwhile, with what Vim and Emacs leave beside it.
    let backup = words.with_file_name("words.py~");
    std::fs::rename(&words, &backup).expect("renamed");
    std::fs::write(&words, &text).expect("written");
    std::fs::remove_file(&backup).expect("removed");
    sandbox.write("w/modules/a/a/.words.py.swp", "swap");
    sandbox.write("w/modules/a/a/#words.py#", "auto save");
    std::os::unix::fs::symlink("somebody@host.1", words.with_file_name(".#words.py")).expect("a link");
    // As an editor saves that replaces the file in one step.
    let new = sandbox.write("w/modules/a/a/words.py.swx", &text);
    std::fs::rename(new, &words).expect("renamed");
    // What napt writes, and what modules and tools write beside their source.
    sandbox.napt(&["-C", "w/modules/a", "package"]).expect(0);
    sandbox.napt(&["-C", "w", "check"]).expect(0);
    for path in ["modules/a/run.log", "modules/a/out/x.py", "modules/a/a/__pycache__/x.pyc", "target/x.py", "out.txt"] {
        sandbox.write(format!("w/{path}"), "output");
    }
    assert_eq!(answer(&sandbox, "agent:a"), "one");
    say(&sandbox, "two");
    let told = dev.until("Reloaded");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(revisions(&sandbox), [("a".to_owned(), 2)]);
    assert_eq!(dev.end(Signal::INT).1, ["Stopping the servers"]);
}

#[test]
fn an_error_is_told_once() {
    let sandbox = workspace();
    // Each turn of the loop tells its steps.
    let mut dev = TestDev::start(&sandbox, "w", &["-v"]);
    sandbox.write("w/modules/a/a/words.py", "WORD = (\n");
    dev.until("Keeping revision 1 of `a`");
    sandbox.write("w/modules/a/a/other.py", "X = 1\n");
    let mut told = dev.until("Checked");
    say(&sandbox, "two");
    told.extend(dev.until("Reloaded agent:a"));
    told.retain(|line| !line.contains(" ms  "));
    assert_eq!(told[..told.len() - 1], ["Mended what was wrong"], "{told:?}");
    // Another error is another matter.
    sandbox.write("w/modules/a/a/words.py", "WORD = [\n");
    dev.until("Keeping revision 2 of `a`");
}

#[test]
fn modules_come_and_go() {
    let sandbox = workspace();
    let mut dev = TestDev::start(&sandbox, "w", &[]);
    agent(&sandbox, "b", "def run(module_run):\n    return 'b'\n");
    dev.until("Deployed agent:b as `b`, revision 1");
    assert_eq!(answer(&sandbox, "agent:b"), "b");
    // A folder that is replaced is followed like any other.
    std::fs::remove_dir_all(sandbox.work().join("w/modules/b")).expect("removed");
    dev.until("Removed agent:b");
    dev.until("Undeployed `b`");
    assert_eq!(revisions(&sandbox).len(), 1);
    agent(&sandbox, "b", "def run(module_run):\n    return 'B'\n");
    dev.until("agent:b");
    wait_for("the new answer", || (answer(&sandbox, "agent:b") == "B").then_some(()));
    // A manifest that cannot be read stops nothing.
    let manifest = std::fs::read_to_string(sandbox.work().join("w/modules/b/napt.toml")).expect("a manifest");
    sandbox.write("w/modules/b/napt.toml", "[module\n");
    let told = dev.until("modules/b/napt.toml").join("\n");
    assert!(told.contains("error["), "{told}");
    assert_eq!(answer(&sandbox, "agent:b"), "B");
    sandbox.write("w/modules/b/napt.toml", manifest.replace("0.1.0", "0.2.0"));
    dev.until("Reloaded agent:b ");
    let status = sandbox.napt(&["-C", "w", "status", "--message-format", "json"]).expect(0).json();
    assert!(status.to_string().contains("\"version\":\"0.2.0\""), "{status}");
    // The hidden folder that it is made in comes and goes, of which nobody need hear.
    sandbox.napt(&["-C", "w/modules", "new", "persona", "c", "--yes", "--in", "."]).expect(0);
    let told = dev.until("Deployed persona:c").join("\n");
    assert!(!told.contains("WARN"), "{told}");
}

#[test]
fn what_went_while_nobody_watched_is_undeployed_and_what_others_deployed_stays() {
    let sandbox = workspace();
    agent(&sandbox, "b", "def run(module_run):\n    return 'b'\n");
    let dev = TestDev::start(&sandbox, "w", &[]);
    sandbox.napt(&["-C", "w", "deploy", "--module", "agent:b", "--name", "mine"]).expect(0);
    assert_eq!(dev.end(Signal::INT).0, Some(0));
    std::fs::remove_dir_all(sandbox.work().join("w/modules/b")).expect("removed");
    let mut dev = TestDev::begin(&sandbox, "w", &[]);
    let told = dev.until("Watching");
    assert_eq!(told.iter().filter(|line| line.contains("ndeployed")).collect::<Vec<_>>(), ["Undeployed `b`"]);
    let mut names: Vec<String> = revisions(&sandbox).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["a", "mine"]);
    // It is told once.
    assert_eq!(dev.end(Signal::INT).0, Some(0));
    let told = TestDev::begin(&sandbox, "w", &[]).until("Watching").join("\n");
    assert!(!told.contains("Undeployed"), "{told}");
}

#[test]
fn a_changed_env_file_is_checked_and_nothing_is_deployed() {
    let sandbox = workspace();
    sandbox.write("w/napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n\n[lints]\nmissing-variable = \"deny\"\n");
    let config = "[{\"name\": \"a\", \"config\": {\"system_prompt\": {\"key\": \"${MY_KEY}\"}}}]\n";
    sandbox.write("w/modules/a/a/configs/deployment.json", config);
    sandbox.write("w/.env", "MY_KEY=first\n");
    let mut dev = TestDev::start(&sandbox, "w", &[]);
    sandbox.write("w/.env", "OTHER=1\n");
    dev.until("error[missing-variable]: `MY_KEY` is not set");
    sandbox.write("w/.env", "MY_KEY=second\n");
    let told = dev.until("Mended");
    assert!(!told.iter().any(|line| line.contains("Reloaded")), "{told:?}");
    assert_eq!(revisions(&sandbox), [("a".to_owned(), 1)]);
}

#[test]
fn changes_are_found_where_the_system_does_not_tell_of_them() {
    let sandbox = workspace();
    let mut dev = TestDev::start(&sandbox, "w", &["--poll"]);
    say(&sandbox, "two");
    dev.until("Reloaded agent:a ");
    assert_eq!(answer(&sandbox, "agent:a"), "two");
}

#[test]
fn every_way_to_end_it_leaves_no_process() {
    let sandbox = workspace();
    agent(&sandbox, "a", "import time\n\ndef run(module_run):\n    print('begun', flush=True)\n    time.sleep(600)\n");
    let data = sandbox.work().join("w/.napt/dev");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dev = TestDev::start(&sandbox, "w", &[]);
        let id = sandbox.napt(&["-C", "w", "run", "agent:a", "--detach"]).expect(0).stdout.trim().to_owned();
        wait_for("the run's begin", || {
            sandbox.napt(&["-C", "w", "logs", &id]).expect(0).stdout.contains("begun").then_some(())
        });
        assert!(working_in(&data).len() >= 2, "a parent and a run");
        let (code, told) = dev.end(signal);
        assert_eq!((code, told), (Some(0), vec!["Stopping the servers".to_owned()]), "{signal:?}");
        soon("no process is left", || working_in(&data).is_empty());
        assert!(!data.join("dev.json").exists());
    }
}

#[test]
fn others_find_it_as_long_as_it_runs_and_there_is_one_at_a_time() {
    let sandbox = workspace();
    sandbox.write("w/.napt/config.toml", "node = \"http://127.0.0.1:1\"\n");
    let nobody = |ran: Ran| assert!(ran.stderr.contains("http://127.0.0.1:1/"), "{}", ran.stderr);
    let run = |folder: &str| sandbox.napt(&["-C", folder, "run", "agent:a"]);
    nobody(run("w").expect(4));
    let dev = TestDev::start(&sandbox, "w", &[]);
    let file = sandbox.work().join("w/.napt/dev/dev.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(run("w/modules/a/a").expect(0).stdout, "one\n");
    let second = sandbox.napt(&["-C", "w", "dev"]).expect(6);
    let message = format!("error: `napt dev` is running for this workspace already (process {})", dev.pid());
    assert!(second.stderr.starts_with(&message), "{}", second.stderr);
    // What a killed one leaves behind is not believed.
    dev.end(Signal::KILL);
    assert!(file.exists());
    nobody(run("w").expect(4));
    // The next one goes on with what there was, unless it is told not to.
    let runs =
        || sandbox.napt(&["-C", "w", "runs", "--message-format", "json"]).expect(0).json()["data"]["runs"].clone();
    let dev = TestDev::start(&sandbox, "w", &[]);
    assert_eq!(runs().as_array().map(Vec::len), Some(1));
    dev.end(Signal::INT);
    let _dev = TestDev::start(&sandbox, "w", &["--fresh"]);
    assert_eq!(runs().as_array().map(Vec::len), Some(0));
    assert_eq!(revisions(&sandbox), [("a".to_owned(), 1)]);
}

#[test]
fn what_is_not_in_the_workspace_comes_from_its_registry_or_the_one_that_is_named() {
    let registry = TestRegistry::start();
    let sandbox = workspace();
    modules::write(&sandbox, "elsewhere", "tool:hammer", "0.1.0", "");
    let manifest = sandbox.work().join("w/modules/a/napt.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let needs =
        || std::fs::write(&manifest, format!("{text}[dependencies]\n\"tool:hammer\" = \"^0.1\"\n")).expect("written");
    for flags in [&[][..], &["--registry", registry.url.as_str()]] {
        std::fs::write(&manifest, &text).expect("a manifest");
        let mut dev = TestDev::begin(&sandbox, "w", flags);
        let listening = dev.until("Listening").pop().expect("a line");
        let (_, url) = listening.rsplit_once(' ').expect("a URL");
        assert_eq!(url == registry.url.as_str().trim_end_matches('/'), !flags.is_empty(), "{listening}");
        dev.until("Watching");
        needs();
        dev.until("tool:hammer");
        for command in [&["login"][..], &["publish", "--no-verify"]] {
            sandbox.napt(&[&["-C", "elsewhere"], command, &["--registry", url]].concat()).expect(0);
        }
        sandbox.write("w/modules/a/a/more.py", format!("X = {}\n", flags.len()));
        dev.until("Reloaded agent:a");
        assert_eq!(answer(&sandbox, "agent:a"), "one");
        dev.end(Signal::INT);
        std::fs::remove_file(sandbox.work().join("w/napt.lock")).expect("a lock file");
    }
}

/// A module in Rust that needs no crates: it answers its one frame.
const QUICK: &str = r##"
use std::io::{Read, Write};
use std::os::{fd::AsFd, unix::net::UnixStream};

fn main() {
    let mut channel = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut length = [0; 4];
    channel.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    channel.read_exact(&mut frame).unwrap();
    let is_import = String::from_utf8_lossy(&frame).contains(r#""module_run":null"#);
    let result = if is_import { "{}" } else { "one" };
    let answer = format!(r#"{{"op": "result", "ok": true, "result": "{result}"}}"#);
    channel.write_all(&(answer.len() as u32).to_be_bytes()).unwrap();
    channel.write_all(answer.as_bytes()).unwrap();
}
"##;

#[test]
fn a_rust_module_is_built_anew_and_what_does_not_compile_changes_nothing() {
    let sandbox = sandbox();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"quick\"]\n");
    write_bare(&sandbox, "agent:quick", QUICK);
    let mut dev = TestDev::start(&sandbox, ".", &[]);
    let answer = || sandbox.napt(&["run", "agent:quick"]).expect(0).stdout.trim().to_owned();
    assert_eq!(answer(), "one");
    let save = |text: &str| sandbox.write("quick/src/main.rs", text);
    save(&QUICK.replace("\"one\"", "\"two\""));
    assert!(dev.until("Reloaded agent:quick ").iter().any(|line| line == "Building the Rust of agent:quick"));
    assert_eq!(answer(), "two");

    save(&QUICK.replace("\"one\"", "3"));
    let told = dev.until("Keeping").join("\n");
    assert!(told.contains("error[E0308]") && told.contains("--> src/main.rs:12:"), "{told}");
    assert!(told.ends_with("Keeping revision 2 of `quick`"), "{told}");
    assert_eq!(answer(), "two");

    // What `cargo` writes beside the source is no change.
    sandbox.write("quick/target/debug/quick.d", "output");
    save(&QUICK.replace("\"one\"", "\"three\""));
    let told = dev.until("Reloaded agent:quick ");
    assert_eq!(
        told.iter().filter(|line| line.starts_with("Mended") || line.starts_with("Reloaded")).count(),
        2,
        "{told:?}"
    );
    assert_eq!(answer(), "three");
    assert_eq!(dev.end(Signal::INT).0, Some(0));
}
