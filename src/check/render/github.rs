//! For GitHub workflows: one annotation a finding, shown beside the changed line of a pull request.

use std::path::Path;

use super::shown;
use crate::check::{Diagnostic, Level};

/// One workflow command a line. `base` must be the repository's root for GitHub to find the files.
pub fn github(diagnostics: &[Diagnostic], base: &Path) -> String {
    let lines: Vec<String> = diagnostics.iter().map(|diagnostic| annotation(diagnostic, base)).collect();
    lines.join("\n")
}

fn annotation(diagnostic: &Diagnostic, base: &Path) -> String {
    let command = match diagnostic.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let file = &diagnostic.place.file;
    let mut properties = vec![("file", shown(&file.path, base))];
    if let Some(span) = &diagnostic.place.span {
        let (start, end) = (file.position(span.start), file.position(span.end));
        properties.push(("line", start.line.to_string()));
        properties.push(("endLine", end.line.to_string()));
        // GitHub takes columns only within one line.
        if start.line == end.line {
            properties.push(("col", start.column.to_string()));
            properties.push(("endColumn", end.column.to_string()));
        }
    }
    properties.push(("title", diagnostic.rule.to_owned()));
    let properties: Vec<String> =
        properties.iter().map(|(key, value)| format!("{key}={}", escaped_property(value))).collect();
    let mut message = diagnostic.message.clone();
    if let Some(label) = &diagnostic.label {
        message.push_str(&format!(": {label}"));
    }
    for line in diagnostic.notes.iter().chain(&diagnostic.help) {
        message.push('\n');
        message.push_str(line);
    }
    format!("::{command} {}::{}", properties.join(","), escaped(&message))
}

/// A message of a workflow command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of one, where `:` and `,` mean something too.
fn escaped_property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
