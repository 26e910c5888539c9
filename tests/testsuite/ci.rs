//! What pipelines are given: the action, the pre-commit hooks and the page about them.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Ran, Sandbox, console, git, modules, python::with_sdk, registry::TestRegistry};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A YAML text as JSON, read by a real YAML library.
fn yaml(text: &str) -> Value {
    let mut python = Command::new(with_sdk());
    python.arg(root().join("tests/fixtures/read_yaml.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("Python starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "no YAML:\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All texts in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(map) => map.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

#[test]
fn napt_understands_the_commands_of_the_action_the_hooks_and_the_page() {
    let mut found = Vec::new();
    texts(&yaml(&file("action.yml"))["runs"], &mut found);
    assert_eq!(console::understands(&found.join("\n")), 4);

    for hook in yaml(&file(".pre-commit-hooks.yaml")).as_array().expect("a list of hooks") {
        assert_eq!(console::understands(hook["entry"].as_str().expect("a command")), 1);
    }

    let page = file("docs/ci.md");
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    let mut found = Vec::new();
    blocks.iter().for_each(|block| texts(&yaml(block), &mut found));
    assert_eq!(console::understands(&found.join("\n")), 2);
    let inputs = yaml(&file("action.yml"))["inputs"].clone();
    let given = yaml(blocks[0])["jobs"]["napt"]["steps"][1]["with"].clone();
    for name in given.as_object().expect("inputs").keys() {
        assert!(inputs.get(name).is_some(), "the action has no input `{name}`");
    }
    for (name, input) in inputs.as_object().expect("inputs") {
        assert!(input["description"].as_str().is_some_and(|text| text.len() > 10), "{name} is not described");
    }
}

/// Runs the steps of the action as GitHub does: with inputs put in, conditions judged, and files for what they say.
struct Workflow {
    sandbox: Sandbox,
    inputs: BTreeMap<String, String>,
    steps: BTreeMap<String, String>,
    path: Vec<PathBuf>,
}

impl Workflow {
    fn new(sandbox: Sandbox, given: &[(&str, &str)]) -> Self {
        let action = yaml(&file("action.yml"));
        let mut inputs = BTreeMap::new();
        for (name, input) in action["inputs"].as_object().expect("inputs") {
            inputs.insert(name.clone(), input["default"].as_str().unwrap_or_default().to_owned());
        }
        for (name, value) in given {
            assert!(inputs.insert((*name).to_owned(), (*value).to_owned()).is_some(), "no input {name}");
        }
        Workflow { sandbox, inputs, steps: BTreeMap::new(), path: Vec::new() }
    }

    /// What `inputs.x`, `steps.x.outputs.y` and the like stand for.
    fn value(&self, expression: &str) -> String {
        match expression.trim().split('.').collect::<Vec<_>>().as_slice() {
            ["inputs", name] => self.inputs.get(*name).unwrap_or_else(|| panic!("no input {name}")).clone(),
            ["steps", step, "outputs", name] => self.steps.get(&format!("{step}.{name}")).cloned().unwrap_or_default(),
            ["github", "action_path"] => root().display().to_string(),
            ["runner", _] => "test".to_owned(),
            _ => panic!("the test does not know `{expression}`"),
        }
    }

    fn filled(&self, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (expression, rest) = part.split_once("}}").expect("an end");
            filled.push_str(&self.value(expression));
            filled.push_str(rest);
        }
        filled
    }

    fn holds(&self, condition: &str) -> bool {
        condition.split("&&").all(|part| {
            let (left, equal, right) = match part.split_once("==") {
                Some((left, right)) => (left, true, right),
                None => part.split_once("!=").map(|(left, right)| (left, false, right)).expect("a comparison"),
            };
            (self.value(left) == right.trim().trim_matches('\'')) == equal
        })
    }

    /// Runs all steps; the answer has the output of all, and the exit code of the last one that was run.
    fn run(&mut self) -> Ran {
        let action = yaml(&file("action.yml"));
        let mut all = Ran { code: Some(0), stdout: String::new(), stderr: String::new() };
        for step in action["runs"]["steps"].as_array().expect("steps") {
            if step["if"].as_str().is_some_and(|condition| !self.holds(condition)) || step.get("uses").is_some() {
                continue;
            }
            let (output, path) = (self.sandbox.home().join("output"), self.sandbox.home().join("path"));
            std::fs::write(&output, "").expect("a file");
            std::fs::write(&path, "").expect("a file");
            let napt = self.sandbox.command(&[]);
            let mut bash = Command::new("bash");
            bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().expect("a script")]);
            bash.env_clear()
                .envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))))
                .stdin(Stdio::null());
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                bash.env(name, self.filled(value.as_str().expect("text")));
            }
            let folder = self.filled(step["working-directory"].as_str().unwrap_or("."));
            let mut search = self.path.clone();
            search.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
            bash.env("PATH", std::env::join_paths(search).expect("a path")).env("CI", "true");
            bash.env("GITHUB_OUTPUT", &output).env("GITHUB_PATH", &path).current_dir(self.sandbox.work().join(folder));
            let done = bash.output().expect("bash is installed");
            all.stdout.push_str(&String::from_utf8_lossy(&done.stdout));
            all.stderr.push_str(&String::from_utf8_lossy(&done.stderr));
            all.code = done.status.code();
            if all.code != Some(0) {
                return all;
            }
            let read = |path| std::fs::read_to_string(path).expect("text");
            for line in read(&output).lines() {
                let (name, value) = line.split_once('=').expect("NAME=VALUE");
                self.steps.insert(format!("{}.{name}", step["id"].as_str().expect("an id")), value.to_owned());
            }
            for line in read(&path).lines() {
                self.path.insert(0, line.into());
            }
        }
        all
    }
}

