use super::{Example, Findings, Module, Part, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "missing-manifest",
    level: LintLevel::Warn,
    summary: "the module has no `napt.toml`",
    docs: r#"A Naptha project without `napt.toml` is checked as far as its files tell what it is. Without a type and dependencies it
can be neither packaged nor published. Two lines are enough: `[module]` and its `type`; the rest comes from `pyproject.toml`."#,
    fix: None,
    example: Example {
        bad: &[Part::Without("napt.toml")],
        good: &[Part::File(
            "napt.toml",
            r#"[module]
type = "orchestrator""#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    if module.manifest.is_none() {
        findings.report(module.place_of("name"), "this module has no `napt.toml`").help("`napt init` writes one");
    }
}
