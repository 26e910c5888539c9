use super::{Document, Findings, Rule, Run};
use crate::module::LintLevel;

pub(super) static RULE: Rule = Rule {
    name: "secret-in-config",
    level: LintLevel::Deny,
    summary: "a manifest or a file of `configs/` holds a secret",
    docs: r#"Whoever can read a package can read these files. Secrets are stored on nodes (`napt secret`) and reach a run through its
environment. Neither this message nor any other shows the secret.

```json
[{"config_name": "gpt", "options": {"api_key": "the key itself"}}]
```"#,
    run: Run::Document(run),
};

fn run(document: &Document, findings: &mut Findings<'_>) {
    for found in &document.source.secrets {
        findings
            .report(document.at(&found.range), format!("this looks like {}", found.kind))
            .note("whoever can read the package can read it")
            .help("remove it, revoke it where it was issued, and store the new one with `napt secret`");
    }
}
