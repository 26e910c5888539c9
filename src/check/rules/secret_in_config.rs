use super::{Document, Example, Findings, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "secret-in-config",
    level: LintLevel::Deny,
    summary: "a manifest or a file of `configs/` holds a secret",
    docs: r#"Whoever can read a package can read these files. Keys of model providers belong to the node
(`NAPT_PROVIDER_KEY`), which never shows them to a module. Neither this message nor any other shows the secret."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[{"config_name": "gpt", "options": {"api_key": "the key itself"}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[{"config_name": "gpt", "client": "openai", "model": "gpt-4o"}]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    for found in &document.source.secrets {
        findings
            .report(document.at(&found.range), format!("this looks like {}", found.kind))
            .note("whoever can read the package can read it")
            .help("remove it, and revoke it where it was issued; a model provider's key belongs to the node");
    }
}
