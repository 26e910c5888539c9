use super::{Document, Findings, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "manifest-syntax",
    level: LintLevel::Deny,
    summary: "`napt.toml` or `pyproject.toml` is not TOML",
    docs: r#"Nothing else can be read from a manifest that is not TOML.

```toml
[module]
name = "debate          # the closing quote is missing
```"#,
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
