use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    module::{LintLevel, ModuleName},
    report::Fault,
};

pub(super) static RULE: Rule = Rule {
    name: "invalid-name",
    level: LintLevel::Deny,
    summary: "the module's name is missing or not allowed",
    docs: r#"Names are part of URLs, file names and Python imports, so they are made of `a`-`z`, `0`-`9` and `_`, begin with a letter,
have at most 64 characters and are no word that would clash (Python's keywords and common packages, devices of Windows).
A name that `[module]` leaves out is the native manifest's."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "My Debate""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "debate""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some((document, node)) = module.key("name") else {
        if !module.manifests_are_whole() {
            return;
        }
        let finding = findings.report(module.place_of("name"), "the module has no name");
        finding.help("add `name` to `[module]`, or to the `pyproject.toml` beside it");
        return;
    };
    let Some(Err(error)) = node.as_str().map(str::parse::<ModuleName>) else { return };
    findings.report(document.at(&node.span), error.to_string()).help.extend(error.hint());
}
