use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    config::{DEPLOYMENT_FILE, LLM_CONFIGS_FILE, SUB_DEPLOYMENTS},
    module::{LintLevel, ModuleType},
};

pub(super) static RULE: Rule = Rule {
    name: "not-packaged",
    level: LintLevel::Deny,
    summary: "a file that nodes need is left out of the archive",
    docs: r#"What git ignores, and what `include` and `exclude` leave out, is not packaged: the module works where it is written and
nowhere else."#,
    fix: None,
    example: Example { bad: &[Part::File(".gitignore", "*.json")], good: &[Part::File(".gitignore", "*.jsonl")] },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let is_persona = module.module_type == Some(ModuleType::Persona);
    let folder = if is_persona { Some(module.root.clone()) } else { module.package() };
    let Some(folder) = folder.filter(|_| is_persona || module.runs_python()) else { return };
    let packaged = module.packaged_paths();
    if packaged.is_empty() {
        return;
    }
    let files: Vec<String> = if is_persona {
        vec![module.entrypoint.clone()]
    } else {
        let configs = SUB_DEPLOYMENTS.iter().map(|(_, _, file)| *file).chain([DEPLOYMENT_FILE, LLM_CONFIGS_FILE]);
        let entrypoint = module.entry_function().map(|name| format!("{name}.py"));
        let code = entrypoint.into_iter().chain(["schemas.py".to_owned()]);
        code.chain(configs.map(|file| format!("configs/{file}"))).collect()
    };
    for file in files {
        let path = folder.join(&file);
        let Ok(path) = path.strip_prefix(&module.root).map(|path| path.to_string_lossy().into_owned()) else {
            continue;
        };
        if folder.join(&file).is_file() && !packaged.contains(&path) {
            findings
                .report(module.place_of("name"), format!("`{path}` is not packaged"))
                .note("git ignores it, or `include` or `exclude` of `[module]` leaves it out")
                .help("`napt package --list` shows what is packaged");
        }
    }
}
