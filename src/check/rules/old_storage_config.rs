use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "old-storage-config",
    level: LintLevel::Warn,
    summary: "storage is configured as before `naptha-sdk` 1.0",
    docs: r#"Until 0.2 the keys of a storage stood in `config` itself. From 1.0 on they stand in `storage_config`, where `schema` is
`storage_schema`; elsewhere the SDK drops them."#,
    fix: Some("moves them in `deployment.json`, when `pyproject.toml` asks for an SDK from 1.0 on"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "kb_1", "config": {"storage_type": "db", "path": "turns", "schema": {}}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "kb_1", "config": {"storage_config": {"storage_type": "db", "path": "turns", "storage_schema": {}}}}]"#,
        )],
    },
    run: Run::Module(run),
};

/// The keys, where they stood then.
pub(super) const KEYS: [&str; 4] = ["storage_type", "path", "schema", "options"];

fn run(module: &Module, findings: &mut Findings<'_>) {
    for deployment in module.deployments() {
        let Some(config) = deployment.node.get("config") else { continue };
        let mut old = config.members().iter().filter(|member| KEYS.contains(&member.key.as_str()));
        let Some(first) = old.next() else { continue };
        let keys: Vec<String> = std::iter::once(first).chain(old).map(|member| format!("`{}`", member.key)).collect();
        findings
            .report(deployment.document.at(&first.key_span), "storage is configured as before `naptha-sdk` 1.0")
            .help(format!("put {} into `storage_config`, `schema` as `storage_schema`", keys.join(", ")));
    }
}
