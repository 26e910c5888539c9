//! For code scanners: SARIF 2.1.0, as GitHub, GitLab and editors read it.

use std::path::Path;

use serde_json::{Value, json};
use url::Url;

use super::shown;
use crate::{
    check::{Diagnostic, Edit, Level, Place, RULES, Rule},
    module::LintLevel,
    secrets,
};

/// What relative paths are relative to.
const BASE: &str = "SRCROOT";

/// The findings as one run of one tool. `base` must be the repository's root for scanners to find the files.
pub fn sarif(diagnostics: &[Diagnostic], base: &Path) -> Value {
    // A folder's URI ends in a slash, so that paths can be put behind it.
    let root = Url::from_directory_path(base).map_or(Value::Null, |url| json!({ BASE: { "uri": url.as_str() } }));
    let mut run = json!({
        "tool": { "driver": {
            "name": "napt",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": RULES.iter().map(|rule| describe(rule)).collect::<Vec<_>>(),
        }},
        "invocations": [{ "executionSuccessful": true }],
        "columnKind": "unicodeCodePoints",
        "results": diagnostics.iter().map(|diagnostic| result(diagnostic, base)).collect::<Vec<_>>(),
    });
    if !root.is_null() {
        run["originalUriBaseIds"] = root;
    }
    json!({ "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run] })
}

fn describe(rule: &Rule) -> Value {
    let level = match rule.level {
        LintLevel::Allow => "none",
        LintLevel::Warn => "warning",
        LintLevel::Deny => "error",
    };
    let page = rule.page();
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.docs },
        "help": { "text": page, "markdown": page },
        "defaultConfiguration": { "level": level },
    })
}

fn result(diagnostic: &Diagnostic, base: &Path) -> Value {
    let mut text = diagnostic.message.clone();
    if let Some(label) = &diagnostic.label {
        text.push_str(&format!(": {label}"));
    }
    for line in diagnostic.notes.iter().chain(&diagnostic.help) {
        text.push_str(&format!("\n{line}"));
    }
    let mut result = json!({
        "ruleId": diagnostic.rule,
        "ruleIndex": RULES.iter().position(|rule| rule.name == diagnostic.rule),
        "level": match diagnostic.level {
            Level::Error => "error",
            Level::Warning => "warning",
        },
        "message": { "text": text },
        "locations": [location(&diagnostic.place, base)],
    });
    if !diagnostic.labels.is_empty() {
        let related = diagnostic.labels.iter().map(|label| {
            let mut location = location(&label.place, base);
            location["message"] = json!({ "text": label.message });
            location
        });
        result["relatedLocations"] = related.collect();
    }
    // A change that carries a secret would show it.
    if !diagnostic.fix.is_empty() && diagnostic.fix.iter().all(|edit| secrets::find(&edit.text).is_empty()) {
        let changes: Vec<Value> = diagnostic.fix.iter().map(|edit| change(edit, base)).collect();
        result["fixes"] = json!([{ "artifactChanges": changes }]);
    }
    result
}

fn change(edit: &Edit, base: &Path) -> Value {
    let place = Place { file: edit.file.clone(), span: Some(edit.span.clone()) };
    json!({
        "artifactLocation": artifact(&edit.file.path, base),
        "replacements": [{ "deletedRegion": region(&place), "insertedContent": { "text": edit.text } }],
    })
}

fn location(place: &Place, base: &Path) -> Value {
    let mut physical = json!({ "artifactLocation": artifact(&place.file.path, base) });
    // What is about a file as such is about its beginning, where scanners show it.
    physical["region"] = if place.span.is_some() { region(place) } else { json!({ "startLine": 1 }) };
    json!({ "physicalLocation": physical })
}

fn artifact(path: &Path, base: &Path) -> Value {
    let path = shown(path, base);
    // As part of a URL; a colon in the first part of a path would be a scheme's.
    let mut url = Url::parse("file:///").expect("a URL");
    url.set_path(&path);
    json!({ "uri": url.path().trim_start_matches('/').replace(':', "%3A"), "uriBaseId": BASE })
}

fn region(place: &Place) -> Value {
    let span = place.span.clone().unwrap_or_default();
    let (start, end) = (place.file.position(span.start), place.file.position(span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": start.offset,
        "byteLength": end.offset - start.offset,
    })
}
