use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, Runtime};

pub(super) static RULE: Rule = Rule {
    name: "missing-runtime",
    level: LintLevel::Deny,
    summary: "a module that runs has nothing that says how",
    docs: "Every type but `persona` is code. A Python module has a `pyproject.toml` from which nodes build its environment, or
older files that say the same: `setup.py`, `setup.cfg` or `requirements.txt`. A Rust module has a `Cargo.toml`.",
    fix: None,
    example: Example {
        bad: &[Part::Without("pyproject.toml")],
        good: &[Part::File(
            "pyproject.toml",
            r#"[project]
name = "debate"
version = "0.1.0"
requires-python = ">=3.10,<3.13""#,
        )],
    },
    run: Run::Module(run),
};

/// Files that say what a Python project needs where there is no `pyproject.toml`.
const OLDER: [&str; 3] = ["setup.py", "setup.cfg", "requirements.txt"];

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(module_type) = module.module_type.filter(|module_type| module_type.is_runnable()) else { return };
    match module.runtime {
        Runtime::Data => {
            findings
                .report(module.place_of("runtime"), format!("nothing says how this {module_type} is run"))
                .help("add a `pyproject.toml` or a `Cargo.toml` beside `napt.toml`; only a `persona` is data alone");
        }
        Runtime::Python if module.native.is_none() && !OLDER.iter().any(|file| module.root.join(file).is_file()) => {
            findings
                .report(module.place_of("runtime"), "a Python module needs a `pyproject.toml`")
                .note("nodes build the module's environment from it");
        }
        Runtime::Rust if module.native.is_none() => {
            findings
                .report(module.place_of("runtime"), "a Rust module needs a `Cargo.toml`")
                .help("`napt new agent NAME --lang rust` shows one");
        }
        Runtime::Python | Runtime::Rust => {}
    }
}
