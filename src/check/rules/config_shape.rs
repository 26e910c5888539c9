use super::{Document, Findings, Rule, Run};
use crate::{
    check::shape::{Problem, Shape},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "config-shape",
    level: LintLevel::Deny,
    summary: "a value of a file in `configs/` is missing or of the wrong type",
    docs: r#"A node refuses a deployment whose configuration it cannot read, but only when the module is deployed or run.

```json
[{"name": "deployment_1", "config": {"max_rounds": "5"}}]
```"#,
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    let Some(shape) = Shape::of(document).filter(|shape| *shape != Shape::Manifest) else { return };
    for problem in shape.problems(document) {
        if let Problem::Value { span, message, label, help } = problem {
            let finding = findings.report(document.at(&span), message);
            finding.label = label;
            finding.help.extend(help);
        }
    }
}
