//! What a rule finds: a message, its place, and what to do about it.

use std::{ops::Range, sync::Arc};

use super::source::{SourceFile, secret};

/// Whether a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// A file, or a part of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The bytes; `None` when the finding is about the file as such.
    pub span: Option<Range<usize>>,
}

/// Another place that has to do with a finding.
#[derive(Debug, Clone)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What it has to do with it.
    pub message: String,
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// The rule's name.
    pub rule: &'static str,
    /// Error or warning.
    pub level: Level,
    /// What is wrong: a lowercase phrase.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What stands beside the marked text.
    pub label: Option<String>,
    /// Other places.
    pub labels: Vec<Label>,
    /// Why it is wrong.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
    /// The changes that mend it for certain; none where only a person can know.
    pub fix: Vec<Edit>,
}

/// A change of a file's text.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The bytes that go.
    pub span: Range<usize>,
    /// What comes in their place.
    pub text: String,
}

impl Diagnostic {
    /// Says something beside the marked text.
    pub(super) fn label(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.label = Some(said(text));
        self
    }

    /// Marks another place.
    pub(super) fn also(&mut self, place: Place, message: impl AsRef<str>) -> &mut Self {
        self.labels.push(Label { place, message: said(message) });
        self
    }

    /// Says why.
    pub(super) fn note(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.notes.push(said(text));
        self
    }

    /// Says what to do.
    pub(super) fn help(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.help.push(said(text));
        self
    }

    /// Says how to mend it for certain: all of these changes together.
    pub(super) fn fix(&mut self, edits: impl IntoIterator<Item = Edit>) -> &mut Self {
        self.fix.extend(edits);
        self
    }

    /// By file, then by place in it, then by rule.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |diagnostic: &Self| diagnostic.place.span.as_ref().map_or((0, 0), |span| (span.start + 1, span.end));
        let file = self.place.file.path.cmp(&other.place.file.path);
        file.then_with(|| key(self).cmp(&key(other))).then_with(|| self.rule.cmp(other.rule))
    }
}

/// Every text of a finding comes through here, so none of them shows a secret.
pub(super) fn said(text: impl AsRef<str>) -> String {
    secret::masked(text.as_ref()).into_owned()
}
