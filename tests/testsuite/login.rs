//! Signing in and out.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Sandbox, registry::TestRegistry};

#[test]
fn login_keeps_key_and_token_private_and_is_repeatable() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    let first = sandbox.napt(&["--message-format", "json", "login"]).expect(0).json();
    assert_eq!(first["data"]["created"], true);
    let again = sandbox.napt(&["--message-format", "json", "login"]).expect(0).json();
    assert_eq!(again["data"]["created"], false);
    assert_eq!(first["data"]["user"], again["data"]["user"]);
    for file in ["identity.key", "credentials.toml"] {
        let path = sandbox.home().join("napt/config").join(file);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_token_of_the_environment_is_not_for_the_registry_of_a_checkout() {
    let registry = TestRegistry::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("NAPT_TOKEN", &format!("napt_{}", "0a".repeat(24)));
    sandbox.write(".napt/config.toml", format!("registry = \"{}\"\n", registry.url));
    crate::support::modules::write(&sandbox, "voice", "agent:voice", "1.0.0", "");
    let ran = sandbox.napt(&["publish", "-C", "voice"]).expect(5);
    assert!(ran.stderr.contains("`NAPT_TOKEN` is not sent") && ran.stderr.contains("NAPT_REGISTRY"), "{}", ran.stderr);
    // Named by whoever has the token, it is sent, and is no good there.
    let ran = sandbox.napt(&["publish", "--no-verify", "-C", "voice", "--registry", registry.url.as_str()]).expect(5);
    assert!(!ran.stderr.contains("is not sent"), "{}", ran.stderr);
}
