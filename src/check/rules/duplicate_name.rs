use std::ops::Range;

use super::{Document, Example, Findings, Part, Rule, Run};
use crate::{
    check::{shape::Shape, source::Node},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "duplicate-name",
    level: LintLevel::Deny,
    summary: "two entries of a file have the same name",
    docs: "Entries are found by name (`name` of a deployment, `config_name` of a language model); the second is never found.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[
    {"config_name": "gpt", "client": "openai", "model": "gpt-4o"},
    {"config_name": "gpt", "client": "openai", "model": "gpt-4o-mini"}
]"#,
        )],
        good: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[
    {"config_name": "gpt", "client": "openai", "model": "gpt-4o"},
    {"config_name": "gpt_mini", "client": "openai", "model": "gpt-4o-mini"}
]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    let key = match Shape::of(document) {
        Some(Shape::Deployments) => "name",
        Some(Shape::LlmConfigs) => "config_name",
        Some(Shape::Manifest) | None => return,
    };
    let mut seen: Vec<(&str, &Range<usize>)> = Vec::new();
    for entry in document.root.iter().flat_map(Node::items) {
        let Some((name, span)) = entry.text(key) else { continue };
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, first)) => {
                let finding = findings.report(document.at(span), format!("the name `{name}` is taken"));
                finding.label("this entry is never found").also(document.at(first), "first used here");
            }
            None => seen.push((name, span)),
        }
    }
}
