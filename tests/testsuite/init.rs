//! `napt init`: Naptha's projects as they are, adopted and run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use napt::check::Schema;
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::support::{
    Sandbox, naptha,
    node::{TestNode, cache},
    provider::Provider,
    repository::copy,
    terminal,
};

/// Copies a project of `tests/fixtures/naptha` into the work folder.
fn fixture(sandbox: &Sandbox, name: &str) -> PathBuf {
    let to = sandbox.work().join(name);
    copy(&naptha::folder(name), &to);
    to
}

fn manifest(folder: &Path) -> String {
    fs::read_to_string(folder.join("napt.toml")).expect("a manifest")
}

/// A project of two files.
fn write_project(sandbox: &Sandbox, name: &str, code: &str) {
    sandbox.write(format!("{name}/pyproject.toml"), format!("[project]\nname = \"{name}\"\nversion = \"0.1.0\"\n"));
    sandbox.write(format!("{name}/{name}/run.py"), code);
}

#[test]
fn every_layout_is_adopted_checked_packaged_deployed_and_run() {
    let provider = Provider::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    for (name, module_type) in naptha::PROJECTS {
        let folder = fixture(&node.sandbox, name);
        let data = node.napt(&["--message-format", "json", "init", name, "--type", module_type]);
        // Only the template tells nobody what it is.
        let detected = if name == "module_template" {
            data
        } else {
            fs::remove_file(folder.join("napt.toml")).expect("it was there");
            node.napt(&["--message-format", "json", "init", name])
        };
        let id = format!("{module_type}:{name}");
        assert_eq!(detected.expect(0).json()["data"]["id"], id, "{name}");
        let checked = node.napt(&["--message-format", "json", "check", name]).expect(0).json();
        assert_eq!(checked["data"]["errors"], 0, "{name}: {checked}");
        node.napt(&["-C", name, "package"]).expect(0);
    }
    for (name, runs) in naptha::runs() {
        let (_, folder) = name.split_once(':').expect("type:name");
        node.napt(&["deploy", folder]).expect(0);
        naptha::check(&node.user(), name, &runs);
    }
    node.napt(&["deploy", "wikipedia_agent"]).expect(0);
    node.napt(&["deploy", "wikipedia_kb"]).expect(0);
    let user = node.user();
    user.run("kb:wikipedia_kb", json!({"func_name": "init"}));
    let ran = user.run("agent:wikipedia_agent", json!({"query": "Elephant", "question": "How large?"}));
    assert_eq!(ran.result.as_deref(), Some("I am gpt-4o-mini"), "{:?}", ran.error);
    let asked = provider.asked();
    let texts: Vec<String> = asked.iter().map(|(_, body)| body["messages"].to_string()).collect();
    assert!(texts.iter().any(|text| text.contains("largest living land animals")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("never owned a car")), "the persona is told: {texts:?}");
}

