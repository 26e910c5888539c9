use semver::Version;

use crate::{
    module::{ModuleId, ProjectError},
    registries::unknown_name,
    report::{Fault, Kind},
    sources::SourceError,
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
    /// A dependency is to come from a registry by name, and none has the name; it must not be taken from another.
    #[error("{needed_by} needs the registry `{registry}`, and no registry is called that")]
    Registry {
        /// The module that cannot be had.
        id: ModuleId,
        /// Who names the registry, in words.
        needed_by: String,
        /// The registry's name.
        registry: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// One module from two registries.
    #[error("`{id}` is needed from two places: `{}` and `{}`", registries[0], registries[1])]
    TwoRegistries {
        /// The module.
        id: ModuleId,
        /// Both of them.
        registries: [String; 2],
    },
    /// The precise version that was asked for does not exist.
    #[error("there is no version {version} of `{id}`")]
    NoVersion {
        /// The module.
        id: ModuleId,
        /// What was asked for.
        version: Version,
        /// What there is.
        versions: Vec<Version>,
    },
    /// A module that is named by path cannot be read.
    #[error(transparent)]
    Project(Box<ProjectError>),
    /// A module in git cannot be had.
    #[error("cannot fetch `{id}`")]
    Source {
        /// The module.
        id: ModuleId,
        /// Why.
        #[source]
        error: Box<SourceError>,
    },
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
            ResolveError::Source { error, .. } => error.kind(),
            ResolveError::Changed { .. } => Kind::Conflict,
            ResolveError::Unknown { .. }
            | ResolveError::Conflict { .. }
            | ResolveError::Outdated { .. }
            | ResolveError::Registry { .. }
            | ResolveError::TwoRegistries { .. }
            | ResolveError::NoVersion { .. }
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
            ResolveError::Registry { registry, known, .. } => Some(unknown_name(registry, known)),
            ResolveError::TwoRegistries { .. } => {
                Some("let all that need it name the same `registry`: they may be different modules".to_owned())
            }
            ResolveError::NoVersion { versions, .. } if versions.is_empty() => None,
            ResolveError::NoVersion { versions, .. } => Some(format!(
                "the versions are {}",
                versions.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
            )),
            ResolveError::Project(error) => error.hint(),
            ResolveError::Source { error, .. } => error.hint(),
            ResolveError::Index { hint, .. } => hint.clone(),
        }
    }
}
