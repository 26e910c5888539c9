use super::{Findings, Module, Rule, Run};
use crate::{
    config::{DEPLOYMENT_FILE, LLM_CONFIGS_FILE},
    module::LintLevel,
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "unknown-llm-config",
    level: LintLevel::Deny,
    summary: "a deployment names a language model that `llm_configs.json` lacks",
    docs: r#"`llm_config.config_name` refers to an entry of the same package's `llm_configs.json`; nodes refuse a name that is not there.
(What `agent_deployments.json` and its like say is looked up in the files of the modules that they are of.)

```json
[{"name": "deployment_1", "config": {"llm_config": {"config_name": "gpt"}}}]
```"#,
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let file = module.configs.get(LLM_CONFIGS_FILE);
    if file.is_some_and(|document| document.root.is_none()) {
        return;
    }
    let names: Vec<&str> =
        module.entries(LLM_CONFIGS_FILE).filter_map(|(_, entry)| Some(entry.text("config_name")?.0)).collect();
    for (document, entry) in module.entries(DEPLOYMENT_FILE) {
        let config = entry.get("config").and_then(|config| config.get("llm_config"));
        let Some((name, span)) = config.and_then(|config| config.text("config_name")) else { continue };
        if names.contains(&name) {
            continue;
        }
        let finding = findings.report(document.at(span), format!("no language model is called `{name}`"));
        if file.is_none() {
            finding.note(format!("there is no `configs/{LLM_CONFIGS_FILE}`"));
        } else if let Some(near) = did_you_mean(name, names.iter().copied()) {
            finding.help(format!("did you mean `{near}`?"));
        } else if !names.is_empty() {
            let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            finding.help(format!("`{LLM_CONFIGS_FILE}` has {}", list.join(", ")));
        }
    }
}
