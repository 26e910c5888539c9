//! For programs: the `data` of the JSON envelope.

use std::{ops::Range, path::Path};

use serde_json::{Value, json};

use super::shown;
use crate::check::{Place, Report, SourceFile};

/// The report as data: counts, and one object a finding.
pub fn json(report: &Report, base: &Path) -> Value {
    let diagnostics: Vec<Value> = report
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let labels: Vec<Value> = diagnostic
                .labels
                .iter()
                .map(|label| with_place(&label.place, base, json!({ "message": label.message })))
                .collect();
            let finding = json!({
                "rule": diagnostic.rule,
                "level": diagnostic.level,
                "message": diagnostic.message,
                "label": diagnostic.label,
                "labels": labels,
                "notes": diagnostic.notes,
                "help": diagnostic.help,
                "fixable": !diagnostic.fix.is_empty(),
            });
            with_place(&diagnostic.place, base, finding)
        })
        .collect();
    json!({
        "modules": report.modules,
        "errors": report.errors(),
        "warnings": report.warnings(),
        "diagnostics": diagnostics,
    })
}

fn with_place(place: &Place, base: &Path, mut value: Value) -> Value {
    value["file"] = shown(&place.file.path, base).into();
    value["span"] = place.span.as_ref().map_or(Value::Null, |span| span_of(&place.file, span));
    value["excerpt"] = place.span.as_ref().map_or(Value::Null, |span| excerpt(&place.file, span).into());
    value
}

fn span_of(file: &SourceFile, span: &Range<usize>) -> Value {
    json!({ "start": file.position(span.start), "end": file.position(span.end) })
}

/// The line in which a span begins.
fn excerpt(file: &SourceFile, span: &Range<usize>) -> String {
    let line = file.position(span.start).line;
    file.shown.lines().nth(line - 1).unwrap_or_default().to_owned()
}
