use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{check::environment::references, module::LintLevel};

pub(super) static RULE: Rule = Rule {
    name: "missing-variable",
    level: LintLevel::Warn,
    summary: "the configuration names an environment variable that is not set",
    docs: r#"A file of `configs/` names a variable as `${NAME}`, `$NAME` or `env:NAME`, under a key such as `api_key` or `…_env`, or by
a `client` with an `api_base` that the module calls itself. It is looked for in the environment and in the `.env` beside
`napt.toml` and in the workspace's root; values are neither kept nor shown. Where secrets are not at hand, as in CI,
`-A missing-variable` silences it.

Modules on a node see none of these: there a variable is a secret that whoever runs the module has set with `napt secret set`, which
`napt deploy` looks at too."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "deployment_1", "config": {"system_prompt": {"search_key": "${SEARCH_API_KEY}"}}}]"#,
        )],
        good: &[
            Part::File(
                "debate/configs/deployment.json",
                r#"[{"name": "deployment_1", "config": {"system_prompt": {"search_key": "${SEARCH_API_KEY}"}}}]"#,
            ),
            Part::File(".env", "SEARCH_API_KEY=the key itself"),
            Part::File(".gitignore", ".env"),
        ],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let mut told = Vec::new();
    for reference in references(module) {
        let name = reference.name;
        let is_set = module.shared.variables.contains(&name) || module.env_files().any(|file| file.sets(&name));
        if is_set || told.contains(&name) {
            continue;
        }
        let finding = findings.report(reference.document.at(reference.span), format!("`{name}` is not set"));
        finding.label(reference.reason.as_deref().unwrap_or("named here"));
        let files: Vec<String> =
            module.env_files().map(|file| format!("`{}`", module.shared.shown(&file.path))).collect();
        finding.note(match files.as_slice() {
            [] => "looked for in the environment; there is no `.env`".to_owned(),
            files => format!("looked for in the environment and in {}", files.join(" and ")),
        });
        finding
            .help("set it, or write it into a `.env` beside `napt.toml` that git ignores; for runs, `napt secret set`");
        told.push(name);
    }
}
