use semver::VersionReq;

use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, ModuleId};

pub(super) static RULE: Rule = Rule {
    name: "path-dependency",
    level: LintLevel::Deny,
    summary: "a dependency by path is not the module that it is said to be",
    docs: r#"The folder must hold a module, it must be the one that the key says, and its version must be one that the requirement
accepts."#,
    fix: None,
    example: Example {
        bad: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "orchestrator"

[dependencies]
"agent:chat" = { path = "../chat", version = "^2" }"#,
            ),
            Part::File(
                "../chat/napt.toml",
                r#"[module]
type = "agent"
name = "chat"
version = "1.4.0""#,
            ),
        ],
        good: &[
            Part::File(
                "napt.toml",
                r#"[module]
type = "orchestrator"

[dependencies]
"agent:chat" = { path = "../chat", version = "^1.4" }"#,
            ),
            Part::File(
                "../chat/napt.toml",
                r#"[module]
type = "agent"
name = "chat"
version = "1.4.0""#,
            ),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(manifest) = &module.manifest else { return };
    for member in module.dependencies() {
        let (Ok(id), Some((path, span))) = (member.key.parse::<ModuleId>(), member.node.text("path")) else { continue };
        // A file that cannot be read is told by the check of that module.
        let Ok(target) = Module::head(&module.root.join(path)) else { continue };
        if target.manifest.is_none() && target.native.is_none() {
            let finding = findings.report(manifest.at(span), format!("there is no module in `{path}`"));
            finding.help("the path is relative to this `napt.toml`");
            continue;
        }
        let found = target.id().filter(|found| *found != id);
        if let Some(found) = found {
            findings
                .report(manifest.at(span), format!("`{path}` holds `{found}`, not `{id}`"))
                .also(target.place_of("name"), "its name");
            continue;
        }
        let Some((req, req_span)) = member.node.text("version") else { continue };
        let (Ok(parsed), Some(version)) = (VersionReq::parse(req), &target.version) else { continue };
        if !parsed.matches(version) {
            findings
                .report(
                    manifest.at(req_span),
                    format!("`{id}` in `{path}` is {version}, which `{req}` does not accept"),
                )
                .also(target.place_of("version"), "its version");
        }
    }
}
