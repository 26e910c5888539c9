use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::Value,
    config::{COMPONENT_FILE, DEPLOYMENT_FILE},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "missing-deployment",
    level: LintLevel::Deny,
    summary: "there is no `configs/deployment.json`",
    docs: r#"A deployment's settings, and the modules that it calls, come from the first entry of `configs/deployment.json` unless a
caller gives others. Nodes refuse a module without it. Modules of 2024 have a `component.yaml` instead."#,
    fix: None,
    example: Example {
        bad: &[Part::Without("debate/configs/deployment.json")],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[
    {
        "name": "deployment_1",
        "module": {"name": "debate"},
        "node": {"ip": "localhost"},
        "config": {"config_name": "default"}
    }
]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let package = module.package().filter(|package| package.is_dir());
    if package.is_none() || !module.runs_python() {
        return;
    }
    let Some(document) = module.configs.get(DEPLOYMENT_FILE) else {
        if package.is_some_and(|package| package.join(COMPONENT_FILE).is_file()) {
            return;
        }
        findings
            .report(module.place_of("name"), format!("there is no `configs/{DEPLOYMENT_FILE}` in the package folder"))
            .help("write one with a `name`, a `module` and a `config`");
        return;
    };
    if let Some(root) =
        document.root.as_ref().filter(|root| matches!(&root.value, Value::Array(items) if items.is_empty()))
    {
        findings.report(document.at(&root.span), format!("`{DEPLOYMENT_FILE}` describes no deployment"));
    }
}
