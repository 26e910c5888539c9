use super::{Document, Example, Findings, Part, Rule, Run, old_storage_config};
use crate::{
    check::shape::{Problem, Shape},
    module::LintLevel,
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "unknown-key",
    level: LintLevel::Deny,
    summary: "a key that means nothing in `napt.toml` or in a file of `configs/`",
    docs: r#"A mistyped key is silently ignored by nodes: the setting that it was meant for keeps its default. Free-form
objects (`persona_module`, `system_prompt`, `options`, `storage_schema`, the rest of a `node`) may hold anything."#,
    fix: Some(
        "corrects a key in which one letter is wrong, missing, too many or swapped with the next, when only one key can be meant",
    ),
    example: Example {
        bad: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[{"config_name": "gpt", "client": "openai", "model": "gpt-4o", "temprature": 0.2}]"#,
        )],
        good: &[Part::File(
            "debate/configs/llm_configs.json",
            r#"[{"config_name": "gpt", "client": "openai", "model": "gpt-4o", "temperature": 0.2}]"#,
        )],
    },
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    let Some(shape) = Shape::of(document) else { return };
    for problem in shape.problems(document).iter().cloned() {
        if let Problem::UnknownKey { key, span, known, correction } = problem {
            // Under a broken `[header]`, keys look as if they stood at the top.
            let at_the_top = document.get(&[&key]).is_some() && shape == Shape::Manifest;
            if at_the_top && !document.errors.is_empty() {
                continue;
            }
            // `old-storage-config` speaks of those.
            let of_a_deployment = shape == Shape::Deployments && known.iter().any(|key| key == "storage_config");
            if of_a_deployment && old_storage_config::KEYS.contains(&key.as_str()) {
                continue;
            }
            let finding = findings.report(document.at(&span), format!("unknown key `{key}`"));
            finding.fix(correction.map(|key| match shape {
                Shape::Manifest => document.edit(&span, key),
                Shape::Deployments | Shape::LlmConfigs => document.edit(&span, format!("\"{key}\"")),
            }));
            match did_you_mean(&key, known.iter().map(String::as_str)) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("the keys here are {}", known.join(", "))),
            };
        }
    }
}
