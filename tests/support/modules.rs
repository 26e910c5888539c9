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
