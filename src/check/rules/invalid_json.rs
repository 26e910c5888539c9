use super::{Document, Example, Findings, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "invalid-json",
    level: LintLevel::Deny,
    summary: "a file of `configs/` is not strict JSON",
    docs: r#"Nodes read these files with Python's `json`, which takes neither comments nor trailing commas; of a key that stands
twice it silently keeps the last."#,
    fix: Some("removes comments and trailing commas"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[
    {"name": "deployment_1",}, // the only one
]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[
    {"name": "deployment_1"}
]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    if document.source.path.extension().is_none_or(|suffix| suffix != "json") {
        return;
    }
    for error in &document.errors {
        let finding = findings.report(document.at(&error.span), format!("cannot read `{}` as JSON", document.name()));
        finding.label(&error.message);
        if let Some(help) = &error.help {
            finding.help(help);
        }
        finding.fix(error.surplus.as_ref().map(|span| document.edit(span, "")));
    }
}
