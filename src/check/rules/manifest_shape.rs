use super::{Document, Example, Findings, Part, Rule, Run};
use crate::{
    check::{
        load::NATIVE_FILE,
        shape::{Problem, Shape},
    },
    module::{LintLevel, MANIFEST_FILE, NativeError, NativeManifest},
};

pub(super) static RULE: Rule = Rule {
    name: "manifest-shape",
    level: LintLevel::Deny,
    summary: "a value of `napt.toml` is missing or of the wrong type",
    docs: "The manifest is read into fixed types; a value that does not fit stops every command.",
    fix: Some(
        r#"puts brackets around the only element of a list, takes numbers and booleans out of quotes, and writes a word that differs
only in case as it is listed"#,
    ),
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
keywords = "debate""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
keywords = ["debate"]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    match &*document.name() {
        MANIFEST_FILE => own(document, findings),
        NATIVE_FILE if document.errors.is_empty() => native(document, findings),
        _ => {}
    }
}

fn own(document: &Document, findings: &mut Findings<'_>) {
    for problem in Shape::Manifest.problems(document).iter().cloned() {
        if let Problem::Value { span, message, label, help, fix } = problem {
            let finding = findings.report(document.at(&span), message);
            finding.label = label;
            finding.help.extend(help);
            finding.fix(fix.map(|text| document.edit(&span, text)));
        }
    }
    if document.errors.is_empty() && document.get(&["module"]).is_none() && document.get(&["workspace"]).is_none() {
        let finding = findings.report(document.whole(), "there is neither `[module]` nor `[workspace]`");
        finding.help("add `[module]` with `type = \"agent\"`");
    }
}

/// The native manifest belongs to other tools: only what napt reads of it is checked.
fn native(document: &Document, findings: &mut Findings<'_>) {
    let Some(root) = document.source.path.parent() else { return };
    if let Err(NativeError::Syntax { error, .. }) = NativeManifest::read(root) {
        let span = error.span().unwrap_or(0..0);
        findings.report(document.at(&span), "a value has not the type that it should have").label(error.message());
    }
}
