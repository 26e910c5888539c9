//! What every command has in common: exit codes, streams, colour, folders.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::support::{
    Ran, Sandbox,
    faults::{Faults, Reply, response},
    modules::write as module,
    registry::TestRegistry,
};

/// An address where nothing listens.
fn nowhere() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    format!("http://{free}")
}

#[test]
fn version_is_printed() {
    let ran = Sandbox::new().napt(&["--version"]).expect(0);
    assert_eq!(ran.stdout, format!("napt {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_are_exit_code_2_and_json_when_asked() {
    for arguments in [&["--message-format", "json", "nonsense"], &["nonsense", "--message-format=json", "--what"]] {
        let ran = Sandbox::new().napt(arguments).expect(2);
        assert_eq!(ran.json()["error"]["kind"], "usage");
        assert_eq!(ran.stderr, "");
    }
    let ran = Sandbox::new().napt(&["chekc"]).expect(2);
    assert!(ran.stderr.contains("a similar subcommand exists: 'check'"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_NODE", &nowhere());
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let kind = |arguments: &[&str], code: i32| {
        let ran = sandbox.napt(arguments).expect(code);
        assert!(ran.stderr.contains("error: ") == (code != 0), "{}", ran.stderr);
        let arguments = [&["--message-format", "json"], arguments].concat();
        let json = sandbox.napt(&arguments).expect(code).json();
        json["error"]["kind"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(kind(&["package", "--list"], 0), "none");
    assert_eq!(kind(&["-C", "nowhere", "package"], 1), "failed");
    assert_eq!(kind(&["package", "--module"], 2), "usage");
    assert_eq!(kind(&["status"], 4), "network");
    assert_eq!(kind(&["publish"], 5), "auth");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish"]).expect(0);
    sandbox.write("data.json", "[]");
    assert_eq!(kind(&["publish"], 6), "conflict");
    sandbox.write("napt.toml", "[module]\ntype = \"persona\"\nname = \"ada\"\nversion = \"none\"\n");
    assert_eq!(kind(&["check"], 3), "check");
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_the_run_and_is_exit_code_130() {
    let run = serde_json::json!({
        "id": "0".repeat(32), "root": "0".repeat(32), "module": "agent:a", "consumer": "user:x",
        "status": "processing", "inputs": {}, "created": "2026-01-01T00:00:00Z",
    });
    let node = Faults::start(move |_, head| match head.split(' ').nth(1) {
        Some(path) if path.contains("/events") => Reply::Hang,
        _ => response("200 OK", "Content-Type: application/json\r\n", &run.to_string()),
    });
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["run", "agent:a", "--node", node.url.as_str()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("napt starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut text = String::new();
    // It says so when the node has accepted the run.
    stderr.read_line(&mut text).expect("a line");
    assert!(text.starts_with("run 0000"), "{text}");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it is there");
    stderr.read_to_string(&mut text).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{text}");
    assert!(text.contains("error: interrupted; the node was asked to cancel the run"), "{text}");
}

/// Runs `napt` with nobody to read its stdout.
fn into_nothing(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command: Command = sandbox.command(arguments);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("napt starts");
    let output = child.wait_with_output().expect("it ends");
    Ran {
        code: output.status.code(),
        stdout: String::new(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let sandbox = Sandbox::new();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    for arguments in [
        &["--help"][..],
        &["package", "--help"],
        &["--version"],
        &["package", "--list"],
        &["package"],
        &["package", "--message-format", "json"],
        &["check", "--message-format", "json"],
    ] {
        let ran = into_nothing(&sandbox, arguments).expect(0);
        assert!(!ran.stderr.contains("error: "), "{}", ran.stderr);
    }
    // What is wrong stays wrong.
    into_nothing(&sandbox, &["status", "--node", &nowhere(), "--message-format", "json"]).expect(4);
}

#[test]
fn results_go_to_stdout_and_talk_to_stderr_where_quiet_ends_it() {
    let sandbox = Sandbox::new();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let normal = sandbox.napt(&["package"]).expect(0);
    assert!(normal.stderr.contains("Packaging") && normal.stdout.starts_with("target/package/"), "{normal:?}");
    let quiet = sandbox.napt(&["package", "--quiet"]).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), (normal.stdout.as_str(), ""));
    let verbose = sandbox.napt(&["package", "-v"]).expect(0);
    assert!(verbose.stderr.lines().any(|line| line.trim() == "data.json"), "{}", verbose.stderr);
    assert_eq!(verbose.stdout, normal.stdout);
    let failed = sandbox.napt(&["-q", "package", "--module", "none"]);
    assert!(failed.stderr.starts_with("error: "), "errors are told even so: {}", failed.stderr);
    sandbox.napt(&["package", "-q", "-v"]).expect(2);
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let mut sandbox = Sandbox::new();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    let is_coloured = |sandbox: &Sandbox, arguments: &[&str]| {
        let arguments = [&["package"], arguments].concat();
        sandbox.napt(&arguments).expect(0).stderr.contains("\u{1b}[")
    };
    assert!(!is_coloured(&sandbox, &[]));
    assert!(is_coloured(&sandbox, &["--color", "always"]));
    sandbox.set("CLICOLOR_FORCE", "1");
    assert!(is_coloured(&sandbox, &[]));
    assert!(!is_coloured(&sandbox, &["--color", "never"]));
    sandbox.set("NO_COLOR", "1");
    sandbox.set("CLICOLOR_FORCE", "");
    assert!(!is_coloured(&sandbox, &[]));
    assert!(is_coloured(&sandbox, &["--color", "always"]), "a flag goes before the environment");
}

#[test]
fn another_folder_is_as_if_called_there() {
    let sandbox = Sandbox::new();
    module(&sandbox, "a/b", "persona:ada", "0.1.0", "");
    let there = sandbox.napt(&["-C", "a/b", "package", "--list"]).expect(0);
    assert!(there.stdout.contains("data.json"), "{}", there.stdout);
    let after = sandbox.napt(&["package", "--list", "--directory", "a/b"]).expect(0);
    assert_eq!(after.stdout, there.stdout);
    let nowhere = sandbox.napt(&["-C", "nowhere", "package"]).expect(1);
    assert!(nowhere.stderr.starts_with("error: cannot run in `nowhere`\n"), "{}", nowhere.stderr);
}
