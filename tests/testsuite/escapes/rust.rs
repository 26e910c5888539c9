//! A hostile module in Rust: what is no Python is shut in just as well, and has the same limits.

use serde_json::json;

use super::{
    End::{self, Error, Refused, Result},
    Stage,
};
use crate::support::rust::Rust;

/// Tries what the ones in Python try, and what is easier without it: system calls made directly, descriptors by number.
const SPY: &str = include_str!("modules/rusty.rs");

const LIMITS: &str = "[limits]\ntimeout = \"10s\"\ncpu = \"2s\"\nmemory = \"256MiB\"\nprocesses = 16\nfiles = 64\n\
                      file-size = \"1MiB\"\ndisk = \"8MiB\"\noutput = \"64KiB\"\n";

/// What it tries, and how it may end.
const TRIES: &[(&str, &[End])] = &[
    ("reach", &[Refused]),
    ("calls", &[Refused]),
    ("descriptors", &[Refused]),
    ("process 1", &[Refused]),
    ("spin", &[Error("CPU limit of 2 s reached")]),
    ("spin in many", &[Error("CPU limit of 2 s reached")]),
    ("allocate", &[Error("memory limit of 256 MiB reached")]),
    ("map shared memory", &[Error("memory limit of 256 MiB reached")]),
    ("threads", &[Error("process limit of 16 reached")]),
    ("fork", &[Error("process limit of 16 reached")]),
    ("open", &[Error("open file limit of 64 reached")]),
    ("open, and say something else", &[Error("open file limit of 64 reached")]),
    ("a large file", &[Error("file size limit of 1 MiB reached")]),
    ("many files", &[Error("disk limit of 8 MiB reached")]),
    ("print", &[Error("output limit of 64 KiB reached")]),
    ("a large result", &[Error("result limit of 16 MiB reached")]),
    ("ignore signals", &[Error("time limit of 10 s reached")]),
    ("answer twice", &[Result("first")]),
    ("answer for another", &[Error("gave up its connection"), Error("exited with code 0 before it had a result")]),
    ("a frame of 2 GiB", &[Error("result limit of 16 MiB reached"), Error("gave up its connection")]),
];

#[test]
fn a_hostile_module_in_rust_reaches_nothing_and_takes_no_more_than_its_share() {
    let stage = Stage::with(&[]);
    let attacker = stage.attacker();
    Rust { more: LIMITS, ..Rust::new("agent:rusty", SPY) }.write(attacker);
    attacker.write("napt.toml", "[workspace]\nmembers = [\"rusty\"]\n");
    attacker.napt(&["deploy", "-m", "agent:rusty", "--no-verify"]).expect(0);
    let mut out = Vec::new();
    for (which, ends) in TRIES {
        let run = stage.start("agent:rusty", &json!({ "which": which }));
        let wrong = End::judge_any(ends, &run).into_iter().chain(stage.harm(&run));
        out.extend(wrong.map(|what| format!("{which}: {what}")));
    }
    out.extend(stage.end());
    assert!(out.is_empty(), "{} got out:\n{}", out.len(), out.join("\n"));
}
