use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, ModuleId};

pub(super) static RULE: Rule = Rule {
    name: "unused-dependency",
    level: LintLevel::Warn,
    summary: "a dependency that neither configuration nor code names",
    docs: r#"Nodes install every dependency. One is used when a deployment in `configs/` is of it, when it is somebody's persona, or
when the code holds its name."#,
    fix: Some("removes it from `[dependencies]`, when every module that the configuration names is there"),
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[dependencies]
"agent:chat" = "^0.1""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = module.manifest.as_ref().filter(|_| module.configs_are_whole()) else { return };
    let used: Vec<ModuleId> = module.used_modules().into_iter().map(|used| used.id).collect();
    let declared: Vec<ModuleId> = module.dependencies().iter().filter_map(|member| member.key.parse().ok()).collect();
    // What is not declared may be a mistyped name of what seems unused.
    let all_declared = used.iter().all(|id| declared.contains(id) || module.id().is_some_and(|own| own == *id));
    for member in module.dependencies() {
        let Ok(id) = member.key.parse::<ModuleId>() else { continue };
        let in_code = module.python.iter().any(|file| file.source.text.contains(id.name.as_str()));
        if !used.contains(&id) && !in_code {
            let finding = findings.report(manifest.at(&member.key_span), format!("the dependency `{id}` is not used"));
            finding.help("remove it, or list it in a file of `configs/`");
            // Code of another language has not been looked through.
            if module.runs_python() && all_declared {
                finding.fix(manifest.edit_toml(|tree| {
                    tree.get_mut("dependencies")?.as_table_like_mut()?.remove(&member.key).map(drop)
                }));
            }
        }
    }
}
