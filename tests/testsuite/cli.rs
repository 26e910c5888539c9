//! What every command has in common.

use crate::support::{Sandbox, modules};

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
