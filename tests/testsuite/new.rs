//! `napt new`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use napt::{
    module::{Runtime, Workspace},
    report::Silent,
    scaffold::{Ask, NewOptions, Variable, new_project},
};
use snapbox::{assert_data_eq, str};

use crate::support::{
    Sandbox,
    python::{self, expect_success},
    terminal,
};

const AUTHOR: &str = "author=Ada <ada@example.org>";

/// All names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

/// All files below a folder but those of git, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(folder).into_iter().filter(|name| name != ".git") {
        let path = folder.join(name);
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// As the test reads them: relative, one a line.
fn listing(folder: &Path) -> String {
    let line = |path: &PathBuf| format!("{}\n", path.strip_prefix(folder).expect("below").display());
    files(folder).iter().map(line).collect()
}

#[test]
fn an_orchestrator_is_a_workspace_of_three_modules() {
    let sandbox = Sandbox::new();
    let ran = sandbox.napt(&["new", "orchestrator", "debate", "--set", AUTHOR]).expect(0);
    assert_eq!(ran.stdout, "");
    assert_data_eq!(
        ran.stderr,
        str![[r#"
     Created orchestrator `debate` in `debate`

next:
  cd debate
  napt check
  napt deploy
  napt run orchestrator:debate -p "prompt='Should we meet in the forest?'"

"#]]
    );
    assert_data_eq!(
        listing(&sandbox.work().join("debate")),
        str![[r#"
.gitignore
.napt/schemas/deployments.json
.napt/schemas/llm_configs.json
.napt/schemas/lock.json
.napt/schemas/manifest.json
.napt/template.toml
.vscode/settings.json
README.md
modules/debate/README.md
modules/debate/debate/__init__.py
modules/debate/debate/configs/agent_deployments.json
modules/debate/debate/configs/deployment.json
modules/debate/debate/configs/kb_deployments.json
modules/debate/debate/configs/llm_configs.json
modules/debate/debate/run.py
modules/debate/debate/schemas.py
modules/debate/napt.toml
modules/debate/pyproject.toml
modules/debate/tests/__init__.py
modules/debate/tests/test_run.py
modules/debate_agent/README.md
modules/debate_agent/debate_agent/__init__.py
modules/debate_agent/debate_agent/configs/deployment.json
modules/debate_agent/debate_agent/configs/llm_configs.json
modules/debate_agent/debate_agent/run.py
modules/debate_agent/debate_agent/schemas.py
modules/debate_agent/napt.toml
modules/debate_agent/pyproject.toml
modules/debate_agent/tests/__init__.py
modules/debate_agent/tests/test_run.py
modules/debate_kb/README.md
modules/debate_kb/debate_kb/__init__.py
modules/debate_kb/debate_kb/configs/deployment.json
modules/debate_kb/debate_kb/run.py
modules/debate_kb/debate_kb/schemas.py
modules/debate_kb/napt.toml
modules/debate_kb/pyproject.toml
modules/debate_kb/tests/__init__.py
modules/debate_kb/tests/test_run.py
napt.toml

"#]]
    );
    assert_data_eq!(
        std::fs::read_to_string(sandbox.work().join("debate/modules/debate/napt.toml")).expect("a manifest"),
        str![[r##"
#:schema ../../.napt/schemas/manifest.json

[module]
type = "orchestrator"
name = "debate"
authors = ["Ada <ada@example.org>"]

[dependencies]
"agent:debate_agent" = { path = "../debate_agent", version = "0.1.0" }
"kb:debate_kb" = { path = "../debate_kb", version = "0.1.0" }

[limits]
timeout = "10m"

"##]]
    );
    assert_data_eq!(
        std::fs::read_to_string(sandbox.work().join("debate/.napt/template.toml")).expect("a record"),
        str![[r#"
template = "orchestrator"
version = "0.1.0"

[answers]
author = "Ada <ada@example.org>"
description = "Two agents talk in turns, and a knowledge base keeps what they say"
model = "echo"
rounds = 5

"#]]
    );
}

#[test]
fn agents_and_knowledge_bases_are_projects_of_one_module() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "agent", "chat"]).expect(0);
    sandbox.napt(&["new", "kb", "notes"]).expect(0);
    assert_data_eq!(
        listing(&sandbox.work()),
        str![[r#"
chat/.gitignore
chat/.napt/schemas/deployments.json
chat/.napt/schemas/llm_configs.json
chat/.napt/schemas/lock.json
chat/.napt/schemas/manifest.json
chat/.napt/template.toml
chat/.vscode/settings.json
chat/README.md
chat/chat/__init__.py
chat/chat/configs/deployment.json
chat/chat/configs/llm_configs.json
chat/chat/run.py
chat/chat/schemas.py
chat/napt.toml
chat/pyproject.toml
chat/tests/__init__.py
chat/tests/test_run.py
notes/.gitignore
notes/.napt/schemas/deployments.json
notes/.napt/schemas/llm_configs.json
notes/.napt/schemas/lock.json
notes/.napt/schemas/manifest.json
notes/.napt/template.toml
notes/.vscode/settings.json
notes/README.md
notes/napt.toml
notes/notes/__init__.py
notes/notes/configs/deployment.json
notes/notes/run.py
notes/notes/schemas.py
notes/pyproject.toml
notes/tests/__init__.py
notes/tests/test_run.py

"#]]
    );
}

/// Every choice of every template, and texts that would break a careless template.
fn variants() -> Vec<(&'static str, Vec<String>)> {
    let nasty = r#"a "b" \ 'c' {{name}} {% """ é 🦀 # "#;
    let mut variants = vec![("kb", vec![]), ("kb", vec![format!("description={nasty}"), format!("author={nasty}")])];
    for model in ["echo", "openai", "ollama"] {
        variants.push(("agent", vec![format!("model={model}")]));
        variants.push(("orchestrator", vec![format!("model={model}"), "rounds=1000".to_owned()]));
    }
    variants.push(("agent", vec![format!("role={nasty}"), format!("description={nasty}"), format!("author={nasty}")]));
    variants
        .push(("orchestrator", vec![format!("description={nasty}"), format!("author={nasty}"), "author=".to_owned()]));
    variants
}

#[test]
fn whatever_is_chosen_the_project_is_well_formed() {
    for (template, values) in variants() {
        let sandbox = Sandbox::new();
        let mut arguments = vec!["new", template, "debate"];
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        sandbox.napt(&arguments).expect(0);

        let root = sandbox.work().join("debate");
        let workspace = Workspace::discover(&root).unwrap_or_else(|error| panic!("{template} {values:?}: {error}"));
        assert_eq!(workspace.members.len(), if template == "orchestrator" { 3 } else { 1 });
        for project in &workspace.members {
            let manifest = &project.manifest;
            assert_eq!(manifest.runtime, Runtime::Python);
            assert_eq!(manifest.version.to_string(), "0.1.0");
            assert!(project.package_dir().join(&manifest.entrypoint).is_file());
            for id in manifest.dependencies.keys() {
                let folder = project.dependency_path(id).expect("a path");
                let member = workspace.member(id).unwrap_or_else(|| panic!("{id} is a member"));
                assert_eq!(folder.canonicalize().expect("a folder"), member.root);
            }
        }
        for path in files(&root) {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => drop(serde_json::from_str::<serde_json::Value>(&text).expect("JSON")),
                Some("toml") => drop(toml::from_str::<toml::Table>(&text).expect("TOML")),
                _ => {}
            }
            assert!(text.is_empty() || text.ends_with('\n') && !text.ends_with("\n\n"), "{}", path.display());
            assert!(!text.contains("{{#") && !text.contains("{{>"), "{}", path.display());
        }
    }
}

#[test]
fn texts_arrive_as_they_were_given() {
    let sandbox = Sandbox::new();
    let role = r#"a "quoted" \ {{name}} role"#;
    sandbox.napt(&["new", "agent", "chat", "--set", &format!("role={role}"), "--set", AUTHOR]).expect(0);
    let text = std::fs::read_to_string(sandbox.work().join("chat/chat/configs/deployment.json")).expect("a file");
    let deployments: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(deployments[0]["config"]["system_prompt"]["role"], role);
    let workspace = Workspace::discover(&sandbox.work().join("chat")).expect("a project");
    assert_eq!(workspace.members[0].manifest.authors, ["Ada <ada@example.org>"]);
}

#[test]
fn the_result_is_json_when_asked() {
    let sandbox = Sandbox::new();
    let ran = sandbox.napt(&["--message-format", "json", "new", "kb", "my-notes"]).expect(0);
    let data = &ran.json()["data"];
    assert_eq!(data["name"], "my_notes");
    assert_eq!(data["template"], "kb");
    assert_eq!(data["next"][0], "napt check");
    let path = PathBuf::from(data["path"].as_str().expect("a path"));
    assert_eq!(
        path.canonicalize().expect("a folder"),
        sandbox.work().join("my_notes").canonicalize().expect("a folder")
    );
    let listed: String = data["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| format!("{}\n", file.as_str().unwrap_or_default()))
        .collect();
    assert_eq!(listed, listing(&path));
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left_behind() {
    let sandbox = Sandbox::new();
    let long = "a".repeat(60);
    for (arguments, code, message, hint) in [
        (vec!["agent", "Chat"], 2, "invalid character `C` in the module name `Chat`", "try `chat`"),
        (vec!["agent", "../up"], 2, "invalid character `.`", "try `up`"),
        (vec!["agent", ""], 2, "a module name cannot be empty", "for example `debate`"),
        (vec!["agent", "class"], 2, "`class` is reserved: it is a keyword of Python", "try `class_module`"),
        (vec!["agent", "calendar"], 2, "`calendar` is reserved", "try `calendar_module`"),
        (vec!["orchestrator", &long], 2, "the project's agent would be called `aaa", "choose a shorter name"),
        (vec!["orchstrator", "debate"], 2, "unknown module type `orchstrator`", "did you mean `orchestrator`?"),
        (vec!["crate", "debate"], 2, "unknown module type `crate`", "the types are orchestrator, agent, tool, kb"),
        (vec!["orchestrator_bare", "debate"], 2, "unknown module type `orchestrator_bare`", "the types are"),
        (vec!["tool", "debate", "--bare"], 2, "`--bare` is not for the module type `tool`", "makes a single module"),
        (vec!["agent", "chat", "--in", "."], 2, "is not in a workspace", "`[workspace]` with `members`"),
        (vec!["agent", "chat", "--in", "nowhere"], 2, "there is no folder", "nowhere"),
        (vec!["agent", "chat", "--values", "nowhere.toml"], 1, "nowhere.toml", "No such file"),
        (
            vec!["agent", "chat", "--set", "modle=echo"],
            2,
            "the template `agent` has no variable `modle`",
            "did you mean `model`?",
        ),
        (
            vec!["kb", "chat", "--set", "rounds=1"],
            2,
            "has no variable `rounds`",
            "the variables are description, author",
        ),
        (vec!["agent", "chat", "--set", "name=x"], 2, "has no variable `name`", "role"),
        (
            vec!["agent", "chat", "--set", "model=gpt"],
            2,
            "invalid value `gpt` for `model`",
            "one of echo, openai, ollama",
        ),
        (vec!["agent", "chat", "--set", "role=a\nb"], 2, "for `role`", "one line"),
        (vec!["orchestrator", "chat", "--set", "rounds=0"], 2, "invalid value `0` for `rounds`", "from 1 to 1000"),
        (vec!["orchestrator", "chat", "--set", "rounds=many"], 2, "invalid value `many`", "a whole number"),
        (vec!["orchestrator", "chat", "--set", "rounds"], 2, "invalid value 'rounds'", "KEY=VALUE"),
    ] {
        let ran = sandbox.napt(&[&["new"], arguments.as_slice()].concat()).expect(code);
        assert!(ran.stderr.contains(message), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{arguments:?}: {}", ran.stderr);
        assert_eq!(names(&sandbox.work()), Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn what_is_there_is_never_touched() {
    let sandbox = Sandbox::new();
    sandbox.write("folder/kept.txt", "kept");
    sandbox.write("file", "kept");
    std::fs::create_dir(sandbox.work().join("empty")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", sandbox.work().join("link")).expect("a link");
    for name in ["folder", "file", "empty", "link"] {
        let ran = sandbox.napt(&["new", "agent", name]).expect(6);
        assert!(ran.stderr.contains(&format!("{name}` exists already")), "{}", ran.stderr);
    }
    let mut left = names(&sandbox.work());
    left.sort();
    assert_eq!(left, ["empty", "file", "folder", "link"]);
    assert_eq!(listing(&sandbox.work().join("folder")), "kept.txt\n");
    assert_eq!(names(&sandbox.work().join("empty")).len(), 0);
}

#[test]
fn a_project_that_cannot_be_finished_leaves_nothing() {
    let sandbox = Sandbox::new();
    // So deep that the first files can be made, and the last ones' paths are longer than the system allows.
    let mut deep = sandbox.work().canonicalize().expect("a folder");
    while deep.as_os_str().len() < 4020 {
        deep.push("d".repeat((4020 - deep.as_os_str().len()).min(200)));
    }
    std::fs::create_dir_all(&deep).expect("folders");
    let mut command = sandbox.command(&["new", "orchestrator", "debate"]);
    let output = command.current_dir(&deep).output().expect("napt starts");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("File name too long"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("modules"), "the first files were made");
    assert_eq!(names(&deep), Vec::<String>::new());
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = expect_success(Command::new("git").args(arguments).current_dir(folder));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_project_is_a_git_repository_unless_it_is_in_one() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "agent", "outer"]).expect(0);
    let outer = sandbox.work().join("outer");
    // Nothing of a project is ignored by its own `.gitignore`.
    let seen = git(&outer, &["ls-files", "--others", "--exclude-standard"]);
    assert_eq!(format!("{seen}\n"), listing(&outer));

    sandbox.napt(&["-C", "outer", "new", "agent", "inner"]).expect(0);
    assert!(!outer.join("inner/.git").exists());

    std::fs::write(outer.join(".gitignore"), "ignored/\n").expect("a file");
    sandbox.napt(&["-C", "outer", "new", "agent", "ignored"]).expect(0);
    assert!(outer.join("ignored/.git").is_dir());
}

#[test]
fn the_author_is_the_one_of_git() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.home().join(".gitconfig"), "[user]\nname = Ada\nemail = ada@example.org\n").expect("a file");
    sandbox.napt(&["new", "agent", "chat"]).expect(0);
    let workspace = Workspace::discover(&sandbox.work().join("chat")).expect("a project");
    assert_eq!(workspace.members[0].manifest.authors, ["Ada <ada@example.org>"]);
}

/// Answers `2`, and remembers what it was asked.
struct Two(Mutex<Vec<String>>);

impl Ask for Two {
    fn ask(&self, variable: &Variable, default: &str) -> io::Result<String> {
        self.0.lock().expect("one thread").push(format!("{} [{default}]", variable.prompt));
        Ok(if variable.name == "rounds" { "2".to_owned() } else { default.to_owned() })
    }
}

#[test]
fn only_what_is_not_given_is_asked_for() {
    let sandbox = Sandbox::new();
    let options = NewOptions {
        module_type: "orchestrator".to_owned(),
        name: "debate".to_owned(),
        parent: sandbox.work(),
        values: BTreeMap::from([("author".to_owned(), String::new()), ("model".to_owned(), "ollama".to_owned())]),
        ..NewOptions::default()
    };
    let ask = Two(Mutex::default());
    let created = new_project(&options, &ask, &Silent).expect("a project");
    assert_eq!(
        ask.0.into_inner().expect("one thread"),
        [
            "What it does, in one sentence [Two agents talk in turns, and a knowledge base keeps what they say]",
            "Rounds of conversation [5]"
        ]
    );
    let text = std::fs::read_to_string(created.path.join("modules/debate/debate/configs/deployment.json"));
    assert!(text.expect("a file").contains("\"max_rounds\": 2"));
}

#[test]
fn on_a_terminal_it_asks_until_the_answer_is_good() {
    let sandbox = Sandbox::new();
    let output = terminal::run(
        &sandbox,
        &["new", "orchestrator", "debate", "--set", "description=A debate"],
        &[
            ("Author", "Ada\r"),
            ("Rounds of conversation [5]", "0\r"),
            ("from 1 to 1000", "2\r"),
            ("Language model (echo, openai, ollama) [echo]", "\r"),
        ],
    );
    output.expect(0);
    assert_data_eq!(
        std::fs::read_to_string(sandbox.work().join("debate/.napt/template.toml")).expect("a record"),
        str![[r#"
template = "orchestrator"
version = "0.1.0"

[answers]
author = "Ada"
description = "A debate"
model = "echo"
rounds = 2

"#]]
    );
}

#[test]
fn interrupted_at_a_question_it_leaves_nothing() {
    let sandbox = Sandbox::new();
    let output = terminal::run(&sandbox, &["new", "kb", "notes"], &[("What it keeps", "\u{3}")]);
    assert_ne!(output.code, Some(0), "{output:?}");
    assert_eq!(names(&sandbox.work()), Vec::<String>::new());
}

#[test]
fn on_a_terminal_yes_asks_nothing() {
    let sandbox = Sandbox::new();
    let output = terminal::run(&sandbox, &["new", "kb", "notes", "--yes"], &[]);
    let shown = output.expect(0).stdout;
    assert!(!shown.contains("What it keeps"), "{shown}");
}

#[test]
fn the_help_names_every_variable() {
    let help = Sandbox::new().napt(&["new", "--help"]).expect(0).stdout;
    for id in ["agent", "environment", "kb", "memory", "orchestrator", "orchestrator_bare", "persona", "tool"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(id).join("template.toml");
        let template: toml::Table = toml::from_str(&std::fs::read_to_string(path).expect("a file")).expect("TOML");
        for variable in template["variables"].as_array().expect("a list") {
            assert!(help.contains(variable["name"].as_str().expect("a name")), "{variable}");
        }
    }
}

#[test]
fn generated_modules_pass_their_own_tests_and_hold_a_conversation() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "orchestrator", "debate", "--set", "rounds=7"]).expect(0);
    let root = sandbox.work().join("debate");
    for name in ["debate", "debate_agent", "debate_kb"] {
        let module = root.join("modules").join(name);
        let output = expect_success(Command::new(python::with_sdk()).args(["-m", "unittest"]).current_dir(&module));
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(talk.contains("Ran ") && !talk.contains("Ran 0 tests"), "{talk}");
    }

    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/one_process_node.py");
    let mut command = Command::new(python::with_sdk());
    let output = expect_success(command.arg(node).args(["debate", "Shall we?"]).current_dir(&root));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let (log, result) = printed.trim().rsplit_once('\n').expect("lines");
    let turns: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(result).expect("JSON");
    assert_eq!(turns.len(), 14);
    assert_eq!(log.lines().count(), 14);
    for (index, (turn, line)) in turns.iter().zip(log.lines()).enumerate() {
        let (round, speaker) = (index / 2 + 1, ["proposer", "critic"][index % 2]);
        assert_eq!((&turn["round"], &turn["speaker"]), (&round.into(), &speaker.into()));
        let text = turn["text"].as_str().expect("a text");
        assert_eq!(line, format!("round {round}/7, turn {}, {speaker}: {text}", index + 1));
        assert!(turns[..index].iter().all(|earlier| earlier["text"] != turn["text"]), "{text}");
    }
}

#[test]
fn modules_of_their_own_pass_their_tests_too() {
    let sandbox = Sandbox::new();
    sandbox.napt(&["new", "agent", "chat", "--set", "role=a \"critic\""]).expect(0);
    for (module_type, name) in
        [("kb", "notes"), ("tool", "sums"), ("memory", "diary"), ("environment", "arena"), ("orchestrator", "panel")]
    {
        let bare: &[&str] = if module_type == "orchestrator" { &["--bare"] } else { &[] };
        sandbox.napt(&[&["new", module_type, name], bare].concat()).expect(0);
    }
    for name in ["chat", "notes", "sums", "diary", "arena", "panel"] {
        let module = sandbox.work().join(name);
        expect_success(Command::new(python::with_sdk()).args(["-m", "compileall", "-q", "."]).current_dir(&module));
        expect_success(Command::new(python::with_sdk()).args(["-m", "unittest"]).current_dir(&module));
    }
}
