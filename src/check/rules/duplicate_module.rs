use std::collections::{BTreeMap, btree_map::Entry};

use super::Module;
use super::{Checked, Example, Findings, Part, Rule, Run};
use crate::module::{LintLevel, ModuleId};

pub(super) static RULE: Rule = Rule {
    name: "duplicate-module",
    level: LintLevel::Deny,
    summary: "two members of a workspace are the same module",
    docs: "Type and name identify a module; two members with the same cannot both be published or deployed.",
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[workspace]
members = ["modules/*"]"#,
            ),
            Part::File(
                "modules/chat/napt.toml",
                r#"[module]
type = "persona"
name = "chat"
version = "0.1.0""#,
            ),
            Part::File(
                "modules/talk/napt.toml",
                r#"[module]
type = "persona"
name = "chat"
version = "0.1.0""#,
            ),
        ],
        good: &[
            Part::File(
                "napt.toml",
                r#"[workspace]
members = ["modules/*"]"#,
            ),
            Part::File(
                "modules/chat/napt.toml",
                r#"[module]
type = "persona"
name = "chat"
version = "0.1.0"
entrypoint = "persona.json""#,
            ),
            Part::File("modules/chat/persona.json", "{}"),
            Part::File(
                "modules/talk/napt.toml",
                r#"[module]
type = "persona"
name = "talk"
version = "0.1.0"
entrypoint = "persona.json""#,
            ),
            Part::File("modules/talk/persona.json", "{}"),
        ],
    },
    run: Run::Workspace(run),
};

fn run(checked: &Checked, findings: &mut Findings<'_>) {
    let mut seen: BTreeMap<ModuleId, &Module> = BTreeMap::new();
    for module in &checked.modules {
        let Some(id) = module.id() else { continue };
        match seen.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(module);
            }
            Entry::Occupied(entry) => {
                let finding = findings.report(module.place_of("name"), format!("`{}` is defined twice", entry.key()));
                finding.also(entry.get().place_of("name"), "first defined here").help("rename one of them");
            }
        }
    }
}
