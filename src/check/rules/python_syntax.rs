use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "python-syntax",
    level: LintLevel::Deny,
    summary: "a Python file of the package is not Python 3",
    docs: "The first error of each file is shown; what follows it is often only its consequence.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/run.py",
            r#"async def run(module_run: dict):
    print "Python 2""#,
        )],
        good: &[Part::File(
            "debate/run.py",
            r#"async def run(module_run: dict):
    print("Python 3")"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    for file in &module.python {
        if let Some(error) = file.syntax_error() {
            let name = file.source.path.file_name().unwrap_or_default().to_string_lossy();
            let finding = findings.report(file.at(&error.span), format!("cannot read `{name}` as Python 3"));
            finding.label(error.message).help.extend(error.help);
        }
    }
}
