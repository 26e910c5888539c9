use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LimitsTable, LintLevel, ManifestError};

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
    for (key, example) in [("timeout", "10m"), ("memory", "512MiB")] {
        let Some((text, span)) = limits.text(key) else { continue };
        let text = Some(text.to_owned());
        let table = match key {
            "timeout" => LimitsTable { timeout: text, ..LimitsTable::default() },
            _ => LimitsTable { memory: text, ..LimitsTable::default() },
        };
        let parsed = table.parse(&|_, reason| ManifestError::Invalid {
            path: module.root.clone(),
            key: key.to_owned(),
            reason: reason.to_string(),
        });
        if let Err(ManifestError::Invalid { reason, .. }) = parsed {
            let finding = findings.report(manifest.at(span), format!("invalid `{key}`"));
            finding.label(reason).help(format!("write for example `{key} = \"{example}\"`"));
        }
    }
}
