use super::{Document, Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::{
        diagnostic::Edit,
        source::{Member, Node},
    },
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "old-storage-config",
    level: LintLevel::Warn,
    summary: "storage is configured as before `naptha-sdk` 1.0",
    docs: r#"Until 0.2 the keys of a storage stood in `config` itself. From 1.0 on they stand in `storage_config`, where `schema` is
`storage_schema`; elsewhere the SDK drops them."#,
    fix: Some("moves them in `deployment.json`, when `pyproject.toml` asks for an SDK from 1.0 on"),
    example: Example {
        bad: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "kb_1", "config": {"storage_type": "db", "path": "turns", "schema": {}}}]"#,
        )],
        good: &[Part::File(
            "debate/configs/deployment.json",
            r#"[{"name": "kb_1", "config": {"storage_config": {"storage_type": "db", "path": "turns", "storage_schema": {}}}}]"#,
        )],
    },
    run: Run::Module(run),
};

/// The keys, where they stood then.
pub(super) const KEYS: [&str; 4] = ["storage_type", "path", "schema", "options"];

fn run(module: &Module, findings: &mut Findings<'_>) {
    for deployment in module.deployments() {
        let Some(config) = deployment.node.get("config") else { continue };
        let mut old = config.members().iter().filter(|member| KEYS.contains(&member.key.as_str()));
        let Some(first) = old.next() else { continue };
        let keys: Vec<String> = std::iter::once(first).chain(old).map(|member| format!("`{}`", member.key)).collect();
        let finding = findings
            .report(deployment.document.at(&first.key_span), "storage is configured as before `naptha-sdk` 1.0")
            .help(format!("put {} into `storage_config`, `schema` as `storage_schema`", keys.join(", ")));
        // Another module's SDK is not known here.
        if deployment.sub.is_none() && module.asks_for_new_sdk() {
            finding.fix(moved(deployment.document, config).unwrap_or_default());
        }
    }
}

/// The changes that put the old keys into `storage_config`, at the place of the first one; nothing when they are not
/// all that it needs.
fn moved(document: &Document, config: &Node) -> Option<Vec<Edit>> {
    let members = config.members();
    let is_old = |member: &&Member| KEYS.contains(&member.key.as_str());
    let has = |key: &str| members.iter().filter(|member| member.key == key).count() == 1;
    if !document.errors.is_empty() || !has("storage_type") || !has("path") || config.get("storage_config").is_some() {
        return None;
    }
    let text = &document.source.text;
    let old: Vec<&Member> = members.iter().filter(is_old).collect();
    let first = old.first()?;
    let line = text[..first.key_span.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &text[line..first.key_span.start];
    // A line for each key, where they have one now.
    let next = old.get(1).is_some_and(|next| text[first.node.span.end..next.key_span.start].contains('\n'));
    let on_lines = next && indent.trim().is_empty();
    let (open, between, close) = match on_lines {
        true => (format!("{{\n{indent}    "), format!(",\n{indent}    "), format!("\n{indent}}}")),
        false => ("{".to_owned(), ", ".to_owned(), "}".to_owned()),
    };
    let entries = old.iter().map(|member| {
        let key = if member.key == "schema" { "storage_schema" } else { &member.key };
        let value = &text[member.node.span.clone()];
        format!("\"{key}\": {}", if on_lines { value.replace('\n', "\n    ") } else { value.to_owned() })
    });
    let entries = entries.collect::<Vec<_>>().join(&between);
    let place = first.key_span.start..first.node.span.end;
    let mut edits = vec![document.edit(&place, format!("\"storage_config\": {open}{entries}{close}"))];
    for pair in members.windows(2).filter(|pair| is_old(&&pair[1]) && pair[1].key_span != first.key_span) {
        edits.push(document.edit(&(pair[0].node.span.end..pair[1].node.span.end), ""));
    }
    Some(edits)
}
