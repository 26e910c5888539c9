//! `napt completions` and `napt man`.

use std::process::Command;

use crate::support::Sandbox;

/// What bash would offer for a line, as its completion works it out.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let script = sandbox.napt(&["completions", "bash"]).expect(0).stdout;
    let path = sandbox.write("napt.bash", script);
    // What bash does when Tab is pressed: it calls the function that `complete` has noted for the program.
    let session = "set -eu; source \"$1\"; shift
         function=$(complete -p napt | sed 's/.*-F \\([^ ]*\\).*/\\1/')
         COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
         \"$function\" napt \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
         printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", session, "bash"]).arg(path).args(words);
    let output = bash.output().expect("bash is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let sandbox = Sandbox::new();
    assert_eq!(offered(&sandbox, &["napt", "quick"]), ["quickstart"]);
    let all = offered(&sandbox, &["napt", ""]);
    for command in napt::cli::command().get_subcommands() {
        assert!(all.iter().any(|offer| offer == command.get_name()), "{} is not in {all:?}", command.get_name());
    }
    assert_eq!(offered(&sandbox, &["napt", "config", "s"]), ["set"]);
    assert_eq!(offered(&sandbox, &["napt", "publish", "--work"]), ["--workspace"]);
    assert_eq!(offered(&sandbox, &["napt", "check", "--color", "al"]), ["always"]);
    assert_eq!(offered(&sandbox, &["napt", "completions", "fi"]), ["fish"]);
}

#[test]
fn every_shell_has_a_script_and_its_help_says_where_it_goes() {
    let sandbox = Sandbox::new();
    let help = sandbox.napt(&["completions", "--help"]).expect(0).stdout;
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.napt(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("quickstart") && script.contains("workspace"), "{shell}: {script}");
        assert!(help.contains(&format!("napt completions {shell} >")), "{help}");
    }
    let ran = sandbox.napt(&["completions", "fsh"]).expect(2);
    assert!(ran.stderr.contains("tip: a similar value exists: 'fish'"), "{}", ran.stderr);
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let page = sandbox.napt(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH napt 1") && page.contains("napt\\-publish(1)"), "{page}");
    assert!(page.contains(".SH EXIT STATUS") && page.contains(".TP\n130\nCtrl-C"), "{page}");
    sandbox.napt(&["man", "--out", "man/man1"]).expect(0);
    for command in napt::cli::command().get_subcommands() {
        let name = command.get_name();
        let page = std::fs::read_to_string(sandbox.work().join(format!("man/man1/napt-{name}.1"))).expect("a page");
        assert!(page.contains("Examples:") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    assert!(sandbox.work().join("man/man1/napt-config-set.1").is_file());
}
