//! What every command has in common: exit codes, streams, colour, folders.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use crate::support::{
    Sandbox,
    faults::{Faults, Reply, response},
    modules::{self, write as module},
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
    assert!(ran.stderr.contains("similar subcommands exist: ") && ran.stderr.contains("'check'"), "{}", ran.stderr);
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
    assert_eq!(kind(&["-C", "nowhere", "package"], 2), "usage");
    assert_eq!(kind(&["new", "agent", "voice", "--set", "role=a", "-C", "/proc"], 1), "failed");
    assert_eq!(kind(&["package", "--module"], 2), "usage");
    assert_eq!(kind(&["status"], 4), "network");
    assert_eq!(kind(&["publish"], 5), "auth");
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["publish"]).expect(0);
    sandbox.write("data.json", "{\"changed\": true}");
    assert_eq!(kind(&["publish"], 6), "conflict");
    sandbox.write("napt.toml", "[module]\ntype = \"persona\"\nname = \"ada\"\nversion = \"none\"\n");
    assert_eq!(kind(&["check"], 3), "check");
}

#[test]
fn a_defect_is_exit_code_70_with_what_to_report_and_the_envelope() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    module(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.napt(&["login"]).expect(0);
    sandbox.set("FAILPOINTS", "publish.packed=panic(no such luck)");
    let ran = sandbox.napt(&["publish"]).expect(70);
    let told = ["error: napt has a defect and stopped", "no such luck", "hint: please report it"];
    assert!(told.iter().all(|text| ran.stderr.contains(text)), "{}", ran.stderr);
    let json = sandbox.napt(&["publish", "--message-format", "json"]).expect(70).json();
    assert_eq!((&json["command"], &json["error"]["kind"]), (&"publish".into(), &"bug".into()));
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
        let ran = sandbox.napt_into_nothing(arguments).expect(0);
        assert!(!ran.stderr.contains("error: "), "{}", ran.stderr);
    }
    // What is wrong stays wrong.
    sandbox.napt_into_nothing(&["status", "--node", &nowhere(), "--message-format", "json"]).expect(4);
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
}

#[test]
fn a_folder_that_is_not_there_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for arguments in [["check", "nowhere"], ["deploy", "nowhere"]] {
        let ran = sandbox.napt(&arguments).expect(2);
        assert!(ran.stderr.starts_with("error: there is no folder `"), "{}", ran.stderr);
        assert!(ran.stderr.contains("nowhere`"), "{}", ran.stderr);
    }
    let ran = sandbox.napt(&["-C", "nowhere", "package"]).expect(2);
    assert_eq!(ran.stderr, "error: there is no folder `nowhere`\n");
}

#[test]
fn values_that_cannot_work_are_refused_on_the_command_line() {
    let user = format!("user:{}", "0".repeat(128));
    for arguments in [
        ["runs", "--limit", "0"],
        ["node", "--max-runs", "0"],
        ["node", "--max-processes", "0"],
        ["node", "--user", "bob"],
        ["node", "--user", &user],
        ["node", "--peer", "ftp://127.0.0.1"],
        ["node", "--provider", "models.example"],
    ] {
        let ran = Sandbox::new().napt(&arguments).expect(2);
        assert!(ran.stderr.contains(arguments[1]), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_mistyped_module_type_gets_a_tip() {
    let ran = Sandbox::new().napt(&["run", "orchestrater:debate"]).expect(2);
    assert!(ran.stderr.contains("tip: did you mean `orchestrator`?"), "{}", ran.stderr);
}

#[test]
fn a_node_is_its_host_and_port_and_a_good_token_or_none() {
    for (url, problem) in [
        ("http://127.0.0.1:9/some/path", "has a path"),
        ("http://127.0.0.1:9/?x", "has a path"),
        ("http://napt_short@127.0.0.1:9", "is not a token"),
        ("http://me:secret@127.0.0.1:9", "is not a token"),
    ] {
        let ran = Sandbox::new().napt(&["status", "--node", url]).expect(2);
        assert!(ran.stderr.contains(problem), "{url}: {}", ran.stderr);
        assert!(!ran.stderr.contains("secret") && !ran.stderr.contains("napt_short"), "{url}: {}", ran.stderr);
    }
}

#[test]
fn a_member_is_found_by_its_name_when_only_one_has_it() {
    let sandbox = Sandbox::new();
    sandbox.write("napt.toml", "[workspace]\nmembers = [\"*\"]\n");
    for (folder, id) in [("a", "persona:chatter"), ("b", "memory:chatter"), ("c", "persona:other")] {
        modules::write(&sandbox, folder, id, "0.1.0", "");
    }
    let ran = sandbox.napt(&["package", "--list", "--module", "chatter"]).expect(2);
    assert!(ran.stderr.contains("hint: say which one: memory:chatter or persona:chatter"), "{}", ran.stderr);
    sandbox.napt(&["package", "--list", "--module", "persona:chatter"]).expect(0);
    let ran = sandbox.napt(&["package", "--list", "--module", "othr"]).expect(2);
    assert!(ran.stderr.contains("hint: did you mean `other`?"), "{}", ran.stderr);
}

#[test]
fn a_mistyped_key_of_a_deployment_is_told() {
    let given = r#"{"confg": {}, "agent_deployments": [{"config": {"max_ruonds": 1, "max_rounds": 2}}]}"#;
    let arguments = ["run", "agent:chat", "--deployment", given, "--node", "http://127.0.0.1:9"];
    let ran = Sandbox::new().napt(&arguments).expect(4);
    for key in ["confg", "max_ruonds"] {
        assert!(ran.stderr.contains(&format!("warning: `{key}` in `--deployment`")), "{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("warning").count(), 2, "{}", ran.stderr);
}

#[test]
fn a_proxy_is_for_other_machines() {
    let registry = TestRegistry::start();
    let mut sandbox = registry.sandbox();
    sandbox.set("NAPT_HTTP_RETRIES", "0");
    for name in ["HTTP_PROXY", "ALL_PROXY", "https_proxy"] {
        sandbox.set(name, &nowhere());
    }
    sandbox.napt(&["login"]).expect(0);
    sandbox.napt(&["search"]).expect(0);
    // What stands in for the proxy is asked for the other machine's address, and answers itself.
    sandbox.set("HTTP_PROXY", registry.url.as_str());
    sandbox.napt(&["search", "--registry", "http://registry.invalid"]).expect(0);
    sandbox.set("NO_PROXY", "registry.invalid");
    sandbox.napt(&["search", "--registry", "http://registry.invalid"]).expect(4);
}
