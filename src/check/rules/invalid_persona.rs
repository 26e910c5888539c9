use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    config::read_persona,
    module::{LintLevel, ModuleType},
    report::Fault,
};

pub(super) static RULE: Rule = Rule {
    name: "invalid-persona",
    level: LintLevel::Deny,
    summary: "a persona's file is missing, or is not a mapping in JSON or YAML",
    docs: r#"The `entrypoint` of a persona is a `.json` or `.yaml` file with a mapping of at most 256 KiB: what the agents that have it are
told. Nodes refuse any other when they install it."#,
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "persona"
runtime = "data"
entrypoint = "ada.yaml""#,
            ),
            Part::File("ada.yaml", "- name: Ada"),
        ],
        good: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "persona"
runtime = "data"
entrypoint = "ada.yaml""#,
            ),
            Part::File("ada.yaml", "name: Ada"),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    if module.module_type != Some(ModuleType::Persona) {
        return;
    }
    if module.key("entrypoint").is_none() {
        findings
            .report(module.place_of("type"), "nothing says which file the persona is in")
            .help("set `entrypoint` in `[module]` to its `.json` or `.yaml` file");
        return;
    }
    if let Err(error) = read_persona(&module.root, &module.entrypoint) {
        let finding = findings.report(module.place_of("entrypoint"), error.to_string());
        if let Some(help) = error.hint() {
            finding.help(help);
        }
    }
}
