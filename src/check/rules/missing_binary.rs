use super::{
    Example, Findings, Module, Part, Rule, Run,
    cargo::{LOCK, MAIN, NO_PYTHON, PACKAGE},
};
use crate::{
    check::source::Document,
    module::{LintLevel, NativeManifest},
};

pub(super) static RULE: Rule = Rule {
    name: "missing-binary",
    level: LintLevel::Deny,
    summary: "a Rust package has no binary that is the one to run",
    docs: "A node runs a binary of the package: `entrypoint` of `[module]`, else `default-run` of `[package]`, else the only one, or the one
that is called like the package. Cargo makes one of `src/main.rs`.",
    fix: None,
    example: Example {
        bad: &[
            NO_PYTHON,
            PACKAGE,
            Part::File("src/lib.rs", "pub fn run() {}"),
            LOCK,
        ],
        good: &[
            NO_PYTHON,
            PACKAGE,
            MAIN,
            LOCK,
        ],
    },
    run: Run::Cargo(run),
};

fn run(module: &Module, document: &Document, findings: &mut Findings<'_>) {
    if !document.errors.is_empty() {
        return;
    }
    match NativeManifest::read(&module.root) {
        Ok(native) => {
            let given = module.manifest.as_ref().and_then(|manifest| manifest.get(&["module", "entrypoint"]));
            if native.entrypoint.is_none() && given.is_none() {
                findings
                    .report(document.whole(), "no binary of this package is the one to run")
                    .help("write `src/main.rs`; of several, name one as `entrypoint` in `[module]`");
            }
        }
        Err(error) => {
            findings.report(document.whole(), format!("nodes cannot build this package: {error}"));
        }
    }
}
