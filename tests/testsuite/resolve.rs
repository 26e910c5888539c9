//! Dependencies against a real registry.

use std::{collections::BTreeMap, fmt::Write};

use napt::{
    registries::{Registries, Registry},
    report::{Fault, Kind},
    resolve::{Request, ResolveError, resolve},
};
use url::Url;

use crate::support::registry::{TestRegistry, client};

/// Publishes a persona that needs others.
fn publish(registry: &TestRegistry, name: &str, version: &str, needs: &[&str]) {
    let sandbox = registry.sandbox();
    let mut manifest = format!(
        "[module]\ntype = \"persona\"\nname = \"{name}\"\nversion = \"{version}\"\nentrypoint = \"persona.json\"\n[dependencies]\n"
    );
    for need in needs {
        let (id, req) = need.split_once(' ').expect("an id and a requirement");
        writeln!(manifest, "\"{id}\" = \"{req}\"").expect("text");
    }
    sandbox.write("napt.toml", manifest);
    sandbox.write("persona.json", "{}");
    sandbox.write("README.md", "# A persona\n");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish"]).expect(0);
}

fn asking(id: &str, req: &str) -> Request {
    Request::of_module(id.parse().expect("an id"), req.parse().expect("a requirement"))
}

#[test]
fn versions_come_from_the_registrys_index() {
    let registry = TestRegistry::start();
    publish(&registry, "moon", "1.0.0", &[]);
    publish(&registry, "sun", "1.0.0", &["persona:moon ^1"]);
    let mut url = registry.url.clone();
    url.set_username("somebody").expect("a URL that can have a user");
    let index = Registries::new(Registry::new(registry.client(None), &url), BTreeMap::new());
    let lock = registry.block_on(resolve(asking("persona:sun", "^1"), &index)).expect("a solution");
    let found: Vec<String> = lock.modules.iter().map(|module| format!("{}@{}", module.id, module.version)).collect();
    assert_eq!(found, ["persona:moon@1.0.0", "persona:sun@1.0.0"]);
    let expected = registry.url.as_str().trim_end_matches('/');
    assert!(lock.modules.iter().all(|module| module.registry.as_deref() == Some(expected)), "{lock:?}");
    let text = registry.index("persona:sun").expect("an index");
    assert!(text.contains(lock.modules[1].sha256.as_deref().expect("a sha256")));

    let error = registry.block_on(resolve(asking("persona:mars", "*"), &index)).expect_err("it does not exist");
    assert!(matches!(error, ResolveError::Unknown { .. }), "{error}");
}

#[test]
fn a_registry_that_is_not_there_is_a_network_error_with_a_hint() {
    let registry = TestRegistry::start();
    let url: Url = registry.url.clone();
    drop(registry);
    let index = Registries::new(Registry::new(client(url.clone(), None), &url), BTreeMap::new());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = runtime.block_on(resolve(asking("agent:x", "*"), &index)).expect_err("nobody answers");
    assert_eq!((error.to_string(), error.kind()), ("cannot look up `agent:x`".to_owned(), Kind::Network));
    assert!(error.hint().is_some());
}
