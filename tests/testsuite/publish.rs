//! From a project to a registry.

use crate::support::{Sandbox, registry::TestRegistry};

/// Writes a small module.
fn module(sandbox: &Sandbox, folder: &str, id: &str, version: &str, more: &str) {
    let (module_type, name) = id.split_once(':').expect("type:name");
    let manifest = format!(
        "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"{version}\"\nruntime = \"data\"\n\
         description = \"A module for tests\"\n{more}"
    );
    sandbox.write(format!("{folder}/napt.toml"), manifest);
    sandbox.write(format!("{folder}/data.json"), "{}\n");
}

#[test]
fn publish_shows_the_version_in_the_index_and_again_does_no_harm() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    let ran = sandbox.napt(&["publish"]).expect(0);
    assert_eq!(ran.stdout, "persona:ada@0.1.0: published\n");
    let ran = sandbox.napt(&["publish"]).expect(0);
    assert_eq!(ran.stdout, "persona:ada@0.1.0: already published\n");

    let client = registry.client(None);
    let entries = registry.block_on(client.index("persona", "ada")).expect("an index").expect("a module");
    assert_eq!(entries.len(), 1);
    let into = sandbox.work().join("ada.napt");
    let download = client.download("persona", "ada", &entries[0].version, &entries[0].sha256, &into);
    registry.block_on(download).expect("an archive");
    assert_eq!(std::fs::metadata(&into).expect("a file").len(), entries[0].size);
}
