//! Every template with every choice: made, checked, packaged, deployed and run on a real node with the real SDK.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    Sandbox, modules,
    node::{TestNode, cache},
    provider::Provider,
    registry::TestRegistry,
};

/// A way to call `napt new`.
struct Variant {
    /// The module's type.
    module_type: String,
    is_rust: bool,
    bare: bool,
    /// `KEY=VALUE`.
    values: Vec<String>,
}

/// Every template of the sources, once with the defaults, and once for each other value of each choice.
fn variants() -> Vec<Variant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut variants = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path().join("template.toml");
        // What templates share is none.
        let Ok(text) = fs::read_to_string(path) else { continue };
        let template: toml::Table = text.parse().expect("TOML");
        let text = |key: &str| template[key].as_str().expect("a text").to_owned();
        let module_type = text("module_type");
        let id = text("id");
        let (is_rust, bare) = (id.ends_with("_rust"), id.contains("_bare"));
        let variant = |values| Variant { module_type: module_type.clone(), is_rust, bare, values };
        variants.push(variant(vec![]));
        for variable in template["variables"].as_array().expect("a list") {
            let words: Vec<&str> = match variable["type"].as_str() {
                Some("choice") => {
                    variable["choices"].as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect()
                }
                Some("bool") => vec!["true", "false"],
                _ => continue,
            };
            let name = variable["name"].as_str().expect("a name");
            // Configured as in Python; each more would be built anew.
            if is_rust && name == "model" {
                continue;
            }
            let default = variable["default"].as_str().map_or_else(|| variable["default"].to_string(), str::to_owned);
            let others = words.iter().filter(|word| **word != default);
            variants.extend(others.map(|word| variant(vec![format!("{name}={word}")])));
        }
    }
    assert!(variants.len() >= 13, "{}", variants.len());
    variants
}

/// Lets all packages below a folder be built without optimisation.
fn build_quickly(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            build_quickly(&path);
        } else if path.ends_with("Cargo.toml") {
            let text = fs::read_to_string(&path).expect("a manifest");
            fs::write(&path, text + "\n[profile.release]\nopt-level = 0\n").expect("a file");
        }
    }
}

fn function(name: &str, data: Value) -> Value {
    json!({ "func_name": name, "func_input_data": data })
}

/// Inputs for runs of a module, one after the other, and what the result of each holds.
fn runs(variant: &Variant) -> Vec<(Value, &'static str)> {
    let model = variant.values.iter().find_map(|value| value.strip_prefix("model="));
    let turn = json!({"conversation": "c", "seq": 1, "round": 1, "speaker": "me", "text": "tea"});
    match (variant.module_type.as_str(), variant.bare) {
        ("agent", _) => vec![(
            json!({"prompt": "Hello"}),
            match model {
                Some("openai") => "I am gpt-4o-mini",
                Some("ollama") => "I am llama3.2",
                _ => "Hello",
            },
        )],
        ("orchestrator", true) => vec![(json!({"prompt": "Hello"}), "[]")],
        ("orchestrator", false) => vec![(
            json!({"prompt": "Shall we?"}),
            match model {
                Some("openai") => "I am gpt-4o-mini",
                Some("ollama") => "I am llama3.2",
                _ => "Shall we?",
            },
        )],
        ("kb", _) => vec![
            (function("init", json!({})), "true"),
            (function("add", json!({"turns": [turn]})), "1"),
            (function("list", json!({"conversation": "c"})), "tea"),
        ],
        ("memory", _) => vec![
            (function("store", json!({"owner": "ada", "content": "Likes tea"})), ""),
            (function("store", json!({"owner": "ada", "content": "Hates rain"})), ""),
            (function("recall", json!({"owner": "ada", "about": "TEA"})), "Likes tea"),
            (function("forget", json!({"id": "none"})), "true"),
        ],
        ("tool", _) => vec![
            (function("calculate", json!({"expression": "6 * (3 + 4)"})), "42"),
            (function("average", json!({"numbers": [1, 2]})), "1.5"),
        ],
        ("environment", _) => vec![
            (function("reset", json!({"episode": "e", "seed": 7})), "guess a number from 1 to 100"),
            (function("step", json!({"episode": "e", "actor": "ada", "action": 0})), "higher"),
            (function("step", json!({"episode": "e", "actor": "bob", "action": 101})), "lower"),
            (function("history", json!({"episode": "e"})), "bob"),
        ],
        ("persona", _) => vec![],
        other => panic!("{other:?} is not run by this test"),
    }
}

// Naptha's defects: C11
#[test]
fn every_template_with_every_choice_is_checked_packaged_deployed_and_run() {
    let provider = Provider::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url]);
    for (number, variant) in variants().iter().enumerate() {
        let name = format!("m{number}");
        let mut arguments = vec!["new", &variant.module_type, &name, "--set", "author=Ada <ada@example.org>"];
        arguments.extend(variant.values.iter().flat_map(|value| ["--set", value]));
        if variant.bare {
            arguments.push("--bare");
        }
        if variant.is_rust {
            arguments.extend(["--lang", "rust"]);
        }
        if variant.module_type == "orchestrator" {
            arguments.extend(["--set", "rounds=1"]);
        }
        node.napt(&arguments).expect(0);
        if variant.is_rust {
            build_quickly(&node.sandbox.work().join(&name));
        }
        let checked = node.napt(&["--message-format", "json", "check", &name]).expect(0).json();
        assert_eq!(checked["data"]["diagnostics"], json!([]), "{arguments:?}");
        node.napt(&["-C", &name, "package"]).expect(0);
        node.napt(&["deploy", &name]).expect(0);
        let user = node.user();
        for (inputs, expected) in runs(variant) {
            let ran = user.run(&format!("{}:{name}", variant.module_type), inputs);
            let result = ran.result.unwrap_or_else(|| panic!("{arguments:?}: {:?}", ran.error));
            assert!(result.contains(expected), "{arguments:?}: {result}");
        }
    }
}

