use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::{shape::correction, source::Value},
    module::LintLevel,
    report::did_you_mean,
};

/// Each of them alone tells the node.
const NAMES: [&str; 3] = ["ip", "name", "id"];

/// What napt looks at. The rest of Naptha's node record may be there too, and means nothing here.
const KEYS: [&str; 5] = ["ip", "name", "id", "user_communication_port", "user_communication_protocol"];

pub(super) static RULE: Rule = Rule {
    name: "node-address",
    level: LintLevel::Deny,
    summary: "a `node` does not say which one it is, or a key of it is mistyped",
    docs: r#"A deployment's node is found by `ip` (a host name or an address; `localhost` is the node that resolves it), by `name` or by `id`.
Without `node` the deployment runs where it is resolved. A node may have any other key, but one that is a letter away from
`user_communication_port` or another that matters is a mistake."#,
    fix: Some("removes a `node` that says nothing at all, and corrects a key in which one letter is wrong"),
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
        let keys = || member.node.members().iter().filter(|member| !KEYS.contains(&member.key.as_str()));
        for key in keys() {
            if let Some(meant) = correction(&key.key, &KEYS, member.node.members()) {
                let place = deployment.document.at(&key.key_span);
                let finding = findings.report(place, format!("unknown key `{}`", key.key));
                finding.help(format!("did you mean `{meant}`?"));
                finding.fix(Some(deployment.document.edit(&key.key_span, format!("\"{meant}\""))));
            }
        }
        let says = |key: &str| member.node.text(key).is_some_and(|(text, _)| !text.trim().is_empty());
        if !NAMES.into_iter().any(says) {
            let place = deployment.document.at(&member.node.span);
            let finding = findings.report(place, "this node has no `ip`, `name` or `id`");
            match keys().find_map(|key| did_you_mean(&key.key, NAMES).map(|meant| (&key.key, meant))) {
                Some((given, meant)) => finding.help(format!("did you mean `{meant}` by `{given}`?")),
                None => finding.help("write `{\"ip\": \"localhost\"}`, or leave `node` out"),
            };
            if member.node.members().is_empty() && deployment.document.errors.is_empty() {
                let surplus = deployment.node.surplus(&member.key_span);
                finding.fix(surplus.map(|span| deployment.document.edit(&span, "")));
            }
        }
    }
}
