//! What every command has in common.

use crate::support::Sandbox;

#[test]
fn version_is_printed() {
    let ran = Sandbox::new().napt(&["--version"]).expect(0);
    assert_eq!(ran.stdout, format!("napt {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_are_exit_code_2_and_json_when_asked() {
    let ran = Sandbox::new().napt(&["--message-format", "json", "nonsense"]).expect(2);
    assert_eq!(ran.json()["error"]["kind"], "usage");
}
