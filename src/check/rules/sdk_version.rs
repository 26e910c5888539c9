use super::{Example, Findings, Module, Part, Rule, Run};
use crate::{
    check::source::{Node, Value},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "sdk-version",
    level: LintLevel::Warn,
    summary: "`naptha-sdk` is not pinned",
    docs: r#"Modules are written for one generation of the SDK: 1.0 renamed and removed what 0.2 had. A dependency without a version
gets whatever is newest on the day a node builds the environment."#,
    fix: None,
    example: Example {
        bad: &[Part::File(
            "pyproject.toml",
            r#"[project]
name = "debate"
version = "0.1.0"
dependencies = ["naptha-sdk"]"#,
        )],
        good: &[Part::File(
            "pyproject.toml",
            r#"[project]
name = "debate"
version = "0.1.0"
dependencies = ["naptha-sdk~=1.0.5"]"#,
        )],
    },
    run: Run::Module(run),
};

fn run(module: &Module, findings: &mut Findings<'_>) {
    let (Some(native), true) = (&module.native, module.runs_python()) else { return };
    if !module.manifests_are_whole() {
        return;
    }
    if module.manifest.as_ref().is_some_and(|manifest| manifest.get(&["module", "sdk"]).is_some()) {
        return;
    }
    let is_sdk = |name: &str| name.trim().to_lowercase().replace('_', "-") == SDK;
    let list = native.get(&["project", "dependencies"]).map(Node::items).unwrap_or_default();
    let in_list = list.iter().find(|node| node.as_str().is_some_and(|text| is_sdk(requirement(text).0)));
    let table = native.get(&["tool", "poetry", "dependencies"]).map(Node::members).unwrap_or_default();
    let in_table = table.iter().find(|member| is_sdk(&member.key)).map(|member| &member.node);
    let Some(node) = in_list.or(in_table) else {
        let user = module.python.iter().find(|file| file.source.text.contains("naptha_sdk"));
        if let Some(user) = user {
            let name = user.source.path.file_name().unwrap_or_default().to_string_lossy();
            findings
                .report(native.whole(), format!("`{name}` uses `naptha_sdk`, which is not among the dependencies"))
                .help("add `naptha-sdk~=1.0.5` to `dependencies`");
        }
        return;
    };
    let pinned = match &node.value {
        Value::String(text) if in_list.is_some() => {
            let rest = requirement(text).1;
            match rest.rsplit_once('/') {
                Some((_, end)) => end.contains('@'),
                None => rest.contains(|c: char| c.is_ascii_digit()),
            }
        }
        Value::String(text) => text.contains(|c: char| c.is_ascii_digit()),
        Value::Object(_) => {
            ["version", "rev", "tag"].iter().any(|key| node.text(key).is_some_and(|(text, _)| text != "*"))
        }
        Value::Scalar(_) | Value::Array(_) => true,
    };
    if !pinned {
        let finding = findings.report(native.at(&node.span), "`naptha-sdk` is not pinned to a version");
        finding.label("any version fits").help("write `naptha-sdk~=1.0.5`, or set `sdk` in `[module]`");
    }
}

const SDK: &str = "naptha-sdk";

/// A requirement's name, and what is required of it: extras and markers are neither.
fn requirement(text: &str) -> (&str, &str) {
    let text = text.split_once(';').map_or(text, |(before, _)| before);
    let end = text.find(|c: char| !(c.is_alphanumeric() || "-_. ".contains(c))).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, rest)| rest);
    (name, rest)
}
