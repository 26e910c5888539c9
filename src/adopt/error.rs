//! Why a project cannot be adopted.

use std::path::PathBuf;

use crate::{
    config::PersonaError,
    module::{ModuleType, NameError, NativeError, ProjectError},
    report::{Fault, Kind},
};

/// Why a project cannot be adopted. Nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is a napt project already.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] ProjectError),
    /// The native manifest cannot be read.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// There is neither code nor a persona.
    #[error("there is no module in `{}`: no folder with `run.py` or `configs/deployment.json`, and no persona file", .0.display())]
    NoModule(PathBuf),
    /// The code is where nodes do not look for it.
    #[error("the package `{package}` is in the folder `{folder}`")]
    Elsewhere {
        /// The package.
        package: String,
        /// Where `pyproject.toml` says that it is.
        folder: String,
    },
    /// Several folders could be the module.
    #[error("several folders of `{}` could be the module: {}", root.display(), folders.join(", "))]
    Several {
        /// The project.
        root: PathBuf,
        /// The folders.
        folders: Vec<String>,
    },
    /// The package's name is not one of a module.
    #[error("the folder `{folder}` cannot give the module its name")]
    Name {
        /// The folder.
        folder: String,
        /// Why not.
        #[source]
        error: NameError,
    },
    /// Nothing, or not enough, tells the module's type.
    #[error("cannot tell the type of the module `{name}`{}", .clues.as_ref().map(|clues| format!(": {clues}")).unwrap_or_default())]
    Unsure {
        /// The module.
        name: String,
        /// What speaks for what.
        clues: Option<String>,
    },
    /// The only file that could be a persona is none.
    #[error(transparent)]
    Persona(#[from] PersonaError),
    /// The type that was given is not one of such a project.
    #[error("`{name}` cannot be a {given}: it has {found}")]
    Unfit {
        /// The module.
        name: String,
        /// What was given.
        given: ModuleType,
        /// What there is.
        found: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault for AdoptError {
    fn kind(&self) -> Kind {
        match self {
            AdoptError::Exists(_) => Kind::Conflict,
            AdoptError::Folder(error) => error.kind(),
            AdoptError::Native(error) => error.kind(),
            AdoptError::Persona(error) => error.kind(),
            AdoptError::Unsure { .. } | AdoptError::Unfit { .. } => Kind::Usage,
            AdoptError::NoModule(_)
            | AdoptError::Elsewhere { .. }
            | AdoptError::Several { .. }
            | AdoptError::Name { .. }
            | AdoptError::Io(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            AdoptError::Exists(_) => Some("the project is adopted; `napt check` says what is wrong with it".to_owned()),
            AdoptError::Folder(error) => error.hint(),
            AdoptError::Native(error) => error.hint(),
            AdoptError::NoModule(_) => {
                Some("`napt new TYPE NAME` makes a project; one in a folder below is named by its path".to_owned())
            }
            AdoptError::Elsewhere { package, .. } => {
                Some(format!("nodes look for `{package}` beside `pyproject.toml`, and in `src`; move it there"))
            }
            AdoptError::Several { .. } => {
                Some("list the one that is the module in `packages` of `pyproject.toml`".to_owned())
            }
            AdoptError::Name { error, .. } => error.hint(),
            AdoptError::Unsure { .. } => {
                let types = ModuleType::ALL.map(ModuleType::as_str).join(", ");
                Some(format!("say it with `--type`: {types}"))
            }
            AdoptError::Persona(error) => error.hint(),
            AdoptError::Unfit { .. } => Some("a persona is a module without code, and the only such one".to_owned()),
            AdoptError::Io(_) => None,
        }
    }
}
