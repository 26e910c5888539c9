use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    config::{DEPLOYMENT_FILE, SUB_DEPLOYMENTS},
    module::{LintLevel, ModuleId, ModuleName, ModuleType},
};

pub(super) static RULE: Rule = Rule {
    name: "module-mismatch",
    level: LintLevel::Deny,
    summary: "a deployment is of another module than the file or list is for",
    docs: r#"The entries of `deployment.json` are deployments of the module itself: when it is renamed or copied, the old name stays in
them. A module that is listed as another type than its own is never found: `{"name": "agent:chat"}` in `kb_deployments.json`
would be `kb:chat`."#,
    fix: Some("writes the module's name into `deployment.json`, unless what stands there is a dependency"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "module": {"name": "the_old_name"}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "module": {"name": "debate"}}]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(name) = &module.name else { return };
    for (document, entry) in module.entries(DEPLOYMENT_FILE) {
        let Some((given, span)) = entry.get("module").and_then(|node| node.text("name")) else { continue };
        let (given_type, given_name) = match given.split_once(':') {
            Some((given_type, given_name)) => (given_type.parse::<ModuleType>().ok(), given_name),
            None => (None, given),
        };
        let other_name = given_name.parse::<ModuleName>().map_or(true, |given| given != *name);
        let other_type = given_type.is_some_and(|given| module.module_type.is_some_and(|own| own != given));
        if other_name || other_type {
            let own = module.id().map_or_else(|| name.to_string(), |id| id.to_string());
            let finding =
                findings.report(document.at(span), format!("this is a deployment of `{given}`, the module is `{own}`"));
            finding.also(module.place_of("name"), "its name").help(format!("write `{name}`"));
            // An entry for a module that this one calls has only got into the wrong file.
            let is_a_dependency = module.dependencies().iter().any(|member| {
                member.key.parse::<ModuleId>().is_ok_and(|id| id.name.as_str() == given_name.replace('-', "_"))
            });
            if !is_a_dependency && document.errors.is_empty() {
                let text = if given.contains(':') { own } else { name.to_string() };
                finding.fix([document.edit(span, format!("\"{text}\""))]);
            }
        }
    }
    for deployment in module.deployments() {
        let Some(listed) = deployment.sub else { continue };
        let Some((given, span)) = deployment.node.get("module").and_then(|node| node.text("name")) else { continue };
        let Some(own) = given.split_once(':').and_then(|(own, _)| own.parse::<ModuleType>().ok()) else { continue };
        if own != listed {
            let message = format!("this list is of the type `{listed}`, and `{given}` is not");
            let finding = findings.report(deployment.document.at(span), message);
            if SUB_DEPLOYMENTS.iter().any(|(module_type, _, _)| *module_type == own) {
                finding.help(format!("put it into `{own}_deployments`"));
            }
        }
    }
}
