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

#[test]
fn keys_and_tokens_that_others_may_read_are_refused() {
    let registry = TestRegistry::start();
    let sandbox = registry.sandbox();
    sandbox.napt(&["login"]).expect(0);
    let config = sandbox.home().join("napt/config");
    for (file, command) in [("identity.key", &["login"][..]), ("credentials.toml", &["config"])] {
        let path = config.join(file);
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("it is ours");
            let ran = sandbox.napt(command).expect(5);
            assert!(ran.stderr.contains(&format!("its mode {mode:04o} lets others read it")), "{}", ran.stderr);
            assert!(ran.stderr.contains("hint: `chmod 600 "), "{}", ran.stderr);
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("it is ours");
            sandbox.napt(command).expect(0);
        }
    }
}
