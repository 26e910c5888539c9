use semver::Version;

use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "invalid-version",
    level: LintLevel::Deny,
    summary: "the module's version is missing or not a semantic version",
    docs: r#"Versions are compared when dependencies are resolved, so they follow [semver](https://semver.org): three numbers, perhaps
a pre-release. Build metadata is refused, since two versions that differ only in it are the same version."#,
    fix: Some("writes out the three numbers, without `v` and without build metadata"),
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
version = "1.0""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
version = "1.0.0""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some((document, node)) = module.key("version") else {
        if !module.manifests_are_whole() {
            return;
        }
        let finding = findings.report(module.place_of("version"), "the module has no version");
        finding.help("add `version = \"0.1.0\"` to `[module]`, or to the `pyproject.toml` beside it");
        return;
    };
    let Some(text) = node.as_str() else { return };
    match Version::parse(text) {
        Ok(version) if version.build.is_empty() => {}
        Ok(_) => {
            let (kept, _) = text.split_once('+').unwrap_or((text, ""));
            let finding = findings.report(document.at(&node.span), format!("the version `{text}` has build metadata"));
            finding.label("`+…` is not part of a module's version").help(format!("write `{kept}`"));
            finding.fix([document.edit(&node.span, format!("\"{kept}\""))]);
        }
        Err(error) => {
            let finding = findings.report(document.at(&node.span), format!("`{text}` is not a semantic version"));
            finding.label(error.to_string());
            // The usual cases: `v1.2.3`, `1.2`.
            let bare = text.trim_start_matches('v');
            let fixed = ["", ".0", ".0.0"].map(|rest| format!("{bare}{rest}"));
            if let Some(near) = fixed.iter().find(|text| Version::parse(text).is_ok()) {
                finding.help(format!("write `{near}`"));
                finding.fix([document.edit(&node.span, format!("\"{near}\""))]);
            }
        }
    }
}
