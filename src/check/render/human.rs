//! For people: as rustc shows them.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level as Kind, Origin, Renderer, Snippet};

use super::shown;
use crate::check::{Diagnostic, Level};

/// Renders findings with excerpts, a blank line between two. Colour is written always: the shell takes it out.
pub fn human(diagnostics: &[Diagnostic], base: &Path) -> String {
    let renderer = Renderer::styled();
    let rendered: Vec<String> =
        diagnostics.iter().map(|diagnostic| renderer.render(&[group(diagnostic, base)])).collect();
    rendered.join("\n\n")
}

fn group<'a>(diagnostic: &'a Diagnostic, base: &Path) -> Group<'a> {
    let kind = match diagnostic.level {
        Level::Error => Kind::ERROR,
        Level::Warning => Kind::WARNING,
    };
    let title = kind.primary_title(diagnostic.message.as_str()).id(diagnostic.rule);
    let file = &diagnostic.place.file;
    let path = shown(&file.path, base);
    let (inside, elsewhere): (Vec<_>, Vec<_>) =
        diagnostic.labels.iter().partition(|label| label.place.file.path == file.path);
    let mut group = match &diagnostic.place.span {
        Some(span) => {
            let mut primary = AnnotationKind::Primary.span(span.clone());
            if let Some(label) = &diagnostic.label {
                primary = primary.label(label.as_str());
            }
            let others = inside.iter().filter_map(|label| {
                Some(AnnotationKind::Context.span(label.place.span.clone()?).label(label.message.as_str()))
            });
            let snippet = Snippet::source(file.shown.as_str()).path(path).annotation(primary).annotations(others);
            title.element(snippet)
        }
        None => title.element(Origin::path(path)),
    };
    for label in elsewhere {
        let path = shown(&label.place.file.path, base);
        group = match &label.place.span {
            Some(span) => group.element(
                Snippet::source(label.place.file.shown.as_str())
                    .path(path)
                    .annotation(AnnotationKind::Context.span(span.clone()).label(label.message.as_str())),
            ),
            None => group.element(Origin::path(path)),
        };
    }
    let notes = diagnostic.notes.iter().map(|note| Kind::NOTE.message(note.as_str()));
    let help = diagnostic.help.iter().map(|help| Kind::HELP.message(help.as_str()));
    group.elements(notes).elements(help)
}
