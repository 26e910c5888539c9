//! The manners of `docs/commands.md`'s global options and of the environment, on every single command.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{
    Sandbox,
    faults::{Faults, response},
    modules, terminal,
};

/// For each command a line that can be typed again and again, and its exit code. The registry and the node that it
/// reaches know nothing.
const LINES: &[(&str, &[&str], i32)] = &[
    ("add", &["agent:none"], 1),
    ("agents", &["none"], 1),
    ("cancel", &["none"], 1),
    ("check", &[], 0),
    ("completions", &["bash"], 0),
    ("config", &[], 0),
    ("config get", &["node"], 0),
    ("config set", &["color", "alwys"], 2),
    ("create", &["agent:none"], 1),
    ("deploy", &["nowhere"], 2),
    ("dev", &["nowhere"], 2),
    ("environments", &["none"], 1),
    ("exec", &[], 2),
    ("explain", &["max-rounds"], 0),
    ("fetch", &[], 0),
    ("inference", &[], 2),
    ("inference chat", &["hello"], 1),
    ("inference embed", &["hello"], 1),
    ("inference models", &[], 1),
    ("info", &["agent:none"], 1),
    ("init", &["nowhere"], 2),
    ("kbs", &["none"], 1),
    ("login", &[], 1),
    ("logout", &[], 0),
    ("logs", &["none"], 1),
    ("man", &[], 0),
    ("memories", &["none"], 1),
    ("new", &["agnt", "x"], 2),
    ("node", &["--listen", "nowhere"], 2),
    ("node fsck", &["--data", "nowhere"], 2),
    ("nodes", &[], 1),
    ("orchestrators", &["none"], 1),
    ("orchestrators", &["none"], 1),
    ("nodes", &[], 1),
    ("package", &[], 0),
    ("personas", &["none"], 1),
    ("publish", &[], 1),
    ("quickstart", &["napt.toml"], 1),
    ("registry", &["--listen", "nowhere"], 2),
    ("registry fsck", &["--data", "nowhere"], 2),
    ("remove", &["agent:none"], 2),
    ("rollback", &["none"], 1),
    ("run", &["agent:none"], 1),
    ("runs", &[], 1),
    ("schema", &["manifest"], 0),
    ("search", &["none"], 1),
    ("secret", &[], 2),
    ("secret list", &[], 1),
    ("secret remove", &["NONE"], 1),
    ("secret set", &["NONE", "--from-env"], 2),
    ("status", &[], 1),
    ("storage", &["db", "read", "none"], 1),
    ("token", &[], 2),
    ("token new", &[], 1),
    ("tools", &["none"], 1),
    ("tree", &[], 0),
    ("undeploy", &["none"], 1),
    ("update", &[], 0),
    ("yank", &["agent:none@0.1.0", "--reason", "none"], 1),
];

/// Variables, options, whether on a terminal, and whether there is colour then.
type Colour = (&'static [(&'static str, &'static str)], &'static [&'static str], bool, bool);

const ESCAPE: char = '\x1b';

/// A module, and servers that know nothing.
fn scene(variables: &[(&str, &str)]) -> (Faults, Sandbox) {
    let server = Faults::start(|_, _| {
        let problem = json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": "nothing here" });
        response("404 Not Found", "Content-Type: application/problem+json\r\n", &problem.to_string())
    });
    let mut sandbox = Sandbox::new();
    modules::write(&sandbox, ".", "persona:ada", "0.1.0", "");
    sandbox.set("NAPT_REGISTRY", server.url.as_str());
    sandbox.set("NAPT_NODE", server.url.as_str());
    for (name, value) in variables {
        sandbox.set(name, value);
    }
    (server, sandbox)
}

/// Calls `test` with each line and its exit code, several at a time.
fn each(test: impl Fn(&[&str], i32) + Sync) {
    let queue = std::sync::Mutex::new(LINES.iter());
    let next = || queue.lock().expect("no panic while it is locked").next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((command, more, code)) = next() {
                    let line: Vec<&str> = command.split(' ').chain(more.iter().copied()).collect();
                    test(&line, *code);
                }
            });
        }
    });
}

/// The names of all commands, also of those within commands.
fn names(command: &clap::Command, above: &str, found: &mut BTreeSet<String>) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let name = format!("{above}{}", inner.get_name());
        names(inner, &format!("{name} "), found);
        found.insert(name);
    }
}

#[test]
fn every_command_has_a_line_here() {
    let mut found = BTreeSet::new();
    names(&napt::cli::command(), "", &mut found);
    let listed: BTreeSet<String> = LINES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(listed, found);
}

#[test]
fn quiet_leaves_results_and_errors_and_verbose_adds_talk_alone() {
    let (_server, sandbox) = scene(&[]);
    each(|line, code| {
        let with = |option: &str| sandbox.napt(&[line, &[option]].concat());
        let plain = sandbox.napt(line).expect(code);
        assert!(!format!("{plain:?}").contains("\\u{1b}"), "{line:?}: colour without a terminal: {plain:?}");
        let quiet = with("--quiet").expect(code);
        let is_error = quiet.stderr.starts_with("error: ");
        assert!(if code == 0 { quiet.stderr.is_empty() } else { is_error }, "{line:?}: {}", quiet.stderr);
        assert_eq!(quiet.stdout, plain.stdout, "{line:?}");
        for option in ["-v", "-vv"] {
            let verbose = with(option).expect(code);
            assert_eq!(verbose.stdout, plain.stdout, "{line:?} {option}");
        }
    });
}

#[test]
fn colour_is_as_flag_environment_and_terminal_say() {
    let cases: [Colour; 7] = [
        (&[], &[], false, false),
        (&[], &["--color", "always"], false, true),
        (&[("CLICOLOR_FORCE", "1")], &[], false, true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[], false, false),
        (&[("CLICOLOR_FORCE", "1")], &["--color=never"], false, false),
        (&[("NO_COLOR", "1")], &[], true, false),
        (&[("TERM", "dumb")], &[], true, false),
    ];
    for (variables, options, on_terminal, coloured) in cases {
        let (_server, sandbox) = scene(variables);
        // What fails says so in colour; what succeeds need not have any.
        each(|line, code| {
            let line = [line, options].concat();
            let ran = if on_terminal { terminal::run(&sandbox, &line, &[]) } else { sandbox.napt(&line) }.expect(code);
            let text = format!("{}{}", ran.stdout, ran.stderr);
            // Bars move the cursor, which is no colour; a dumb terminal cannot even that.
            let is_dumb = variables.contains(&("TERM", "dumb"));
            let found =
                if is_dumb { text.contains(ESCAPE) } else { text.contains("\x1b[1m") || text.contains("\x1b[3") };
            assert!(if coloured { found || code == 0 } else { !found }, "{line:?} with {variables:?}: {text:?}");
        });
    }
}

#[test]
fn a_reader_that_has_gone_ends_no_command_in_a_panic() {
    let (_server, sandbox) = scene(&[]);
    each(|line, code| {
        let json = [line, &["--message-format", "json"]].concat();
        for (line, code) in [(line, code), (&json, code), (&[line[0], "--help"], 0)] {
            let ran = sandbox.napt_into_nothing(line).expect(code);
            let is_told = ["panicked", "Broken pipe", "defect"].iter().any(|word| ran.stderr.contains(word));
            assert!(!is_told, "{line:?}: {}", ran.stderr);
        }
    });
}
