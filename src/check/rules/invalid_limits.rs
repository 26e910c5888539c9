use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, bytes, seconds};

pub(super) static RULE: Rule = Rule {
    name: "invalid-limits",
    level: LintLevel::Deny,
    summary: "a value of `[limits]` is no duration or no size",
    docs: "A run asks its node for this much; what cannot be read stops every command.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[limits]
timeout = "ten minutes"
memory = "512 megs""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[limits]
timeout = "10m"
memory = "512MiB""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = &module.manifest else { return };
    let Some(limits) = manifest.get(&["limits"]) else { return };
    let durations = ["timeout", "cpu"].map(|key| (key, "10m", seconds as fn(&str) -> _));
    let sizes = [("memory", "512MiB"), ("file-size", "1GiB"), ("disk", "1GiB"), ("output", "10MiB")];
    let sizes = sizes.map(|(key, example)| (key, example, bytes as fn(&str) -> _));
    for (key, example, parse) in durations.into_iter().chain(sizes) {
        let Some((text, span)) = limits.text(key) else { continue };
        if let Err(reason) = parse(text) {
            let finding = findings.report(manifest.at(span), format!("invalid `{key}`"));
            finding.label(reason).help(format!("write for example `{key} = \"{example}\"`"));
        }
    }
}
