//! The watch for secrets that stands behind every test: it sees a leak wherever there is one.

use std::panic::catch_unwind;

use crate::support::{
    Sandbox,
    canary::{VARIABLE, check_file, leak, secrets},
};

fn sandbox() -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new();
    let config = sandbox.home().join("napt/config");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("identity.key"), "5f".repeat(32)).expect("a file");
    let credentials = format!("[registries.\"http://h/\"]\ntoken = \"napt_{}\"\n", "0a".repeat(24));
    std::fs::write(config.join("credentials.toml"), credentials).expect("a file");
    let all = secrets(&sandbox.home(), &[("NAPT_PROVIDER_KEY".to_owned(), "provider-key-0123456789".to_owned())]);
    (sandbox, all)
}

#[test]
fn every_secret_of_a_home_is_known_and_seen_in_a_text() {
    let (_sandbox, all) = sandbox();
    assert_eq!(all.len(), 4, "{all:?}");
    for secret in &all {
        assert!(leak(format!("before {secret} after").as_bytes(), &all).is_some(), "{secret}");
    }
    assert!(leak(format!("napt_{}", "1b".repeat(24)).as_bytes(), &[]).is_some(), "a token of anybody's");
    assert_eq!(leak(b"napt_short and napt run", &all), None);
}

#[test]
fn a_command_that_prints_a_secret_fails_its_test() {
    let (sandbox, _) = sandbox();
    let print = |text: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "echo \"$1\" >&2", "sh", text]);
        catch_unwind(std::panic::AssertUnwindSafe(|| sandbox.run(&mut command))).is_err()
    };
    assert!(!print("nothing"));
    assert!(print(VARIABLE.1));
    assert!(print(&"5f".repeat(32)));
    assert!(print(&format!("token napt_{}.", "0a".repeat(24))));
}

#[test]
fn a_file_or_an_archive_with_a_secret_fails_its_test() {
    let (sandbox, all) = sandbox();
    let is_seen = |name: &str, bytes: &[u8]| {
        let path = sandbox.home().join(name);
        std::fs::write(&path, bytes).expect("a file");
        catch_unwind(|| check_file(&path, &all)).is_err()
    };
    assert!(!is_seen("fine", b"nothing here"));
    assert!(is_seen("file", format!("\0binary\0{}", all[0]).as_bytes()));
    assert!(is_seen("archive", &crate::support::archives::gzip(all[1].as_bytes())));
}
