use super::{Diagnostic, Document, Example, Findings, Module, Part, Place, Rule, Run};
use crate::{
    check::{load::module_id, source::Node},
    config::LLM_CONFIGS_FILE,
    module::LintLevel,
    report::did_you_mean,
};

pub(super) static RULE: Rule = Rule {
    name: "unknown-llm-config",
    level: LintLevel::Deny,
    summary: "a deployment names a language model that `llm_configs.json` lacks",
    docs: r#"`llm_config.config_name` refers to an entry of the same package's `llm_configs.json`; nodes refuse a name that is not there.
What `agent_deployments.json` and its like say is looked up in the files of the modules that they are of: here, where
those are named by path, and otherwise when they are deployed."#,
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "debate/configs/deployment.json",
                r#"[{"name": "deployment_1", "config": {"llm_config": {"config_name": "gtp"}}}]"#,
            ),
            Part::File(
                "debate/configs/llm_configs.json",
                r#"[{"config_name": "gpt", "client": "openai", "model": "gpt-4o"}]"#,
            ),
        ],
        good: &[
            Part::File(
                "debate/configs/deployment.json",
                r#"[{"name": "deployment_1", "config": {"llm_config": {"config_name": "gpt"}}}]"#,
            ),
            Part::File(
                "debate/configs/llm_configs.json",
                r#"[{"config_name": "gpt", "client": "openai", "model": "gpt-4o"}]"#,
            ),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let own = module.configs.get(LLM_CONFIGS_FILE);
    for deployment in module.deployments() {
        let config = deployment.node.get("config").and_then(|config| config.get("llm_config"));
        let Some((config, (name, span))) = config.and_then(|config| Some((config, config.text("config_name")?))) else {
            continue;
        };
        let place = deployment.document.at(span);
        let Some(module_type) = deployment.sub else {
            if let Some(finding) = look_up(name, own, place, format!("no language model is called `{name}`"), findings)
                && own.is_none()
            {
                finding.note(format!("there is no `configs/{LLM_CONFIGS_FILE}`"));
            }
            continue;
        };
        // A complete one is taken as it is.
        let id = deployment.node.get("module").and_then(|node| module_id(node.text("name")?.0, module_type));
        let Some(id) = id.filter(|_| config.get("model").is_none()) else { continue };
        let target = module.path_dependency(&id).and_then(|target| target.package());
        let Some(folder) = target.map(|package| package.join("configs")).filter(|folder| folder.is_dir()) else {
            continue;
        };
        let file = Document::read_json(&folder.join(LLM_CONFIGS_FILE)).ok();
        look_up(name, file.as_ref(), place, format!("no language model of `{id}` is called `{name}`"), findings);
    }
}

/// Reports a name that the file lacks. A file that cannot be read may well have it.
fn look_up<'a>(
    name: &str,
    file: Option<&Document>,
    place: Place,
    message: String,
    findings: &'a mut Findings<'_>,
) -> Option<&'a mut Diagnostic> {
    if file.is_some_and(|document| document.root.is_none()) {
        return None;
    }
    let entries = file.and_then(|document| document.root.as_ref()).map(Node::items).unwrap_or_default();
    let names: Vec<&str> = entries.iter().filter_map(|entry| Some(entry.text("config_name")?.0)).collect();
    if names.contains(&name) {
        return None;
    }
    let finding = findings.report(place, message);
    if let Some(near) = did_you_mean(name, names.iter().copied()) {
        finding.help(format!("did you mean `{near}`?"));
    } else if !names.is_empty() {
        let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        finding.help(format!("`{LLM_CONFIGS_FILE}` has {}", list.join(", ")));
    }
    Some(finding)
}
