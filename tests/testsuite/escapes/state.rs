//! What a run leaves behind: nothing that the next one could see, and nothing that a terminal does.

use napt::wire::RunStatus;

use super::{
    Attack,
    End::{Error, Refused},
    Stage, all_fail, attacks,
    stage::FLAGS,
};
use crate::support::{modules::Python, node::TestNode, terminal};

pub const ATTACKS: &[Attack] = attacks! {
    // A run of the same user comes right after it, and sees nothing of it.
    patch_the_interpreter => [Refused];
    witness => [Refused];
    attack_while_imported => [Refused];
    log_escapes => [Error("ValueError: ")];
};

#[test]
fn no_run_finds_anything_of_another() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

/// Answers for the node's own side of its process, whatever it is asked.
const FORGER: &str = r#"
import json

real = json.dumps
json.dumps = lambda value, **more: real({**value, "ok": True, "result": "forged"} if "op" in value else value, **more)

def run(module_run):
    return "never"
"#;

#[test]
fn a_forged_import_is_the_modules_fault() {
    let node = TestNode::start(FLAGS);
    Python::new("agent:forger", FORGER).write(&node.sandbox);
    let told = node.napt(&["deploy", "forger", "--no-verify"]).expect(1).stderr;
    assert!(told.contains("its process answered something else than how its import went"), "{told}");
    assert!(!told.contains("the node failed"), "{told}");
}

#[test]
fn what_a_module_prints_does_nothing_to_a_terminal() {
    let attack = ATTACKS.iter().find(|attack| attack.name == "log_escapes").expect("it is there");
    let stage = Stage::with(std::slice::from_ref(attack));
    let run = stage.run(attack);
    assert_eq!(run.status, RunStatus::Error);
    for arguments in [&["logs", &run.id][..], &["status", &run.id], &["runs"]] {
        let printed = terminal::run(stage.attacker(), arguments, &[]).stdout;
        assert!(arguments[0] == "runs" || printed.contains("]0;owned"), "it is told all the same: {printed:?}");
        // Colours and styles may stay.
        let without = printed.split("\u{1b}[").enumerate().map(|(number, piece)| {
            let style = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            if number == 0 { piece } else { style.strip_prefix('m').unwrap_or("\u{1b}") }
        });
        let without: String = without.collect();
        let odd = |c: &char| c.is_control() && !"\r\n\t".contains(*c) || ('\u{202a}'..='\u{202e}').contains(c);
        assert_eq!(without.chars().find(odd), None, "{arguments:?}: {printed:?}");
    }
    assert_eq!(stage.end(), [""; 0]);
}
