//! The unmodified `naptha-sdk` 1.0.5 against a registry and a node: its command and its Python classes, success and failure.

mod clients;
mod commands;

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Sandbox,
    modules::Python,
    node::{TestNode, cache},
    python,
    registry::TestRegistry,
};

/// A registry, a node that is in its directory as `scene.example`, and a user of both: the node's operator, whose key the
/// registry has only from signing up at its hub.
struct Scene {
    registry: TestRegistry,
    node: TestNode,
    token: String,
    publisher: Sandbox,
}

/// A line of the SDK's command, its exit code, and what it prints.
type Line<'a> = (&'a [&'a str], i64, &'a str);

/// The types that can be run.
const TYPES: [&str; 6] = ["agent", "tool", "orchestrator", "environment", "kb", "memory"];

const PASSWORD: &str = "a-long-password-7";

impl Scene {
    fn new() -> Self {
        let registry = TestRegistry::start();
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        sandbox.set("NAPT_REGISTRY", registry.url.as_str());
        let node = TestNode::start_in(sandbox, &["--registry", registry.url.as_str(), "--name", "scene.example"]);
        let token = node.token(3600);
        let publisher = registry.sandbox();
        publisher.napt(&["login"]).expect(0);
        Scene { registry, node, token, publisher }
    }

    /// The same, with an account at the hub.
    fn signed_up() -> Self {
        let scene = Self::new();
        scene.naptha(&[(&["signup"], 0, "Signing up user: Ada")]);
        scene
    }

    /// Python with what the SDK looks for in its environment, and nothing else.
    fn python(&self) -> Command {
        let mut command = Command::new(python::with_sdk());
        let registry = self.registry.url.as_str().trim_end_matches('/').replacen("http", "ws", 1);
        command
            .current_dir(self.node.sandbox.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.node.sandbox.home())
            // Tables are cut to the width of a terminal.
            .env("COLUMNS", "2000")
            .env("NODE_URL", self.node.url.replacen("http://", &format!("http://{}@", self.token), 1))
            .env("HUB_URL", format!("{registry}/rpc"))
            .env("HUB_USERNAME", "Ada")
            .env("HUB_PASSWORD", PASSWORD)
            .env("PRIVATE_KEY", self.node.key().to_hex());
        command
    }

    /// Runs a Python script of this folder; what it has found.
    #[track_caller]
    fn script(&self, text: &str, arguments: &[&str], mark: &str) -> Value {
        // A file in another folder: otherwise the SDK reads the `.env` that it makes itself.
        let file = self.node.sandbox.home().join("script.py");
        std::fs::write(&file, text).expect("a file");
        let output = python::expect_success(self.python().arg(file).args(arguments));
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let line = printed.lines().find_map(|line| line.strip_prefix(mark)).expect("its last line");
        serde_json::from_str(line).expect("JSON")
    }

    /// Types lines of the SDK's command, one after the other; what each has printed.
    #[track_caller]
    fn naptha(&self, lines: &[Line<'_>]) -> Vec<String> {
        let typed: Vec<&[&str]> = lines.iter().map(|(line, ..)| *line).collect();
        let typed = serde_json::to_string(&typed).expect("JSON");
        let ended = self.script(include_str!("cli.py"), &[&typed], "ENDED ");
        let ended = ended.as_array().expect("a list");
        let mut all = Vec::new();
        for ((line, code, said), ended) in lines.iter().zip(ended) {
            let printed = ended["printed"].as_str().expect("text");
            assert_eq!(ended["code"], *code, "naptha {line:?}\n{printed:.4000}");
            assert!(printed.contains(said), "naptha {line:?} should say `{said}`\n{printed:.4000}");
            all.push(printed.to_owned());
        }
        all
    }

    /// Publishes a module of each type that can be run. It answers with its inputs.
    fn publish_echoes(&self) {
        let code = "def run(module_run):\n    inputs = module_run['inputs']\n    if inputs.get('fail'):\n        \
                    raise ValueError('as asked')\n    return inputs\n";
        for kind in TYPES {
            self.publish_module(&Python::new(&format!("{kind}:{kind}_echo"), code));
        }
    }

    /// Publishes a module as another user than the one of the hub, whose key has proved nothing.
    fn publish_module(&self, module: &Python<'_>) {
        let (_, name) = module.id.split_once(':').expect("type:name");
        module.write(&self.publisher);
        self.publisher.napt(&["publish", "--no-verify", "-C", name]).expect(0);
    }
}
