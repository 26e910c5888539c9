//! What a look through stored data has found.

use std::collections::BTreeMap;

use serde::Serialize;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which kind of damage: a stable name such as `blob-missing`.
    pub kind: &'static str,
    /// What it is about: a module's version, a run, a file.
    pub what: String,
    /// What is wrong.
    pub message: String,
}

/// All that was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inspection {
    /// How many of what were looked at.
    pub checked: BTreeMap<&'static str, usize>,
    /// What is wrong.
    pub problems: Vec<Finding>,
    /// What is harmless: it changes no answer, and may be removed.
    pub notes: Vec<Finding>,
    /// What was removed.
    pub removed: Vec<String>,
}

impl Inspection {
    /// Counts what was looked at.
    pub fn count(&mut self, what: &'static str) {
        *self.checked.entry(what).or_default() += 1;
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, kind: &'static str, what: impl ToString, message: impl ToString) {
        self.problems.push(Finding { kind, what: what.to_string(), message: message.to_string() });
    }

    /// Adds something that is harmless.
    pub fn note(&mut self, kind: &'static str, what: impl ToString, message: impl ToString) {
        self.notes.push(Finding { kind, what: what.to_string(), message: message.to_string() });
    }
}
