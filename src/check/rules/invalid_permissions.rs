use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::Value,
    module::{HostPattern, LintLevel},
    report::Fault,
};

pub(super) static RULE: Rule = Rule {
    name: "invalid-permissions",
    level: LintLevel::Deny,
    summary: "an entry of `[permissions] hosts` names no host",
    docs: r#"A module reaches only the hosts that it names: `api.example.com`, or `*.example.org` for all below it. A port is
written behind a colon; without one it is 443 and 80. Addresses and URLs are no names, and `*` alone is not allowed."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[permissions]
hosts = ["https://api.example.com/v1", "*"]"#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[permissions]
hosts = ["api.example.com", "*.example.org:8443"]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = &module.manifest else { return };
    let Some(Value::Array(hosts)) = manifest.get(&["permissions", "hosts"]).map(|hosts| &hosts.value) else { return };
    for host in hosts {
        let Some(text) = host.as_str() else { continue };
        if let Err(error) = text.parse::<HostPattern>() {
            let finding = findings.report(manifest.at(&host.span), "this entry of `hosts` names no host");
            finding.label(error.to_string()).help.extend(error.hint());
        }
    }
}
