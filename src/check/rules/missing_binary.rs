use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, NativeManifest, Runtime};

pub(super) static RULE: Rule = Rule {
    name: "missing-binary",
    level: LintLevel::Deny,
    summary: "a Rust package has no binary that is the one to run",
    docs: "A node runs a binary of the package: `entrypoint` of `[module]`, else `default-run` of `[package]`, else the only one, or the one
that is called like the package. Cargo makes one of `src/main.rs`.",
    fix: None,
    example: Example {
        bad: &[
            Part::Without("pyproject.toml"),
            Part::File(
                "Cargo.toml",
                r#"[package]
name = "debate"
version = "0.1.0"
edition = "2021""#,
            ),
            Part::File("src/lib.rs", "pub fn run() {}"),
            Part::File("Cargo.lock", "version = 4"),
        ],
        good: &[
            Part::Without("pyproject.toml"),
            Part::File(
                "Cargo.toml",
                r#"[package]
name = "debate"
version = "0.1.0"
edition = "2021""#,
            ),
            Part::File("src/main.rs", "fn main() {}"),
            Part::File("Cargo.lock", "version = 4"),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(document) = module.native.as_ref().filter(|_| module.runtime == Runtime::Rust) else { return };
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
