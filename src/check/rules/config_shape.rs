use super::{Document, Example, Findings, Part, Rule, Run};
use crate::{
    check::shape::{Problem, Shape},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "config-shape",
    level: LintLevel::Deny,
    summary: "a value of a file in `configs/` is missing or of the wrong type",
    docs: "A node refuses a deployment whose configuration it cannot read, but only when the module is deployed or run.",
    fix: Some("takes numbers and booleans out of quotes, and writes a word that differs only in case as it is listed"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "config": {"max_rounds": "5"}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "config": {"max_rounds": 5}}]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    let Some(shape) = Shape::of(document).filter(|shape| *shape != Shape::Manifest) else { return };
    for problem in shape.problems(document).iter().cloned() {
        if let Problem::Value { span, message, label, help, fix } = problem {
            let finding = findings.report(document.at(&span), message);
            finding.label = label;
            finding.help.extend(help);
            finding.fix(fix.map(|text| document.edit(&span, text)));
        }
    }
}
