use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    module::{LintLevel, ModuleId},
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "undeclared-dependency",
    level: LintLevel::Deny,
    summary: "a module that the configuration names is not in `[dependencies]`",
    docs: r#"Nodes install what `[dependencies]` lists, at the versions of `napt.lock`. A module that only the configuration names would
be whatever version a node happens to find."#,
    fix: Some("adds a module of the same workspace, by its folder and version"),
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "orchestrator""#,
            ),
            Part::File(
                "debate/configs/deployment.json",
                r#"[{"name": "deployment_1", "agent_deployments": [{"name": "agent_1"}]}]"#,
            ),
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
    let Some(manifest) = module.manifest.as_ref().filter(|manifest| manifest.errors.is_empty()) else { return };
    let declared: Vec<ModuleId> = module.dependencies().iter().filter_map(|member| member.key.parse().ok()).collect();
    let names: Vec<String> = declared.iter().map(ToString::to_string).collect();
    let mut told = Vec::new();
    for used in module.used_modules() {
        let own = module.id().is_some_and(|id| id == used.id);
        if own || declared.contains(&used.id) || told.contains(&used.id) {
            continue;
        }
        let message = format!("`{}` is not in `[dependencies]`", used.id);
        let finding = findings.report(used.document.at(used.span), message);
        let table = manifest.root.as_ref().and_then(|root| root.member("dependencies"));
        if let Some(table) = table.filter(|table| !table.node.members().is_empty()) {
            finding.also(manifest.at(&table.key_span), "it is missing here");
        }
        let sibling = module.sibling(&used.id);
        if sibling.is_none()
            && let Some(near) = did_you_mean(&used.id.to_string(), names.iter().map(String::as_str))
        {
            finding.help(format!("did you mean `{near}`?"));
        }
        finding.help(format!(
            "add `\"{0}\" = \"…\"` with the versions that work, or `\"{0}\" = {{ path = \"…\" }}` with its folder",
            used.id
        ));
        finding.fix(sibling.and_then(|(path, version)| {
            manifest.edit_toml(|tree| {
                let table = tree.entry("dependencies").or_insert(toml_edit::table()).as_table_like_mut()?;
                let mut entry = toml_edit::InlineTable::new();
                entry.insert("path", path.into());
                entry.insert("version", version.to_string().into());
                table.insert(&used.id.to_string(), toml_edit::value(entry));
                Some(())
            })
        }));
        told.push(used.id);
    }
}
