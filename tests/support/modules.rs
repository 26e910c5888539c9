//! Small modules, as projects and as archives.

use std::path::{Path, PathBuf};

use napt::{module::Project, package, report::Silent};

use super::Sandbox;

/// Writes a data module to a folder below the work folder.
pub fn write(sandbox: &Sandbox, folder: &str, id: &str, version: &str, more: &str) {
    let (module_type, name) = id.split_once(':').expect("type:name");
    let manifest = format!(
        "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"{version}\"\nruntime = \"data\"\n\
         description = \"A module for tests\"\n{more}"
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
