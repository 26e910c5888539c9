use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{config::COMPONENT_FILE, module::LintLevel, report::did_you_mean};

pub(super) static RULE: Rule = Rule {
    name: "missing-input-schema",
    level: LintLevel::Deny,
    summary: "`schemas.py` does not define `InputSchema`",
    docs: r#"A node validates a run's inputs with the pydantic class `InputSchema` of the package's `schemas.py` before it calls the
module, and hands on what that class makes of them."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/schemas.py",
            r#"from pydantic import BaseModel

class Inputs(BaseModel):
    prompt: str"#,
        )],
        good: &[Part::File(
            "debate/schemas.py",
            r#"from pydantic import BaseModel

class InputSchema(BaseModel):
    prompt: str"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(package) = module.package().filter(|package| package.is_dir() && module.runs_python()) else { return };
    if !package.join(FILE).is_file() {
        // Not every module of 2024 had one.
        if package.join(COMPONENT_FILE).is_file() {
            return;
        }
        let shown = package.file_name().unwrap_or_default().to_string_lossy();
        findings
            .report(module.place_of("name"), format!("the package has no `{FILE}`"))
            .note("a node validates inputs with the class `InputSchema` in it")
            .help(format!("write `{shown}/{FILE}` with a pydantic class `{CLASS}`"));
        return;
    }
    let Some(file) = module.python_file(FILE) else { return };
    if file.syntax_error().is_some() || file.defines(CLASS).is_some() {
        return;
    }
    let finding = findings.report(file.whole(), format!("`{FILE}` does not define `{CLASS}`"));
    finding.note("a node validates inputs with it");
    match did_you_mean(CLASS, file.classes()) {
        Some(near) => finding.help(format!("rename `{near}` to `{CLASS}`")),
        None => finding.help(format!("add `class {CLASS}(BaseModel)`")),
    };
}

const FILE: &str = "schemas.py";
const CLASS: &str = "InputSchema";
