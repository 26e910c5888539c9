use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{config::ENV_FILE, module::LintLevel};

pub(super) static RULE: Rule = Rule {
    name: "packaged-env",
    level: LintLevel::Deny,
    summary: "a `.env` file would be packaged",
    docs: r#"Whoever can read a package would read the secrets in it, so `napt package` refuses the module."#,
    fix: None,
    example: Example {
        bad: &[Part::File(".env", "SEARCH_API_KEY=the key itself")],
        good: &[Part::File(".env", "SEARCH_API_KEY=the key itself"), Part::File(".gitignore", ".env")],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let is_env = |path: &&String| path.rsplit('/').next() == Some(ENV_FILE);
    for path in module.packaged_paths().iter().filter(is_env) {
        findings
            .report(module.place_of("name"), format!("`{path}` would be packaged"))
            .note("git does not ignore it, and `exclude` of `[module]` does not leave it out")
            .help(format!("write `{ENV_FILE}` into `.gitignore`"));
    }
}
