use super::{Document, Findings, Rule, Run};
use crate::{
    check::shape::{Problem, Shape},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "manifest-shape",
    level: LintLevel::Deny,
    summary: "a value of `napt.toml` is missing or of the wrong type",
    docs: r#"The manifest is read into fixed types; a value that does not fit stops every command.

```toml
[module]
type = "orchestrater"   # not one of the seven types
include = "*.py"        # a list is needed: ["*.py"]
```"#,
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    if Shape::of(document).is_none_or(|shape| shape != Shape::Manifest) {
        return;
    }
    for problem in Shape::Manifest.problems(document) {
        if let Problem::Value { span, message, label, help } = problem {
            let finding = findings.report(document.at(&span), message);
            finding.label = label;
            finding.help.extend(help);
        }
    }
}