/// Where the napt of the tests is.
fn binaries() -> &'static str {
    Path::new(env!("CARGO_BIN_EXE_napt")).parent().and_then(Path::to_str).expect("a folder")
}

#[test]
fn the_action_checks_packages_and_publishes() {
    let registry = TestRegistry::start();
    let author = registry.sandbox();
    author.napt(&["login"]).expect(0);
    // One for a name without a type would fit no module.
    let ran = author.napt(&["token", "new", "--publish", "ada"]).expect(2);
    assert!(ran.stderr.contains("for example `agent:ada`"), "{}", ran.stderr);
    let token = author.napt(&["token", "new", "--publish", "persona:*", "--quiet"]).expect(0).stdout.trim().to_owned();
    let sandbox = Sandbox::new();
    modules::write(&sandbox, "m", "persona:ada", "0.1.0", "");
    let url = registry.url.to_string();
    let given = [
        ("napt", binaries()),
        ("working-directory", "m"),
        ("sarif", "napt.sarif"),
        ("publish", "true"),
        ("registry", &url),
        ("token", &token),
    ];
    let mut workflow = Workflow::new(sandbox, &given);
    let ran = workflow.run().expect(0);
    assert!(ran.stdout.contains("::warning file=") && ran.stdout.contains("missing-readme"), "{}", ran.stdout);
    assert!(ran.stderr.contains("Published persona:ada@0.1.0"), "{}", ran.stderr);
    assert!(!format!("{ran:?}").contains(&token), "the token is in the log");
    assert!(registry.index("persona:ada").is_some());
    let package: Value = serde_json::from_str(&workflow.steps["package.package"]).expect("JSON");
    assert_eq!(package["data"]["archives"][0]["module"], "persona:ada");
    let sarif = std::fs::read_to_string(workflow.sandbox.work().join("m/napt.sarif")).expect("a report");
    assert!(sarif.contains("missing-readme"), "{sarif}");

    // The same again: nothing is new.
    let ran = workflow.run().expect(0);
    assert!(ran.stderr.contains("already published"), "{}", ran.stderr);

    // What is strict fails before anything is packaged.
    workflow.inputs.insert("check-arguments".to_owned(), "--deny warnings".to_owned());
    let ran = workflow.run().expect(3);
    assert!(ran.stdout.contains("::error file=") && !ran.stderr.contains("Packag"), "{ran:?}");
}

#[test]
fn without_a_napt_the_action_builds_its_own_once() {
    let mut sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    // In cargo's place: it notes how it was called and puts a napt where cargo would.
    let tools = sandbox.work().join("tools");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> \"{0}/called\"\nfor last; do :; done\nmkdir -p \"$last/bin\"\n\
         ln -sf \"{1}/napt\" \"$last/bin/napt\"\n",
        tools.display(),
        binaries()
    );
    let cargo = sandbox.write("tools/cargo", script);
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    sandbox.set("HOME", sandbox.home().to_str().expect("text"));
    let mut workflow = Workflow::new(sandbox, &[("package", "false")]);
    workflow.path.push(tools.clone());
    let ran = workflow.run().expect(0);
    assert!(ran.stdout.contains("missing-readme"), "{}", ran.stdout);
    let home = workflow.sandbox.home();
    let expected =
        format!("install --locked --path {} --root {}/.cache/napt-action\n", root().display(), home.display());
    assert_eq!(std::fs::read_to_string(tools.join("called")).expect("a file"), expected);
    assert_eq!(workflow.steps["source.digest"].len(), 16);
}

#[test]
fn the_hook_fails_a_commit_with_problems_and_no_other() {
    let hooks = yaml(&file(".pre-commit-hooks.yaml"));
    let entry = hooks[0]["entry"].as_str().expect("a command");
    let words: Vec<&str> = entry.split(' ').skip(1).collect();
    let sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    git(&sandbox.work(), &["init", "--quiet"]);
    sandbox.napt(&words).expect(0);
    sandbox.write("napt.toml", "[module]\ntype = \"persona\"\nname = \"Ada!\"\n");
    sandbox.napt(&words).expect(3);
}
