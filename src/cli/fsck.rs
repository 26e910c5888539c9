use serde_json::json;

use crate::{
    context::Context,
    report::{Failure, Inspection, Kind, plural},
    shell::Output,
};

/// What a server's data looks like, for people and programs; a failure when something is wrong with it.
pub(super) fn told(context: &Context, data: &std::path::Path, found: Inspection) -> Result<Output, Failure> {
    for problem in &found.problems {
        context.shell.problem(&format!("{}: {}: {}", problem.kind, problem.what, problem.message));
    }
    for note in &found.notes {
        context.shell.note(&format!("note: {}: {}: {}", note.kind, note.what, note.message));
    }
    let checked: Vec<String> =
        found.checked.iter().map(|(what, count)| plural(*count, what.trim_end_matches('s'))).collect();
    let checked = if checked.is_empty() { String::new() } else { format!(" ({})", checked.join(", ")) };
    let json = json!({
        "data": data,
        "checked": found.checked,
        "problems": found.problems,
        "notes": found.notes,
        "removed": found.removed,
    });
    if !found.problems.is_empty() {
        let what = format!("{} in `{}`{checked}", plural(found.problems.len(), "problem"), data.display());
        return Err(Failure::new(Kind::Check, what)
            .hinted("restore the folder from a backup; docs/operations.md says what each problem means")
            .with_data(json));
    }
    let notes = match (found.notes.len(), found.removed.len()) {
        (0, _) => String::new(),
        (notes, 0) => format!(", {} that {} harmless", plural(notes, "note"), if notes == 1 { "is" } else { "are" }),
        (_, removed) => format!(", {} removed", plural(removed, "file")),
    };
    Ok(Output::new(format!("No problem in `{}`{checked}{notes}", data.display()), json))
}
