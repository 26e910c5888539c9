//! The rules, one file each, and how they are run.

mod config_shape;
mod invalid_json;
mod manifest_shape;
mod manifest_syntax;
mod missing_entry_function;
mod unknown_key;

use super::{
    diagnostic::{Diagnostic, Level, Place, said},
    load::{Checked, Levels, Module},
    source::Document,
};
use crate::module::LintLevel;

/// All rules, sorted by name.
pub static RULES: &[&Rule] = &[
    &config_shape::RULE,
    &invalid_json::RULE,
    &manifest_shape::RULE,
    &manifest_syntax::RULE,
    &missing_entry_function::RULE,
    &unknown_key::RULE,
];

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// As it stands in `[lints]` and in messages.
    pub name: &'static str,
    /// What it is when no manifest says otherwise.
    pub level: LintLevel,
    /// One line: what it finds.
    pub summary: &'static str,
    /// Markdown: why it matters, with an example.
    pub docs: &'static str,
    run: Run,
}

/// What a rule looks at.
#[derive(Debug)]
enum Run {
    /// Each TOML and JSON file.
    Document(fn(&Document, &mut Findings<'_>)),
    /// Each module.
    Module(fn(&Module, &mut Findings<'_>)),
    /// Everything together.
    Workspace(fn(&Checked, &mut Findings<'_>)),
}

/// Where a rule reports to.
struct Findings<'a> {
    rule: &'static str,
    level: Level,
    found: &'a mut Vec<Diagnostic>,
}

impl Findings<'_> {
    /// Reports a finding; what else there is to say about it is added to what is returned.
    fn report(&mut self, place: Place, message: impl AsRef<str>) -> &mut Diagnostic {
        let message = said(message);
        let (rule, level) = (self.rule, self.level);
        self.found.push(Diagnostic {
            rule,
            level,
            message,
            place,
            label: None,
            labels: vec![],
            notes: vec![],
            help: vec![],
        });
        self.found.last_mut().expect("it has just been pushed")
    }
}

/// Runs all rules at the levels of the manifests.
pub(super) fn run(checked: &Checked) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let none = Levels::new();
    for rule in RULES {
        let level = |own: &Levels| {
            let level = own.get(rule.name).or_else(|| checked.levels.get(rule.name)).copied().unwrap_or(rule.level);
            match level {
                LintLevel::Allow => None,
                LintLevel::Warn => Some(Level::Warning),
                LintLevel::Deny => Some(Level::Error),
            }
        };
        let mut with = |own: &Levels, run: &dyn Fn(&mut Findings<'_>)| {
            if let Some(level) = level(own) {
                run(&mut Findings { rule: rule.name, level, found: &mut found });
            }
        };
        match rule.run {
            Run::Document(run) => {
                for document in &checked.workspace {
                    with(&none, &|findings| run(document, findings));
                }
                for module in &checked.modules {
                    for document in module.documents() {
                        with(&module.levels, &|findings| run(document, findings));
                    }
                }
            }
            Run::Module(run) => {
                for module in &checked.modules {
                    with(&module.levels, &|findings| run(module, findings));
                }
            }
            Run::Workspace(run) => with(&none, &|findings| run(checked, findings)),
        }
    }
    found
}
