use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::Node,
    config::{DEPLOYMENT_FILE, SUB_DEPLOYMENTS},
    module::LintLevel,
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "unknown-subdeployment",
    level: LintLevel::Deny,
    summary: "`deployment.json` names a sub-deployment that no file describes",
    docs: r#"The lists `agent_deployments`, `tool_deployments`, `environment_deployments`, `kb_deployments` and `memory_deployments` name
entries of the files of the same names. An entry that says its `module` itself needs none."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "agent_deployments": [{"name": "agent_1"}]}]"#,
        )],
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
    for (document, entry) in module.entries(DEPLOYMENT_FILE) {
        for (module_type, key, file) in SUB_DEPLOYMENTS {
            let described = module.configs.get(file);
            // A file that cannot be read may well describe it.
            if described.is_some_and(|document| document.root.is_none()) {
                continue;
            }
            let names: Vec<&str> = module.entries(file).filter_map(|(_, entry)| Some(entry.text("name")?.0)).collect();
            for item in entry.get(key).map(Node::items).unwrap_or_default() {
                let own_module = item.get("module").is_some_and(|node| node.text("name").is_some());
                if own_module {
                    continue;
                }
                let finding = match item.text("name") {
                    Some((name, _)) if names.contains(&name) => continue,
                    Some((name, span)) => {
                        let finding = findings
                            .report(document.at(span), format!("no {module_type} deployment is called `{name}`"));
                        if let Some(near) = did_you_mean(name, names.iter().copied()) {
                            finding.help(format!("did you mean `{near}`?"));
                        }
                        finding
                    }
                    None if described
                        .is_some_and(|document| document.root.iter().any(|root| !root.items().is_empty())) =>
                    {
                        continue;
                    }
                    None => {
                        findings.report(document.at(&item.span), "nothing says which module this is a deployment of")
                    }
                };
                if described.is_none() {
                    finding.note(format!("there is no `configs/{file}`"));
                } else if finding.help.is_empty() && !names.is_empty() {
                    finding.help(format!(
                        "`{file}` describes {}",
                        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                    ));
                }
            }
        }
    }
}
