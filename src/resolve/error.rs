use crate::{
    module::{ModuleId, ProjectError},
    report::{Fault, Kind},
};

/// Why no versions were chosen.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A module that is asked for does not exist.
    #[error("there is no module `{id}`{}", needed_by.as_ref().map(|by| format!(", which `{by}` needs")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        id: ModuleId,
        /// Which member asks for it; `None` when the caller does.
        needed_by: Option<ModuleId>,
        /// A module that exists and has a similar name.
        near: Option<String>,
    },
    /// Requirements contradict each other; the text says whose.
    #[error("no versions satisfy everyone\n{explanation}")]
    Conflict {
        /// Who needs what.
        explanation: String,
    },
    /// The lock file must be kept as it is, and cannot be.
    #[error("`napt.lock` is out of date\n{}", changes.iter().map(|change| format!("  {change}")).collect::<Vec<_>>().join("\n"))]
    Outdated {
        /// What would change, one module each.
        changes: Vec<String>,
    },
    /// The lock file must be kept, and there is none.
    #[error("there is no `napt.lock` to keep to")]
    NoLock,
    /// A registry has other bytes for a version than when it was locked.
    #[error("`{module}` is not what was locked: `{registry}` has the archive {found}, `napt.lock` {expected}")]
    Changed {
        /// The module with its version.
        module: String,
        /// Where it is from.
        registry: String,
        /// The sha256 in the lock file.
        expected: String,
        /// The sha256 in the index.
        found: String,
    },
    /// A dependency is to come from a registry by name; it must not be taken from another.
    #[error("`{needed_by}` needs `{id}` from the registry `{registry}`, and registries cannot be named yet")]
    Registry {
        /// The module.
        id: ModuleId,
        /// Who needs it.
        needed_by: ModuleId,
        /// The registry's name.
        registry: String,
    },
    /// A module that is named by path cannot be read.
    #[error(transparent)]
    Project(Box<ProjectError>),
    /// The index could not be asked.
    #[error("cannot look up `{id}`")]
    Index {
        /// The module.
        id: ModuleId,
        /// Which exit code it deserves.
        kind: Kind,
        /// What to do.
        hint: Option<String>,
        /// Why.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<ProjectError> for ResolveError {
    fn from(error: ProjectError) -> Self {
        ResolveError::Project(Box::new(error))
    }
}

impl Fault for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            ResolveError::Index { kind, .. } => *kind,
            ResolveError::Project(error) => error.kind(),
            ResolveError::Changed { .. } => Kind::Conflict,
            ResolveError::Unknown { .. }
            | ResolveError::Conflict { .. }
            | ResolveError::Outdated { .. }
            | ResolveError::Registry { .. }
            | ResolveError::NoLock => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ResolveError::Unknown { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            ResolveError::Unknown { near: None, .. } => Some(
                "see that type, name and registry are right; a module of this workspace is named with its `path`"
                    .to_owned(),
            ),
            ResolveError::Conflict { .. } => Some("widen one of these requirements in `[dependencies]`".to_owned()),
            ResolveError::Outdated { .. } => {
                Some("run the command without `--locked` to bring it up to date, and commit it".to_owned())
            }
            ResolveError::NoLock => Some("run the command without `--locked` to write it, and commit it".to_owned()),
            ResolveError::Changed { .. } => Some(
                "a published version never changes, so do not use it; ask whoever runs the registry what happened"
                    .to_owned(),
            ),
            ResolveError::Registry { .. } => Some(
                "leave `registry` out if the module is in the registry that you use, or name it by `path`".to_owned(),
            ),
            ResolveError::Project(error) => error.hint(),
            ResolveError::Index { hint, .. } => hint.clone(),
        }
    }
}
