use semver::VersionReq;

use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::{Member, Value},
    module::{DependencyTable, LintLevel, ModuleId},
    report::Fault,
};

pub(super) static RULE: Rule = Rule {
    name: "invalid-requirement",
    level: LintLevel::Deny,
    summary: "an entry of `[dependencies]` names no module or no versions",
    docs: r#"A dependency's key is `type:name` (a bare name is an agent's), its value a version requirement as Cargo writes them, or a
table: `version`, `path` or both, or `git` with one of `tag`, `branch` and `rev`."#,
    fix: Some("separates the parts of a requirement by commas"),
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[dependencies]
"kb:facts" = ">=1 <2""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"

[dependencies]
"kb:facts" = ">=1, <2""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = &module.manifest else { return };
    let mut seen: Vec<(ModuleId, &Member)> = Vec::new();
    for member in module.dependencies() {
        match member.key.parse::<ModuleId>() {
            Err(error) => {
                let message = format!("`{}` is not the id of a module", member.key);
                let finding = findings.report(manifest.at(&member.key_span), message);
                finding.label(error.to_string()).help.extend(error.hint());
            }
            Ok(id) => match seen.iter().find(|(other, _)| *other == id) {
                Some((_, first)) => {
                    findings
                        .report(manifest.at(&member.key_span), format!("`{id}` is listed twice"))
                        .also(manifest.at(&first.key_span), "first listed here");
                }
                None => seen.push((id, member)),
            },
        }
        let req = if member.node.as_str().is_some() { Some(&member.node) } else { member.node.get("version") };
        let text = |key: &str| member.node.text(key).map(|(text, _)| text.to_owned());
        let table = DependencyTable {
            path: text("path"),
            registry: text("registry"),
            git: text("git"),
            tag: text("tag"),
            branch: text("branch"),
            rev: text("rev"),
            ..DependencyTable::default()
        };
        let in_git = table.git();
        if let Err(error) = &in_git {
            let at = ["rev", "branch", "tag", "git"].into_iter().find_map(|key| member.node.get(key));
            let finding = findings.report(manifest.at(&at.unwrap_or(&member.node).span), "this is no place in git");
            finding.label(error.to_string()).help.extend(error.hint());
        }
        let is_placed = table.path.is_some() || !matches!(in_git, Ok(None));
        match req.map(|node| (node, node.as_str())) {
            Some((node, Some(text))) => {
                if let Err(error) = VersionReq::parse(text) {
                    let finding = findings.report(manifest.at(&node.span), "invalid version requirement");
                    finding.label(error.to_string()).help("write for example `^1.2`, `=1.2.3` or `>=1, <3`");
                    let with_commas = text.split_whitespace().collect::<Vec<_>>().join(", ");
                    let is_it = VersionReq::parse(&with_commas).is_ok();
                    finding.fix(is_it.then(|| manifest.edit(&node.span, format!("\"{with_commas}\""))));
                }
            }
            None if matches!(member.node.value, Value::Object(_)) && !is_placed => {
                let finding = findings.report(manifest.at(&member.node.span), "this dependency says no version");
                finding.help("add `version`; or `path` for a module in a folder, `git` for one in a repository");
            }
            Some((_, None)) | None => {}
        }
    }
}
