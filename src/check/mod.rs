//! Verb: finds what is wrong with a module or a workspace before anything else does, all of it at once.
//!
//! Files are read leniently (`load`), so that a broken one hides nothing of the others. Rules (`rules/`, one file
//! each) look at what was read and report [`Diagnostic`]s; renderers (`render/`) show them.

mod diagnostic;
mod environment;
mod explain;
mod fix;
mod load;
pub mod render;
mod rules;
mod schema;
mod shape;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

pub use diagnostic::{Diagnostic, Edit, Label, Level, Place};
pub use explain::{UnknownRule, explain};
pub use fix::{Fixed, Mended, fix};
pub use rules::{Example, Part, RULES, Rule};
pub use schema::{Schema, editor_files};
pub use source::{Position, SourceFile};

use crate::{
    module::{LintLevel, MANIFEST_FILE, ProjectError},
    report::{Fault, Kind, plural},
};

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Levels of rules, by name, that win over those of the manifests.
    pub levels: BTreeMap<String, LintLevel>,
    /// Warnings fail the check as errors do, but for those of `levels`.
    pub deny_warnings: bool,
    /// The names of the environment's variables.
    pub variables: BTreeSet<String>,
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
    /// What would be changed differs from what git has.
    #[error("`--fix` changes nothing while there are uncommitted changes: {}", .0.join(", "))]
    Dirty(Vec<String>),
    /// What would be changed is kept nowhere else.
    #[error("`--fix` would change files in `{}`, which is in no git repository", .0.display())]
    NoRepository(PathBuf),
    /// git cannot say what has changed.
    #[error("git cannot say whether there are uncommitted changes")]
    Git(#[from] git2::Error),
}

impl Fault for CheckError {
    fn kind(&self) -> Kind {
        match self {
            CheckError::Folder(error) => error.kind(),
            CheckError::NotFound(_)
            | CheckError::Io(_)
            | CheckError::Dirty(_)
            | CheckError::NoRepository(_)
            | CheckError::Git(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CheckError::NotFound(_) => Some(
                "`napt new orchestrator NAME` makes a project; one in a folder below is named by its path".to_owned(),
            ),
            CheckError::Folder(error) => error.hint(),
            CheckError::Io(_) => None,
            CheckError::Dirty(_) => Some("commit them, or add `--allow-dirty`".to_owned()),
            CheckError::NoRepository(_) | CheckError::Git(_) => {
                Some("`--allow-dirty` changes them nevertheless".to_owned())
            }
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
    /// The `.env` files that were read for the names of variables.
    pub environment: Vec<PathBuf>,
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

    /// How many findings `--fix` can mend.
    pub fn fixable(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| !diagnostic.fix.is_empty()).count()
    }

    /// `2 errors, 1 warning in 3 modules`.
    pub fn summary(&self) -> String {
        let (errors, warnings) = (plural(self.errors(), "error"), plural(self.warnings(), "warning"));
        format!("{errors}, {warnings} in {}", plural(self.modules, "module"))
    }
}

/// Checks the module that `path` is in, or all modules of the workspace whose root it is.
pub fn check(path: &Path, options: &Options) -> Result<Report, CheckError> {
    let checked = load::load(path, &options.variables)?;
    let mut diagnostics = rules::run(&checked, options);
    diagnostics.sort_by(Diagnostic::order);
    let modules = checked.modules.len();
    let environment = checked.env_files();
    Ok(Report { root: checked.root, modules, diagnostics, environment })
}
