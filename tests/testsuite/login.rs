//! Signing in and out.

use std::os::unix::fs::PermissionsExt;

use crate::support::registry::TestRegistry;

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
