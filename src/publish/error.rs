//! Why a publish is not done.

use std::time::Duration;

use jiff::Timestamp;
use napt_registry_client::ClientError;
use semver::{Version, VersionReq};

use crate::{
    module::{ModuleId, ProjectError},
    package::PackageError,
    registries::{RegistriesError, unknown_name},
    report::{Fault, Kind, plural},
};

/// Why nothing, or not all, was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The registry refuses or fails.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Another registry has no answer.
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    /// The project cannot be read.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A module cannot be packed.
    #[error("cannot package `{id}`")]
    Package {
        /// The module.
        id: ModuleId,
        /// Why.
        #[source]
        error: Box<PackageError>,
    },
    /// A local file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A workspace root without a module of its own.
    #[error("this is a workspace of several modules")]
    NoCurrent,
    /// All that stands in the way, found before anything was sent.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// It was taken, but readers do not see it.
    #[error("`{id}@{version}` was accepted, but the index does not show it after {} seconds", waited.as_secs())]
    NotVisible {
        /// The module.
        id: ModuleId,
        /// Its version.
        version: Version,
        /// How long was waited.
        waited: Duration,
    },
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no token for the registry.
    #[error("not signed in to the registry at `{0}`")]
    NotSignedIn(String),
    /// The token cannot publish it.
    #[error("the token for the registry does not allow to publish `{0}`")]
    Scope(ModuleId),
    /// The module has other owners.
    #[error("`{0}` belongs to another user")]
    NotOwner(ModuleId),
    /// It has changes that are in no commit.
    #[error("`{id}`: {error}")]
    Dirty {
        /// The module.
        id: ModuleId,
        /// The files.
        error: String,
    },
    /// The manifest forbids it.
    #[error("`{0}` says `publish = false`")]
    Forbidden(ModuleId),
    /// The manifest allows other registries only.
    #[error("`{id}` may be published to {} only, not to `{registry}`", allowed.join(", "))]
    OtherRegistry {
        /// The module.
        id: ModuleId,
        /// What the manifest lists.
        allowed: Vec<String>,
        /// The registry's URL.
        registry: String,
    },
    /// Modules that depend on each other.
    #[error("these modules depend on each other: {}", .0.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<ModuleId>),
    /// A member wants another version of a member than there is.
    #[error("`{id}` wants `{on}` {req}, but the workspace has {version}")]
    Requirement {
        /// Who wants it.
        id: ModuleId,
        /// What it wants.
        on: ModuleId,
        /// Which versions.
        req: VersionReq,
        /// What there is.
        version: Version,
    },
    /// A dependency by path alone cannot be found by others.
    #[error("`{id}` depends on `{on}` by path or git, without a version")]
    NoVersion {
        /// Who wants it.
        id: ModuleId,
        /// What it wants.
        on: ModuleId,
    },
    /// A dependency that nobody could fetch.
    #[error("`{id}` wants `{on}` {req}, and the registry{} has no such version", from.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default())]
    Missing {
        /// Who wants it.
        id: ModuleId,
        /// What it wants.
        on: ModuleId,
        /// Which versions.
        req: VersionReq,
        /// The name of the registry, when the manifest names one.
        from: Option<String>,
        /// Whether the workspace has it.
        in_workspace: bool,
    },
    /// A dependency from a registry that has no name here.
    #[error("`{id}` wants `{on}` from the registry `{name}`, and no registry is called that")]
    UnknownRegistry {
        /// Who wants it.
        id: ModuleId,
        /// What it wants.
        on: ModuleId,
        /// The registry's name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The version exists with other bytes.
    #[error(
        "`{id}@{version}` was published at {published} with other bytes (sha256 {theirs}; here it is {ours}), and a version never changes"
    )]
    Conflict {
        /// The module.
        id: ModuleId,
        /// Its version.
        version: Version,
        /// Digest of what was packed here.
        ours: String,
        /// Digest of what the registry has.
        theirs: String,
        /// Since when.
        published: Timestamp,
    },
}

impl Problem {
    fn kind(&self) -> Kind {
        match self {
            Problem::NotSignedIn(_) | Problem::Scope(_) | Problem::NotOwner(_) => Kind::Auth,
            Problem::Conflict { .. } => Kind::Conflict,
            Problem::Dirty { .. } => Kind::Check,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> String {
        match self {
            Problem::NotSignedIn(_) => "run `napt login`, or set `NAPT_TOKEN`".to_owned(),
            Problem::Scope(_) => "`napt token new --publish` makes one that does, and so does `napt login`".to_owned(),
            Problem::NotOwner(_) => "publish under another name, or ask an owner".to_owned(),
            Problem::Dirty { .. } => "commit them, or publish what is on disk with `--allow-dirty`".to_owned(),
            Problem::Forbidden(_) | Problem::OtherRegistry { .. } => "change `publish` in `napt.toml`".to_owned(),
            Problem::Cycle(_) => "take one of the dependencies out".to_owned(),
            Problem::Requirement { on, .. } => format!("change the requirement of `{on}`, or its version"),
            Problem::NoVersion { on, .. } => format!("add `version` beside `path` or `git` for `{on}`"),
            Problem::Missing { in_workspace: true, .. } => "`napt publish --workspace` publishes it first".to_owned(),
            Problem::Missing { on, .. } => format!("publish `{on}` first, or change the requirement"),
            Problem::UnknownRegistry { name, known, .. } => unknown_name(name, known),
            Problem::Conflict { .. } => {
                "raise the version, in `napt.toml` or `pyproject.toml`, and publish again".to_owned()
            }
        }
    }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        several => {
            let lines: String = several.iter().map(|problem| format!("\n  - {problem}")).collect();
            format!("{} stand in the way{lines}", plural(several.len(), "problem"))
        }
    }
}

impl Fault for PublishError {
    fn kind(&self) -> Kind {
        match self {
            PublishError::Client(error) => error.kind(),
            PublishError::Registries(error) => error.kind(),
            PublishError::Project(error) => error.kind(),
            PublishError::Package { error, .. } => error.kind(),
            PublishError::Io(_) => Kind::Failed,
            PublishError::NoCurrent => Kind::Usage,
            PublishError::Problems(problems) => problems.first().map_or(Kind::Failed, Problem::kind),
            PublishError::NotVisible { .. } => Kind::Network,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PublishError::Client(error) => error.hint(),
            PublishError::Registries(error) => error.hint(),
            PublishError::Project(error) => error.hint(),
            PublishError::Package { error, .. } => error.hint(),
            PublishError::Io(_) => None,
            PublishError::NoCurrent => Some("go to a module's folder, or publish all with `--workspace`".to_owned()),
            PublishError::Problems(problems) => {
                let mut hints: Vec<String> = problems.iter().map(Problem::hint).collect();
                hints.dedup();
                Some(hints.join("; "))
            }
            PublishError::NotVisible { .. } => Some(
                "run the same command again: it sends nothing twice, and waits again (`--timeout` says how long)"
                    .to_owned(),
            ),
        }
    }
}
