use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{check::source::Value, module::LintLevel};

pub(super) static RULE: Rule = Rule {
    name: "node-address",
    level: LintLevel::Deny,
    summary: "a `node` does not say which one it is",
    docs: r#"A deployment's node is found by `ip` (a host name or an address; `localhost` is the node that resolves it), by `name` or by `id`.
Without `node` the deployment runs where it is resolved."#,
    fix: Some("removes a `node` that says nothing at all"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "node": {"user_communication_port": 7001}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "node": {"ip": "localhost", "user_communication_port": 7001}}]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    for deployment in module.deployments() {
        let Some(member) = deployment.node.member("node") else { continue };
        if !matches!(member.node.value, Value::Object(_)) {
            continue;
        }
        let says = |key: &str| member.node.text(key).is_some_and(|(text, _)| !text.trim().is_empty());
        if !["ip", "name", "id"].into_iter().any(says) {
            let place = deployment.document.at(&member.node.span);
            let finding = findings.report(place, "this node has no `ip`, `name` or `id`");
            finding.help("write `{\"ip\": \"localhost\"}`, or leave `node` out");
            if member.node.members().is_empty() && deployment.document.errors.is_empty() {
                let surplus = deployment.node.surplus(&member.key_span);
                finding.fix(surplus.map(|span| deployment.document.edit(&span, "")));
            }
        }
    }
}
