//! A terminal for `napt` to run on.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::{Ran, Sandbox};

/// Runs `napt` on a terminal of 80 columns, where each answer follows its question. stdout has all that it showed.
pub fn run(sandbox: &Sandbox, arguments: &[&str], answers: &[(&str, &str)]) -> Ran {
    let answers: Vec<_> = answers.iter().map(|(question, keys)| (*question, Value::from(*keys))).collect();
    run_in(80, sandbox, arguments, &answers)
}

/// The same on a terminal of so many columns. An answer that is a number makes it so wide.
pub fn run_in(columns: u16, sandbox: &Sandbox, arguments: &[&str], answers: &[(&str, Value)]) -> Ran {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/terminal.py");
    let napt = sandbox.command(arguments);
    let mut command = Command::new("python3");
    command.arg(script).arg(columns.to_string()).arg(serde_json::json!(answers).to_string());
    command.arg(napt.get_program()).args(napt.get_args()).current_dir(sandbox.work());
    // Nothing but what the sandbox lets in: with `CI` set, any terminal has colours.
    command.env_clear().env("TERM", "xterm");
    command.envs(napt.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ran::of(command.output().expect("a Python on the path"))
}
