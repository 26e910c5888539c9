//! Why a project cannot be made.

use std::{fmt, path::PathBuf};

use super::template::Template;
use crate::{
    module::{ModuleType, NameError},
    report::{Fault, Kind, did_you_mean},
};

/// Why a project cannot be made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// A type of module that has no template.
    #[error("there is no template for the module type `{0}` yet")]
    NoTemplate(ModuleType),
    /// Neither a type of module nor a template.
    #[error("unknown module type `{0}`")]
    UnknownTemplate(String),
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
    pub(super) fn no_template(id: &str) -> Self {
        match id.parse() {
            Ok(module_type) => ScaffoldError::NoTemplate(module_type),
            Err(_) => ScaffoldError::UnknownTemplate(id.to_owned()),
        }
    }

    pub(super) fn broken(place: impl fmt::Display, reason: &dyn fmt::Display) -> Self {
        ScaffoldError::Broken { place: place.to_string(), reason: reason.to_string() }
    }

    pub(super) fn record(error: toml::ser::Error) -> Self {
        Self::broken(super::RECORD_FILE, &error)
    }
}

impl Fault for ScaffoldError {
    fn kind(&self) -> Kind {
        match self {
            ScaffoldError::NoTemplate(_)
            | ScaffoldError::UnknownTemplate(_)
            | ScaffoldError::Name(_)
            | ScaffoldError::PartName { .. }
            | ScaffoldError::UnknownVariable { .. }
            | ScaffoldError::Value { .. } => Kind::Usage,
            ScaffoldError::Taken(_) => Kind::Conflict,
            ScaffoldError::Ask(error) if error.kind() == std::io::ErrorKind::Interrupted => Kind::Interrupted,
            ScaffoldError::Ask(_) | ScaffoldError::Io(_) | ScaffoldError::Git(_) => Kind::Failed,
            ScaffoldError::Broken { .. } => Kind::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        let ids = Template::ids();
        let list = || {
            let missing: Vec<_> =
                ModuleType::ALL.iter().map(|kind| kind.as_str()).filter(|kind| !ids.contains(kind)).collect();
            format!("there are templates for {}; those for {} come later", ids.join(", "), missing.join(", "))
        };
        match self {
            ScaffoldError::NoTemplate(_) => Some(list()),
            ScaffoldError::UnknownTemplate(given) => Some(match did_you_mean(given, ids.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => list(),
            }),
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
