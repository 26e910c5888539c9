//! What a user of the real `naptha-sdk` does, and what authors publish for them.

use std::process::{Command, Stdio};

use napt::identity::SecretKey;
use serde_json::Value;

use super::{
    Ran, Sandbox,
    modules::Python,
    python::{self, expect_success},
    registry::TestRegistry,
};

/// Publishes modules as a user of their own.
pub struct Author(pub Sandbox);

impl Author {
    pub fn new(registry: &TestRegistry) -> Self {
        let sandbox = registry.sandbox();
        sandbox.napt(&["login", "--quiet"]).expect(0);
        Author(sandbox)
    }

    /// Publishes what stands in a folder.
    #[track_caller]
    pub fn publish(&self, folder: &str) {
        self.0.write(format!("{folder}/README.md"), "# A module\n");
        self.0.napt(&["-C", folder, "publish", "--no-verify", "--quiet"]).expect(0);
    }

    /// Writes a module and publishes it.
    #[track_caller]
    pub fn python(&self, module: &Python<'_>) {
        module.write(&self.0);
        self.publish(module.id.split_once(':').expect("type:name").1);
    }
}

/// The real `naptha` in a sandbox's work folder, for a user of this registry and this node.
pub fn naptha(registry: &TestRegistry, sandbox: &Sandbox, key: &SecretKey, node: &str, arguments: &[&str]) -> Ran {
    let hub = registry.url.join("rpc").expect("a URL").to_string().replacen("http", "ws", 1);
    let mut command = Command::new(python::with_sdk().with_file_name("naptha"));
    command
        .args(arguments)
        .current_dir(sandbox.work())
        .env_clear()
        .env("HOME", sandbox.home())
        .env("COLUMNS", "2000")
        .env("HUB_URL", hub)
        .env("HUB_USERNAME", "ada")
        .env("HUB_PASSWORD", "pass word 1!")
        .env("PRIVATE_KEY", key.to_hex())
        .env("NODE_URL", node)
        .stdin(Stdio::null());
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// What came of each step that the SDK took, as `sdk_steps.py` describes them.
#[track_caller]
pub fn steps(url: &str, key: &SecretKey, steps: &Value) -> Vec<Value> {
    let mut command = Command::new(python::with_sdk());
    let script = include_str!("../testsuite/sdk_steps.py");
    let output = expect_success(command.args(["-c", script, url, &key.to_hex(), &steps.to_string()]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().filter_map(|line| line.strip_prefix("FOUND "));
    found.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
