use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{check::load::is_identifier, module::LintLevel};

pub(super) static RULE: Rule = Rule {
    name: "invalid-entrypoint",
    level: LintLevel::Deny,
    summary: "the entrypoint is not the name of a Python file in the package folder",
    docs: r#"Nodes import the entrypoint as `NAME.FILE` and call the function `FILE` in it, so it stands in the package folder itself
and is named as Python names things."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
entrypoint = "src/run.py""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
entrypoint = "run.py""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    if !module.runs_python() || module.entry_function().is_some() {
        return;
    }
    let given = &module.entrypoint;
    let message = format!("`{given}` is not the name of a Python file in the package folder");
    let finding = findings.report(module.place_of("entrypoint"), message);
    let file = given.rsplit(['/', '\\']).next().unwrap_or(given);
    let stem = file.strip_suffix(".py").unwrap_or(file).replace('-', "_");
    if is_identifier(&stem) {
        finding.help(format!("call it `{stem}.py`, and the function in it `{stem}`"));
    } else {
        finding.help("write for example `run.py`");
    }
}
