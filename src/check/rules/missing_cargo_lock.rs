use super::{
    Example, Findings, Module, Part, Rule, Run,
    cargo::{MAIN, NO_PYTHON, PACKAGE},
};
use crate::{
    check::source::Document,
    module::{CARGO_LOCK, LintLevel},
};

pub(super) static RULE: Rule = Rule {
    name: "missing-cargo-lock",
    level: LintLevel::Deny,
    summary: "a Rust module is packaged without its `Cargo.lock`",
    docs: "Nodes build with exactly the crates of `Cargo.lock`, so that everybody runs what its author has tried.",
    fix: None,
    example: Example {
        bad: &[NO_PYTHON, PACKAGE, MAIN],
        good: &[
            NO_PYTHON,
            PACKAGE,
            MAIN,
            Part::File(
                "Cargo.lock",
                r#"version = 4

[[package]]
name = "debate"
version = "0.1.0""#,
            ),
        ],
    },
    run: Run::Cargo(run),
};

fn run(module: &Module, native: &Document, findings: &mut Findings<'_>) {
    let is_there = module.root.join(CARGO_LOCK).is_file();
    // When nothing can be packaged, other rules say why.
    let packaged = module.packaged_paths();
    if packaged.iter().any(|path| path == CARGO_LOCK) || (is_there && packaged.is_empty()) {
        return;
    }
    if is_there {
        findings
            .report(native.whole(), "`Cargo.lock` is not packaged")
            .note("git ignores it, or `exclude` of `[module]` leaves it out");
    } else {
        findings.report(native.whole(), "there is no `Cargo.lock`").help("`cargo generate-lockfile` writes it");
    }
}
