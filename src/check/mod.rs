//! Verb: finds what is wrong with a module or a workspace before anything else does, all of it at once.
//!
//! Files are read leniently (`load`), so that a broken one hides nothing of the others. Rules (`rules/`, one file
//! each) look at what was read and report [`Diagnostic`]s; renderers (`render/`) show them.

mod diagnostic;
mod explain;
mod load;
pub mod render;
mod rules;
mod shape;
mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Edit, Label, Level, Place};
pub use explain::{UnknownRule, explain};
pub use rules::{Example, Part, RULES, Rule};
pub use source::{Position, SourceFile};

use crate::{
    module::{MANIFEST_FILE, ProjectError},
    report::{Fault, Kind, plural},
};

/// How to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Warnings fail the check as errors do.
    pub deny_warnings: bool,
}

/// Why nothing could be checked. What is wrong with a project is not an error of the check but its result.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is nothing to check.
    #[error("there is no `{MANIFEST_FILE}` and no `pyproject.toml` in `{}` or any folder above it", .0.display())]
    NotFound(PathBuf),
    /// There is no such folder.
    #[error(transparent)]
    Folder(#[from] ProjectError),
    /// A file is there and cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault for CheckError {
    fn kind(&self) -> Kind {
        match self {
            CheckError::Folder(error) => error.kind(),
            CheckError::NotFound(_) | CheckError::Io(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CheckError::NotFound(_) => Some("`napt new orchestrator NAME` makes a project".to_owned()),
            CheckError::Folder(error) => error.hint(),
            CheckError::Io(_) => None,
        }
    }
}

/// Everything that a check found.
#[derive(Debug)]
pub struct Report {
    /// The module's or the workspace's folder.
    pub root: PathBuf,
    /// How many modules were checked.
    pub modules: usize,
    /// By file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.count(Level::Error)
    }

    /// How many findings are warnings.
    pub fn warnings(&self) -> usize {
        self.count(Level::Warning)
    }

    fn count(&self, level: Level) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.level == level).count()
    }

    /// `2 errors, 1 warning in 3 modules`.
    pub fn summary(&self) -> String {
        let (errors, warnings) = (plural(self.errors(), "error"), plural(self.warnings(), "warning"));
        format!("{errors}, {warnings} in {}", plural(self.modules, "module"))
    }
}

/// Checks the module that `path` is in, or all modules of the workspace whose root it is.
pub fn check(path: &Path, options: Options) -> Result<Report, CheckError> {
    let checked = load::load(path)?;
    let mut diagnostics = rules::run(&checked);
    if options.deny_warnings {
        for diagnostic in &mut diagnostics {
            diagnostic.level = Level::Error;
        }
    }
    diagnostics.sort_by(Diagnostic::order);
    Ok(Report { root: checked.root, modules: checked.modules.len(), diagnostics })
}
