use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::{Node, Value},
    config::DEPLOYMENT_FILE,
    module::{LintLevel, ModuleType},
};

pub(super) static RULE: Rule = Rule {
    name: "max-rounds",
    level: LintLevel::Deny,
    summary: "an orchestrator that never begins",
    docs: "With `max_rounds` 0 an orchestrator ends before its first round.",
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "config": {"max_rounds": 0}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "config": {"max_rounds": 1}}]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    if module.module_type.is_some_and(|module_type| module_type != ModuleType::Orchestrator) {
        return;
    }
    for (document, entry) in module.entries(DEPLOYMENT_FILE) {
        let rounds = entry.get("config").and_then(|config| config.get("max_rounds"));
        let zero = |node: &&Node| matches!(&node.value, Value::Scalar(value) if value.as_u64() == Some(0));
        if let Some(node) = rounds.filter(zero) {
            let finding = findings.report(document.at(&node.span), "with `max_rounds` 0 the orchestrator does nothing");
            finding.help("allow at least one round");
        }
    }
}
