use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::{LintLevel, Runtime};

pub(super) static RULE: Rule = Rule {
    name: "missing-package",
    level: LintLevel::Deny,
    summary: "the package folder is missing",
    docs: r#"Code and configuration stand in a folder beside the manifest that is named like the module: nodes import `NAME.run`. Here it
is the folder `debate`."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "debates""#,
        )],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator"
name = "debate""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let (Some(package), Some(name)) = (module.package(), &module.name) else { return };
    if package.is_dir() || module.runtime != Runtime::Python {
        return;
    }
    let finding = findings.report(module.place_of("name"), format!("there is no package folder `{name}`"));
    let other = fs_err::read_dir(&module.root).ok().and_then(|entries| {
        let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().join(&module.entrypoint).is_file());
        folders.filter_map(|entry| entry.file_name().into_string().ok()).min()
    });
    finding.help(match other {
        Some(folder) => format!("rename the folder `{folder}` to `{name}`, or the module to `{folder}`"),
        None => format!("put `{}` and `configs/` into a folder `{name}`", module.entrypoint),
    });
}