/// An agent that has the persona `NAME`, in the folder `agent`.
fn agent_with_persona(node: &TestNode, agent: &str, requirement: &str, persona: &str) {
    node.napt(&["new", "agent", agent, "--yes", "--set", "model=openai"]).expect(0);
    let folder = node.sandbox.work().join(agent);
    let path = folder.join("napt.toml");
    let manifest = fs::read_to_string(&path).expect("a manifest");
    fs::write(&path, format!("{manifest}\n[dependencies]\n\"persona:{persona}\" = {requirement}\n")).expect("a file");
    let path = folder.join(agent).join("configs/deployment.json");
    let deployment = fs::read_to_string(&path).expect("a file");
    let named = format!("\"persona_module\": {{\"name\": \"{persona}\"}},\n            \"system_prompt\"");
    fs::write(&path, deployment.replacen("\"system_prompt\"", &named, 1)).expect("a file");
}

// Naptha's defects: C13
#[test]
fn an_agent_is_told_its_persona_from_a_folder_and_from_a_registry() {
    let (provider, registry) = (Provider::start(), TestRegistry::start());
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_CACHE_DIR", &cache());
    let node = TestNode::start_in(sandbox, &["--provider", &provider.url, "--registry", registry.url.as_str()]);
    node.napt(&["login"]).expect(0);
    for format in ["yaml", "json"] {
        let (near, far) = (format!("near_{format}"), format!("far_{format}"));
        for name in [&near, &far] {
            let description = format!("description=The \"{name}\" one: # é");
            node.napt(&["new", "persona", name, "--set", &format!("format={format}"), "--set", &description]).expect(0);
        }
        agent_with_persona(&node, &format!("a_{near}"), &format!("{{ path = \"../{near}\" }}"), &near);
        node.napt(&["-C", &far, "publish"]).expect(0);
        agent_with_persona(&node, &format!("a_{far}"), "\"^0.1\"", &far);
        fs::remove_dir_all(node.sandbox.work().join(&far)).expect("it was there");
        for name in [&near, &far] {
            let agent = format!("a_{name}");
            node.napt(&["check", &agent]).expect(0);
            node.napt(&["deploy", &agent]).expect(0);
            let ran = node.user().run(&format!("agent:{agent}"), json!({"prompt": "Who are you?"}));
            assert_eq!(ran.result.as_deref(), Some("I am gpt-4o-mini"), "{:?}", ran.error);
            let (_, asked) = provider.asked().pop().expect("a question");
            let system = asked["messages"][0]["content"].as_str().expect("a text").to_owned();
            let (_, told) = system.split_once("who you are: ").expect("a persona");
            let told: Value = serde_json::from_str(told).expect("JSON");
            assert_eq!(told["name"], **name);
            assert_eq!(told["description"], format!("The \"{name}\" one: # é"));
            assert_eq!(told["style"]["avoid"], json!(["jargon", "exclamation marks"]));
        }
    }
}

#[test]
fn a_persona_that_is_missing_or_unreadable_says_so() {
    let node = TestNode::start(&[]);
    let persona = |file: &str, text: &str| {
        modules::write(&node.sandbox, "ada", "persona:ada", "0.1.0", "");
        let path = node.sandbox.work().join("ada/napt.toml");
        let manifest = fs::read_to_string(&path).expect("a manifest").replace("data.json", file);
        fs::write(path, manifest).expect("a file");
        if !text.is_empty() {
            node.sandbox.write(format!("ada/{file}"), text);
        }
    };
    agent_with_persona(&node, "chat", "{ path = \"../ada\" }", "ada");
    for (file, text, message) in [
        ("persona.yaml", "", "there is no persona file `persona.yaml`"),
        ("persona.yaml", "a: [", "the persona file `persona.yaml` cannot be used"),
        ("persona.yaml", "a: !!python/object/apply:os.system ['true']", "`persona.yaml` cannot be used"),
        ("persona.json", "[]", "it must be a mapping"),
        ("persona.txt", "a", "neither `.json` nor `.yaml`"),
    ] {
        persona(file, text);
        let ran = node.napt(&["deploy", "chat", "--no-verify"]).expect(1);
        assert!(ran.stderr.contains("cannot install `persona:ada 0.1.0`"), "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{file}: {}", ran.stderr);
    }
    let path = node.sandbox.work().join("chat/napt.toml");
    let manifest = fs::read_to_string(&path).expect("a manifest");
    let (without, _) = manifest.split_once("\n[dependencies]").expect("dependencies");
    fs::write(&path, without).expect("a file");
    let ran = node.napt(&["deploy", "chat", "--no-verify"]).expect(2);
    assert!(
        ran.stderr.contains("`agent:chat` has the persona `ada`, which is not part of this deployment"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("to `[dependencies]` of `agent:chat`"), "{}", ran.stderr);
}
