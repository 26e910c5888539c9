use super::{Checked, Example, Findings, Part, Rule, Run};
use crate::module::{LintLevel, MANIFEST_FILE, member_folders};

pub(super) static RULE: Rule = Rule {
    name: "workspace-members",
    level: LintLevel::Deny,
    summary: "a pattern in `members` matches no module",
    docs: "A member that is not found is not checked, packaged or published. `*` stands for one folder name.",
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[workspace]
members = ["module/*"]"#,
            ),
            Part::File(
                "modules/chat/napt.toml",
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
        ],
    },
    run: Run::Workspace(run),
};

fn run(checked: &Checked, findings: &mut Findings<'_>) {
    let root = checked.modules.iter().filter(|module| module.root == checked.root).filter_map(|m| m.manifest.as_ref());
    let Some(manifest) = checked.workspace.as_ref().or(root.into_iter().next()) else { return };
    let Some(members) = manifest.get(&["workspace", "members"]) else { return };
    for node in members.items() {
        let Some(pattern) = node.as_str() else { continue };
        if member_folders(&checked.root, pattern).is_ok_and(|folders| folders.is_empty()) {
            let message = format!("`{pattern}` matches no folder with a `{MANIFEST_FILE}`");
            findings.report(manifest.at(&node.span), message).help("`*` stands for one folder name");
        }
    }
}
