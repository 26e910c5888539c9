use super::RULES;
use super::{Document, Example, Findings, Part, Rule, Run};
use crate::{
    check::{shape::correction, source::Node},
    module::{LintLevel, MANIFEST_FILE},
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "unknown-lint",
    level: LintLevel::Warn,
    summary: "`[lints]` sets the level of a rule that does not exist",
    docs: "A level that is set for no rule silences nothing.",
    fix: Some("corrects a name in which one letter is wrong, missing, too many or swapped with the next"),
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[lints]
unused-dependancy = "allow""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[lints]
unused-dependency = "allow""#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    if document.name() != MANIFEST_FILE {
        return;
    }
    let table = document.get(&["lints"]).map(Node::members).unwrap_or_default();
    for member in table {
        let names = || RULES.iter().map(|rule| rule.name);
        if names().all(|name| name != member.key) {
            let message = format!("there is no rule `{}`", member.key);
            let finding = findings.report(document.at(&member.key_span), message);
            let known: Vec<&str> = names().collect();
            finding.fix(correction(&member.key, &known, table).map(|name| document.edit(&member.key_span, name)));
            match did_you_mean(&member.key, names()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help("`napt explain` lists all rules"),
            };
        }
    }
}
