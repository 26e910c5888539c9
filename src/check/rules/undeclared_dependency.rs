use super::{Findings, Module, Rule, Run};
use crate::module::{LintLevel, ModuleId};

pub(super) static RULE: Rule = Rule {
    name: "undeclared-dependency",
    level: LintLevel::Deny,
    summary: "a module that the configuration names is not in `[dependencies]`",
    docs: r#"Nodes install what `[dependencies]` lists, at the versions of `napt.lock`. A module that only the configuration names would
be whatever version a node happens to find.

```json
[{"name": "chatter", "module": {"name": "simple_chat_agent"}}]
```

This entry of `agent_deployments.json` needs `"agent:simple_chat_agent" = "^0.1"` in `napt.toml`."#,
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = module.manifest.as_ref().filter(|manifest| manifest.errors.is_empty()) else { return };
    let declared: Vec<ModuleId> = module.dependencies().iter().filter_map(|member| member.key.parse().ok()).collect();
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
        finding.help(format!(
            "add `\"{0}\" = \"…\"` with the versions that work, or `\"{0}\" = {{ path = \"…\" }}` with its folder",
            used.id
        ));
        told.push(used.id);
    }
}
