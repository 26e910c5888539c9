use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{module::LintLevel, report::did_you_mean};

pub(super) static RULE: Rule = Rule {
    name: "missing-entry-function",
    level: LintLevel::Deny,
    summary: "the entrypoint does not define the function of its name",
    docs: "A node calls the function that is named like the entrypoint file: `run` in `run.py`.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/run.py",
            r#"async def main(module_run: dict):
    ..."#,
        )],
        good: &[Part::File(
            "debate/run.py",
            r#"async def run(module_run: dict):
    ..."#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let (Some(name), Some(file)) = (module.entry_function(), module.python_file(&module.entrypoint)) else { return };
    // What cannot be read may well hold the function.
    if file.syntax_error().is_some() || file.defines(name).is_some() {
        return;
    }
    let finding = findings.report(file.whole(), format!("`{}` does not define `{name}`", module.entrypoint));
    finding.help(match did_you_mean(name, file.functions()) {
        Some(near) => format!("rename `{near}` to `{name}`"),
        None => format!("add `async def {name}(module_run: dict)`"),
    });
}
