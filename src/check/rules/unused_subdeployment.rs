use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::Node,
    config::{DEPLOYMENT_FILE, SUB_DEPLOYMENTS},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "unused-subdeployment",
    level: LintLevel::Warn,
    summary: "an entry of a `*_deployments.json` file that no deployment names",
    docs: "Such an entry has no effect; often the name in `deployment.json` or here is mistyped.",
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "orchestrator"

[dependencies]
"agent:chat" = "^0.1""#,
            ),
            Part::File("debate/configs/deployment.json", r#"[{"name": "deployment_1"}]"#),
            Part::File("debate/configs/agent_deployments.json", r#"[{"name": "agent_1", "module": {"name": "chat"}}]"#),
        ],
        good: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "orchestrator"

[dependencies]
"agent:chat" = "^0.1""#,
            ),
            Part::File(
                "debate/configs/deployment.json",
                r#"[{"name": "deployment_1", "agent_deployments": [{"name": "agent_1"}]}]"#,
            ),
            Part::File("debate/configs/agent_deployments.json", r#"[{"name": "agent_1", "module": {"name": "chat"}}]"#),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    if module.configs.get(DEPLOYMENT_FILE).is_none_or(|document| document.root.is_none()) {
        return;
    }
    let deployments = module.deployments();
    for (module_type, key, file) in SUB_DEPLOYMENTS {
        let lists = deployments.iter().filter_map(|deployment| deployment.node.get(key));
        let items: Vec<&Node> = lists.flat_map(Node::items).collect();
        let nameless = items.iter().any(|item| item.get("name").is_none());
        let names: Vec<&str> = items.iter().filter_map(|item| Some(item.text("name")?.0)).collect();
        for (index, (document, entry)) in module.entries(file).enumerate() {
            let Some((name, span)) = entry.text("name") else { continue };
            // A list's entry without a name is the file's first.
            let used = names.contains(&name) || (nameless && index == 0);
            if !used {
                let message = format!("no deployment uses the {module_type} deployment `{name}`");
                let finding = findings.report(document.at(span), message);
                finding.help(format!("list it under `{key}` in `{DEPLOYMENT_FILE}`, or remove it"));
            }
        }
    }
}