#[test]
fn what_was_found_is_said_in_the_manifest() {
    let sandbox = Sandbox::new();
    for name in ["random_number_agent", "keynesian_beauty_contest", "wikipedia_agent", "src_agent", "richard_twitter"] {
        fixture(&sandbox, name);
        sandbox.napt(&["init", name]).expect(0);
    }
    let of = |name: &str| manifest(&sandbox.work().join(name));
    assert_data_eq!(
        of("keynesian_beauty_contest"),
        str![[r##"
#:schema .napt/schemas/manifest.json
# Written by `napt init`: behind each line stands where it is from.
[module]
type = "orchestrator"              # `keynesian_beauty_contest/run.py` reads `OrchestratorRunInput`
name = "keynesian_beauty_contest"  # the folder `keynesian_beauty_contest`
sdk = "1.0.5"                      # `pyproject.toml` takes naptha-sdk from git; nodes install this version of it

[dependencies]
"agent:random_number_agent" = { path = "../random_number_agent", version = "^0.1.0" }  # `keynesian_beauty_contest/configs/agent_deployments.json`

"##]]
    );
    assert_data_eq!(
        of("wikipedia_agent"),
        str![[r##"
#:schema .napt/schemas/manifest.json
# Written by `napt init`: behind each line stands where it is from.
[module]
type = "agent"            # `wikipedia_agent/run.py` reads `AgentRunInput`
name = "wikipedia_agent"  # the folder `wikipedia_agent`
sdk = "1.0.5"             # `pyproject.toml` takes naptha-sdk from git; nodes install this version of it

[dependencies]
"kb:wikipedia_kb" = "*"  # `wikipedia_agent/configs/kb_deployments.json`; write which versions work

"##]]
    );
    assert_data_eq!(
        of("src_agent"),
        str![[r##"
#:schema .napt/schemas/manifest.json
# Written by `napt init`: behind each line stands where it is from.
[module]
type = "agent"            # `src/src_agent/answer.py` reads `AgentRunInput`
name = "src_agent"        # the folder `src/src_agent`
version = "0.3.0"         # `0.3` of `pyproject.toml` as a semantic version
entrypoint = "answer.py"  # it defines `answer`
sdk = "1.0.5"             # `pyproject.toml` takes naptha-sdk from git; nodes install this version of it

"##]]
    );
    assert_data_eq!(
        of("richard_twitter"),
        str![[r##"
#:schema .napt/schemas/manifest.json
# Written by `napt init`: behind each line stands where it is from.
[module]
type = "persona"                             # there is a persona file and no code
name = "richard_twitter"                     # the project's folder
version = "0.1.0"                            # the project does not say a version
description = "The persona richard_twitter"  # a registry shows it; write a better one
runtime = "data"                             # nothing of it is run
entrypoint = "richard_twitter.yaml"          # what an agent is told

"##]]
    );
}

#[test]
fn editors_find_the_schemas_as_in_a_new_project() {
    let sandbox = Sandbox::new();
    let first_line = |folder: &Path| manifest(folder).lines().next().expect("a line").to_owned();
    // A project of its own keeps them, and its own settings.
    let own = fixture(&sandbox, "random_number_agent");
    let settings = sandbox.write("random_number_agent/.vscode/settings.json", "{\"own\": true}\n");
    let json = sandbox.napt(&["init", "random_number_agent", "--message-format", "json"]).expect(0).json();
    let schemas: Vec<String> = Schema::ALL.iter().map(|schema| format!(".napt/schemas/{}", schema.file())).collect();
    assert_eq!(json["data"]["files"], json!(schemas));
    assert_eq!(first_line(&own), "#:schema .napt/schemas/manifest.json");
    assert!(own.join(".napt/schemas/manifest.json").is_file());
    assert_eq!(fs::read_to_string(settings).expect("settings"), "{\"own\": true}\n");
    let ran = sandbox.napt(&["-C", "random_number_agent", "package", "--list"]).expect(0);
    assert!(!ran.stdout.contains(".napt/schemas") && !ran.stdout.contains(".vscode"), "{}", ran.stdout);

    // A member names its workspace's, when there are some; a neighbour that is none keeps its own.
    sandbox.napt(&["new", "orchestrator", "debate", "--yes", "--quiet"]).expect(0);
    sandbox.write("bare/napt.toml", "[workspace]\nmembers = [\"old\"]\n");
    let line = "#:schema ../../.napt/schemas/manifest.json";
    let own_line = "#:schema .napt/schemas/manifest.json";
    let comment = "# Written by `napt init`: behind each line stands where it is from.";
    for (place, expected) in [("debate/modules/old", line), ("bare/old", comment), ("debate/apart", own_line)] {
        sandbox.write(format!("{place}/ada.json"), "{\"name\": \"Ada\"}\n");
        sandbox.napt(&["init", place]).expect(0);
        let folder = sandbox.work().join(place);
        assert_eq!(first_line(&folder), expected, "{place}");
        assert_eq!(folder.join(".napt").exists(), expected == own_line, "{place}");
    }
}

#[test]
fn before_that_commands_say_how() {
    let sandbox = Sandbox::new();
    let package = fixture(&sandbox, "hello_world_agent").join("hello_world_agent");
    for command in ["package", "publish", "deploy", "dev", "tree"] {
        for folder in [package.as_path(), package.parent().expect("a folder")] {
            let ran = sandbox.napt(&["-C", folder.to_str().expect("text"), command]).expect(1);
            assert!(ran.stderr.contains("hello_world_agent` has no `napt.toml`"), "{command}: {}", ran.stderr);
            assert!(ran.stderr.contains("`napt init` in that folder writes one"), "{command}: {}", ran.stderr);
        }
    }
    let ran = sandbox.napt(&["package"]).expect(1);
    assert!(ran.stderr.contains("`napt init PATH` adopts a Naptha project"), "{}", ran.stderr);
}

#[test]
fn a_dry_run_prints_the_manifest_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let folder = fixture(&sandbox, "hello_world_agent");
    let ran = sandbox.napt(&["init", "hello_world_agent", "--dry-run"]).expect(0);
    assert!(!folder.join("napt.toml").exists());
    sandbox.napt(&["-C", "hello_world_agent", "init"]).expect(0);
    assert_eq!(ran.stdout, manifest(&folder));

    let again = sandbox.napt(&["init", "hello_world_agent"]).expect(6);
    assert!(again.stderr.contains("napt.toml` exists already"), "{}", again.stderr);
    assert!(again.stderr.contains("`napt check` says"), "{}", again.stderr);
    assert_eq!(ran.stdout, manifest(&folder), "and is as it was");
}

#[test]
fn a_type_that_cannot_be_told_is_asked_for() {
    let sandbox = Sandbox::new();
    write_project(&sandbox, "thing", "def run(module_run):\n    return 1\n");
    let ran = sandbox.napt(&["init", "thing"]).expect(2);
    assert!(ran.stderr.contains("cannot tell the type of the module `thing`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("say it with `--type`: orchestrator, agent"), "{}", ran.stderr);
    write_project(
        &sandbox,
        "both",
        "from x import AgentRunInput, ToolRunInput\nAgentRunInput(**a)\nToolRunInput(**b)\n",
    );
    let ran = sandbox.napt(&["init", "both"]).expect(2);
    assert!(ran.stderr.contains("agent since `both/run.py` reads `AgentRunInput`, tool since"), "{}", ran.stderr);
    let ran = sandbox.napt(&["init", "both", "--type", "tol"]).expect(2);
    assert!(ran.stderr.contains("did you mean `tool`?"), "{}", ran.stderr);
    let ran = sandbox.napt(&["init", "both", "--type", "persona"]).expect(2);
    assert!(ran.stderr.contains("`both` cannot be a persona: it has code in `both/`"), "{}", ran.stderr);
    sandbox.write("ada/persona.json", "{}");
    let ran = sandbox.napt(&["init", "ada", "--type", "tool"]).expect(2);
    assert!(ran.stderr.contains("`ada` cannot be a tool: it has no code"), "{}", ran.stderr);
    sandbox.napt(&["init", "both", "--type", "tool"]).expect(0);
    assert!(manifest(&sandbox.work().join("both")).contains("type = \"tool\"  # given by `--type`"));

    terminal::run(&sandbox, &["init", "thing"], &[("Type of the module", "memory\r")]).expect(0);
    assert!(manifest(&sandbox.work().join("thing")).contains("type = \"memory\""));
}

#[test]
fn clues_are_weighed() {
    let sandbox = Sandbox::new();
    let run = "def run(module_run):\n    return 1\n";
    for (name, files, expected) in [
        ("shop_tool", vec![], "tool"),
        ("a1", vec![("deployment.json", r#"[{"module": {"name": "kb:a1"}}]"#)], "kb"),
        ("a2", vec![("deployment.json", r#"[{"config": {"max_rounds": 3}}]"#)], "orchestrator"),
        ("a3", vec![("deployment.json", r#"[{"config": {"system_prompt": {"role": "x"}}}]"#)], "agent"),
        ("a4", vec![("deployment.json", r#"[{"config": {"environment_type": "x"}}]"#)], "environment"),
        ("a5", vec![("agent_deployments.json", "[]")], "orchestrator"),
        ("a6_agent", vec![("tool_deployments.json", "[]")], "agent"),
        // Code says more than a name.
        ("a7_kb", vec![("run", "x = MemoryRunInput(\n    **module_run)")], "memory"),
    ] {
        write_project(&sandbox, name, run);
        for (file, text) in files {
            if file == "run" {
                sandbox.write(format!("{name}/{name}/run.py"), text);
            } else {
                sandbox.write(format!("{name}/{name}/configs/{file}"), text);
            }
        }
        let found = sandbox.napt(&["init", name, "--message-format", "json"]).expect(0).json();
        assert_eq!(found["data"]["id"], format!("{expected}:{name}"), "{found}");
    }
}

#[test]
fn what_is_no_module_says_what_is_missing() {
    let sandbox = Sandbox::new();
    sandbox.write("empty/README.md", "");
    sandbox.write("broken/pyproject.toml", "[project\n");
    sandbox
        .write("lib/pyproject.toml", "[tool.poetry]\nname = \"x\"\npackages = [{include = \"x\", from = \"lib\"}]\n");
    sandbox.write("lib/lib/x/run.py", "");
    sandbox.write("two/a/run.py", "");
    sandbox.write("two/b/run.py", "");
    sandbox.write("caps/Agent/run.py", "");
    sandbox.write("list/persona.json", "[]");
    for (name, code, message, hint) in [
        ("none", 2, "there is no folder", ""),
        ("empty", 1, "there is no module in", "`napt new TYPE NAME` makes a project"),
        ("broken", 3, "pyproject.toml", ""),
        ("lib", 1, "the package `x` is in the folder `lib`", "move it there"),
        ("two", 1, "could be the module: a, b", "`packages` of `pyproject.toml`"),
        ("caps", 1, "the folder `Agent` cannot give the module its name", "try `agent`"),
        ("list", 3, "the persona file `persona.json` cannot be used: it must be a mapping", ""),
    ] {
        let ran = sandbox.napt(&["init", name]).expect(code);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(hint), "{name}: {}", ran.stderr);
        assert!(!sandbox.work().join(name).join("napt.toml").exists());
    }
    // Which of several is the module, the manifest says.
    sandbox.write(
        "two/pyproject.toml",
        "[tool.poetry]\nname = \"x\"\nversion = \"1.0\"\npackages = [{include = \"b\"}]\n",
    );
    sandbox.napt(&["init", "two", "--type", "agent"]).expect(0);
    let text = manifest(&sandbox.work().join("two"));
    assert!(text.contains("name = \"b\"") && text.contains("version = \"1.0.0\""), "{text}");
}

#[test]
fn what_nodes_cannot_install_is_told() {
    let sandbox = Sandbox::new();
    let folder = fixture(&sandbox, "hello_world_agent");
    let path = folder.join("pyproject.toml");
    let text = fs::read_to_string(&path).expect("a file");
    fs::write(&path, text.replace("\n[build-system]", "market = {git = \"https://example.org/m\"}\n\n[build-system]"))
        .expect("a file");
    let ran = sandbox.napt(&["init", "hello_world_agent"]).expect(0);
    assert!(ran.stderr.contains("the dependency `market` is taken from git"), "{}", ran.stderr);
}
