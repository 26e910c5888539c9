use super::{Document, Example, Findings, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "manifest-syntax",
    level: LintLevel::Deny,
    summary: "`napt.toml` or `pyproject.toml` is not TOML",
    docs: "Nothing else can be read from a manifest that is not TOML.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "debate"#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "debate""#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    if document.source.path.extension().is_none_or(|suffix| suffix != "toml") {
        return;
    }
    for error in &document.errors {
        let finding = findings.report(document.at(&error.span), format!("cannot read `{}` as TOML", document.name()));
        finding.label(&error.message);
        if let Some(help) = &error.help {
            finding.help(help);
        }
    }
}
