use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "missing-readme",
    level: LintLevel::Warn,
    summary: "the module has no README",
    docs: "A registry shows a module's README; without one nobody can tell what the module is for.",
    fix: None,
    example: Example {
        bad: &[Part::Without("README.md")],
        good: &[Part::File(
            "README.md",
            r#"# debate

Two agents argue about the `prompt`."#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let named =
        module.key("readme").and_then(|(_, node)| node.as_str().or_else(|| node.text("file").map(|(file, _)| file)));
    match named {
        Some(file) if !module.root.join(file).is_file() => {
            findings.report(module.place_of("readme"), format!("the README `{file}` does not exist"));
        }
        None if !["README.md", "README.rst", "README"].iter().any(|file| module.root.join(file).is_file()) => {
            let finding = findings.report(module.place_of("readme"), "the module has no README");
            finding.help("write a `README.md` beside the manifest: what it does, its inputs, an example");
        }
        Some(_) | None => {}
    }
}
