//! Small modules, as projects and as archives.

use std::path::{Path, PathBuf};

use napt::{module::Project, package, report::Silent};

use super::Sandbox;

/// Writes a data module to a folder below the work folder.
pub fn write(sandbox: &Sandbox, folder: &str, id: &str, version: &str, more: &str) {
    let (module_type, name) = id.split_once(':').expect("type:name");
    let manifest = format!(
        "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"{version}\"\nruntime = \"data\"\n\
         entrypoint = \"data.json\"\ndescription = \"A module for tests\"\n{more}"
    );
    sandbox.write(format!("{folder}/napt.toml"), manifest);
    sandbox.write(format!("{folder}/data.json"), "{}\n");
}

/// Writes a Python module without dependencies to a folder below the work folder. `more` goes on in its manifest.
pub fn write_python(sandbox: &Sandbox, folder: &str, id: &str, code: &str, more: &str) {
    let (module_type, name) = id.split_once(':').expect("type:name");
    let manifest = format!(
        "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"0.1.0\"\nruntime = \"python\"\n\
         description = \"A module for tests\"\n{more}"
    );
    sandbox.write(format!("{folder}/napt.toml"), manifest);
    sandbox.write(format!("{folder}/{name}/__init__.py"), "");
    sandbox.write(format!("{folder}/{name}/run.py"), code);
    let schema = "class InputSchema:\n    def __init__(self, **inputs):\n        self.inputs = inputs\n\n    \
                  def model_dump(self):\n        return self.inputs\n";
    sandbox.write(format!("{folder}/{name}/schemas.py"), schema);
    let deployment = format!(
        "[{{\"node\": {{\"ip\": \"localhost\"}}, \"module\": {{\"name\": \"{name}\"}}, \"name\": \"{name}\"}}]"
    );
    sandbox.write(format!("{folder}/{name}/configs/deployment.json"), deployment);
}

/// Makes a Python module depend on the SDK.
pub fn with_sdk(sandbox: &Sandbox, folder: &str, name: &str) {
    let project = format!(
        "[project]\nname = \"{name}\"\nversion = \"0.1.0\"\nrequires-python = \">=3.10,<3.13\"\n\
         dependencies = [\"naptha-sdk==1.0.5\"]\n"
    );
    sandbox.write(format!("{folder}/pyproject.toml"), project);
}

/// An archive of a data module with some content, and its digest.
pub fn archive(folder: &Path, id: &str, version: &str, content: &str) -> (PathBuf, String) {
    let sandbox = Sandbox::new();
    write(&sandbox, "m", id, version, "");
    sandbox.write("m/data.json", content);
    let project = Project::load(&sandbox.work().join("m")).expect("a project");
    let packed = package::pack(&project, &sandbox.work(), &Silent).expect("an archive");
    let path = folder.join(format!("{}.napt", packed.sha256));
    std::fs::copy(&packed.path, &path).expect("a copy");
    (path, packed.sha256)
}

/// Takes all inputs as they are.
pub const ANY_INPUTS: &str = "\
class InputSchema:
    def __init__(self, **inputs):
        self.inputs = inputs

    def model_dump(self):
        return self.inputs
";

/// For a module without the SDK: `call(module, inputs)` runs another one and gives its record.
pub const CALL: &str = r#"
import base64, json, os, urllib.request

URL = "http://127.0.0.1:" + os.environ["NAPT_NODE_URL"].rpartition(":")[2]
CREDENTIAL = "Basic " + base64.b64encode(os.environ["NAPT_RUN_TOKEN"].encode()).decode()

def ask(path, body=None):
    headers = {"Authorization": CREDENTIAL, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers)) as answer:
        return answer.read()

def call(module, inputs):
    run = json.loads(ask("/v1/runs", {"module": module, "inputs": inputs}))["id"]
    ask(f"/v1/runs/{run}/events?follow=true")
    return json.loads(ask(f"/v1/runs/{run}"))
"#;

/// A Python module that needs nothing.
pub struct Python<'a> {
    pub id: &'a str,
    pub version: &'a str,
    /// `run.py`.
    pub run: &'a str,
    /// `schemas.py`.
    pub schemas: &'a str,
    /// More of `napt.toml`, after `[module]`.
    pub more: &'a str,
    /// Requirements in `pyproject.toml`.
    pub requirements: &'a [&'a str],
}

impl<'a> Python<'a> {
    pub fn new(id: &'a str, run: &'a str) -> Self {
        Python { id, version: "0.1.0", run, schemas: ANY_INPUTS, more: "", requirements: &[] }
    }

    /// Writes it to a folder below the work folder, named as the module.
    pub fn write(&self, sandbox: &Sandbox) {
        let (module_type, name) = self.id.split_once(':').expect("type:name");
        let manifest = format!(
            "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"{}\"\n\
             description = \"A module for tests\"\n{}",
            self.version, self.more
        );
        let pyproject = format!(
            "[project]\nname = \"{name}\"\nversion = \"{}\"\nrequires-python = \">=3.10\"\ndependencies = {:?}\n",
            self.version, self.requirements
        );
        sandbox.write(format!("{name}/napt.toml"), manifest);
        sandbox.write(format!("{name}/pyproject.toml"), pyproject);
        sandbox.write(format!("{name}/{name}/__init__.py"), "");
        sandbox.write(format!("{name}/{name}/run.py"), self.run);
        sandbox.write(format!("{name}/{name}/schemas.py"), self.schemas);
    }
}

/// Copies modules of `tests/fixtures/modules` into the work folder; `sdk` is the release that they ask for, where they
/// ask for one.
pub fn copy_fixtures(sandbox: &Sandbox, names: &[&str], sdk: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules");
    for name in names {
        let mut folders = vec![fixtures.join(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("text");
                let text = text.replace("naptha-sdk==1.0.5", &format!("naptha-sdk=={sdk}"));
                sandbox.write(path.strip_prefix(&fixtures).expect("below it"), text);
            }
        }
    }
}
