use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{module::LintLevel, report::did_you_mean};

pub(super) static RULE: Rule = Rule {
    name: "missing-entrypoint",
    level: LintLevel::Deny,
    summary: "the entrypoint file does not exist",
    docs: "The entrypoint is a file in the package folder, `run.py` unless `[module]` says otherwise.",
    fix: None,
    example: Example {
        bad: &[Part::Without("debate/run.py")],
        good: &[Part::File(
            "debate/run.py",
            r#"async def run(module_run: dict):
    ..."#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let Some(package) = module.package().filter(|package| package.is_dir() && module.runs_python()) else { return };
    if module.entry_function().is_none() || package.join(&module.entrypoint).is_file() {
        return;
    }
    let shown = package.file_name().unwrap_or_default().to_string_lossy();
    let message = format!("the entrypoint `{shown}/{}` does not exist", module.entrypoint);
    let finding = findings.report(module.place_of("entrypoint"), message);
    let files: Vec<_> = module.python.iter().filter_map(|file| file.source.path.strip_prefix(&package).ok()).collect();
    let files: Vec<_> = files.iter().filter_map(|path| path.to_str()).collect();
    match did_you_mean(&module.entrypoint, files) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help("write it, or set `entrypoint` in `[module]`"),
    };
}
