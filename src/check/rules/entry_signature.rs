use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::{Entry, Parameter, ParameterKind},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "entry-signature",
    level: LintLevel::Deny,
    summary: "the entry function cannot be called as nodes call it",
    docs: r#"A node calls the entry function with one keyword argument: `run(module_run=…)`. Older modules are known by their first
parameter, and called as they were then: `run(inputs, …)` as in 2024, and `run(agent_run)` and the like."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/run.py",
            r#"async def run(prompt, model):
    ..."#,
        )],
        good: &[Part::File(
            "debate/run.py",
            r#"async def run(module_run: dict):
    ..."#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let (Some(name), Some(file)) = (module.entry_function(), module.python_file(&module.entrypoint)) else { return };
    let Some(Entry::Function(function)) = file.defines(name) else { return };
    let parameters = &function.parameters;
    if parameters.first().is_some_and(is_of_an_older_form) {
        return;
    }
    let named = |parameter: &&Parameter| parameter.name == "module_run" && parameter.kind == ParameterKind::Named;
    let takes = parameters.iter().any(|parameter| named(&parameter) || parameter.kind == ParameterKind::KeywordRest);
    if !takes {
        let message = format!("`{name}` does not take `module_run`");
        let finding = findings.report(file.at(&function.name_span), message);
        finding.label(format!("nodes call `{name}(module_run=…)`"));
        match parameters.iter().find(|parameter| parameter.name == "module_run") {
            Some(parameter) => finding.also(file.at(&parameter.span), "this one cannot be given by name"),
            None => finding.help(format!("write `async def {name}(module_run: dict)`")),
        };
        return;
    }
    let more = parameters.iter().find(|parameter| {
        parameter.required
            && parameter.name != "module_run"
            && matches!(parameter.kind, ParameterKind::Named | ParameterKind::PositionOnly)
    });
    if let Some(parameter) = more {
        let message = format!("`{name}` requires `{}` besides `module_run`", parameter.name);
        let finding = findings.report(file.at(&parameter.span), message);
        finding.label(format!("nodes call `{name}(module_run=…)`")).help("give it a default, or remove it");
    }
}

/// Whether a first parameter says that the function is to be called as nodes once did.
fn is_of_an_older_form(first: &Parameter) -> bool {
    let is_named = matches!(first.kind, ParameterKind::Named | ParameterKind::PositionOnly);
    is_named && (first.name == "inputs" || (first.name.ends_with("_run") && first.name != "module_run"))
}
