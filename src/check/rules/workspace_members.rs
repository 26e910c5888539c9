use super::{Checked, Findings, Rule, Run};
use crate::module::{LintLevel, MANIFEST_FILE, member_folders};

pub(super) static RULE: Rule = Rule {
    name: "workspace-members",
    level: LintLevel::Deny,
    summary: "a pattern in `members` matches no module",
    docs: r#"```toml
[workspace]
members = ["module/*"]          # the folder is `modules`
```"#,
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
