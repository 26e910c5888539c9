//! Why a project cannot be made.

use std::{fmt, path::PathBuf};

use crate::{
    module::{ManifestError, ModuleId, ModuleType, NameError, ProjectError},
    report::{Fault, Kind, did_you_mean, did_you_mean_or},
};

/// Why a project cannot be made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Not a type of module.
    #[error("unknown module type `{0}`")]
    UnknownType(String),
    /// A type of module that is made alone anyway.
    #[error("`--bare` is not for the module type `{0}`")]
    NotBare(ModuleType),
    /// A type of module that there is no template in Rust for.
    #[error("there is no template in Rust for the module type `{0}`")]
    NotInRust(ModuleType),
    /// The name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name of another module of the project, made from the given one, is not allowed.
    #[error("the project's {part} would be called `{name}`")]
    PartName {
        /// What it is.
        part: String,
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        error: NameError,
    },
    /// The template has no such variable.
    #[error("the template `{template}` has no variable `{given}`")]
    UnknownVariable {
        /// What was given.
        given: String,
        /// The template's id.
        template: String,
        /// What there is.
        variables: Vec<String>,
    },
    /// A value is not of its variable's type.
    #[error("invalid value `{given}` for `{variable}`: {reason}")]
    Value {
        /// The variable's name.
        variable: String,
        /// What was given.
        given: String,
        /// What it should be.
        reason: String,
    },
    /// Something about a value, with where it is given.
    #[error("{place}: {error}")]
    At {
        /// The file and line.
        place: String,
        /// What is wrong there.
        error: Box<ScaffoldError>,
    },
    /// A file of values that cannot be understood.
    #[error("{0}")]
    Values(String),
    /// A file of values of an unknown format.
    #[error("cannot tell the format of `{}`", .0.display())]
    ValuesFormat(PathBuf),
    /// A folder that should be in a workspace.
    #[error("`{}` is not in a workspace", .0.display())]
    NoWorkspace(PathBuf),
    /// A workspace whose members cannot be changed.
    #[error("cannot add a member to `{}`: {reason}", path.display())]
    Members {
        /// The workspace's manifest.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A module that the workspace has.
    #[error("the workspace has a module `{id}` already, in `{}`", folder.display())]
    Defined {
        /// The module.
        id: ModuleId,
        /// Its folder.
        folder: PathBuf,
    },
    /// The workspace, or the folder that it should be in, cannot be used.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The folder exists.
    #[error("`{}` exists already", .0.display())]
    Taken(PathBuf),
    /// Nobody answered.
    #[error("no answer")]
    Ask(#[source] std::io::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The repository cannot be made.
    #[error("cannot make a git repository")]
    Git(#[from] git2::Error),
    /// A template is wrong, which is a defect of napt.
    #[error("broken template `{place}`: {reason}")]
    Broken {
        /// The file or text.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ScaffoldError {
    pub(super) fn broken(place: impl fmt::Display, reason: &dyn fmt::Display) -> Self {
        ScaffoldError::Broken { place: place.to_string(), reason: reason.to_string() }
    }
}

impl From<ManifestError> for ScaffoldError {
    fn from(error: ManifestError) -> Self {
        ScaffoldError::Project(error.into())
    }
}

impl Fault for ScaffoldError {
    fn kind(&self) -> Kind {
        match self {
            ScaffoldError::UnknownType(_)
            | ScaffoldError::NotBare(_)
            | ScaffoldError::NotInRust(_)
            | ScaffoldError::Values(_)
            | ScaffoldError::ValuesFormat(_)
            | ScaffoldError::NoWorkspace(_)
            | ScaffoldError::Name(_)
            | ScaffoldError::PartName { .. }
            | ScaffoldError::UnknownVariable { .. }
            | ScaffoldError::Value { .. } => Kind::Usage,
            ScaffoldError::At { error, .. } => error.kind(),
            ScaffoldError::Project(error) => error.kind(),
            ScaffoldError::Members { .. } => Kind::Failed,
            ScaffoldError::Taken(_) | ScaffoldError::Defined { .. } => Kind::Conflict,
            ScaffoldError::Ask(error) if error.kind() == std::io::ErrorKind::Interrupted => Kind::Interrupted,
            ScaffoldError::Ask(_) | ScaffoldError::Io(_) | ScaffoldError::Git(_) => Kind::Failed,
            ScaffoldError::Broken { .. } => Kind::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ScaffoldError::UnknownType(given) => {
                let types = ModuleType::ALL.map(ModuleType::as_str);
                Some(did_you_mean_or(given, types, || format!("the types are {}", types.join(", "))))
            }
            ScaffoldError::NotBare(module_type) => Some(format!("`napt new {module_type}` makes a single module")),
            ScaffoldError::NotInRust(_) => Some(
                "`napt new agent NAME --lang rust` and `napt new orchestrator NAME --lang rust` make one".to_owned(),
            ),
            ScaffoldError::At { error, .. } => error.hint(),
            ScaffoldError::ValuesFormat(_) => Some("name it `.toml` or `.json`".to_owned()),
            ScaffoldError::NoWorkspace(_) => {
                Some("a workspace is a folder whose `napt.toml` has a `[workspace]` with `members`".to_owned())
            }
            ScaffoldError::Defined { .. } => Some("choose another name".to_owned()),
            ScaffoldError::Project(error) => error.hint(),
            ScaffoldError::Values(_) => None,
            ScaffoldError::Members { .. } => Some("add it to `members` in `[workspace]` by hand".to_owned()),
            ScaffoldError::Name(error) => error.hint(),
            ScaffoldError::PartName { .. } => Some("choose a shorter name".to_owned()),
            ScaffoldError::UnknownVariable { given, variables, .. } => {
                Some(match did_you_mean(given, variables.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`? The variables are {}", variables.join(", ")),
                    None => format!("the variables are {}", variables.join(", ")),
                })
            }
            ScaffoldError::Taken(_) => Some("choose another name, or move the folder away".to_owned()),
            ScaffoldError::Ask(_) => {
                Some("give values with `--set KEY=VALUE`, or take the defaults with `--yes`".to_owned())
            }
            ScaffoldError::Value { .. } | ScaffoldError::Io(_) | ScaffoldError::Git(_) => None,
            ScaffoldError::Broken { .. } => Some("this is a defect of napt; please report it".to_owned()),
        }
    }
}
