//! Why dependencies cannot be changed or shown.

use std::path::PathBuf;

use semver::{Version, VersionReq};

use crate::{
    module::{ManifestError, ModuleId, ProjectError},
    registries::RegistriesError,
    report::{Fault, Kind, did_you_mean},
    resolve::{LockError, ResolveError},
    sources::SourceError,
};

/// Why dependencies cannot be changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    /// A manifest cannot be read or written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A project cannot be read.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A registry has no answer.
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    /// No versions fit.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The lock file cannot be read or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A module in git cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The registry has no such module.
    #[error("there is no module `{id}` in the registry at `{registry}`")]
    NoModule {
        /// What was asked for.
        id: ModuleId,
        /// Where.
        registry: String,
        /// A module of a similar name.
        near: Option<String>,
    },
    /// The registry has the module, but no version that fits.
    #[error("no version of `{id}` in the registry at `{registry}` fits {req}")]
    NoVersion {
        /// The module.
        id: ModuleId,
        /// Where.
        registry: String,
        /// What was asked for.
        req: VersionReq,
        /// What there is, newest first, without what is yanked.
        versions: Vec<Version>,
    },
    /// The folder holds another module.
    #[error("the module in `{}` is `{found}`, not `{wanted}`", path.display())]
    OtherModule {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        wanted: ModuleId,
        /// What is there.
        found: ModuleId,
    },
    /// The folder's module has a version that does not fit.
    #[error("`{id}` in `{}` is {version}, which does not fit {req}", path.display())]
    OtherVersion {
        /// The folder.
        path: PathBuf,
        /// The module.
        id: ModuleId,
        /// What was asked for.
        req: VersionReq,
        /// What is there.
        version: Version,
    },
    /// A module that would need itself.
    #[error("`{0}` cannot depend on itself")]
    Itself(ModuleId),
    /// A registry's URL where the manifest needs its name.
    #[error("the registry at `{0}` has no name to write into the manifest")]
    Unnamed(String),
    /// Something that is not a dependency, or not in the lock.
    #[error("`{given}` is not {place}")]
    Unknown {
        /// What was given.
        given: String,
        /// Where it was looked for, as in `a dependency of …`.
        place: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A bare name that several modules have.
    #[error("`{given}` is the name of several modules: {}", known.join(", "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// These.
        known: Vec<String>,
    },
    /// A member is what it is on disk.
    #[error("`{0}` is a module of this workspace: its version is in its own manifest")]
    Member(ModuleId),
}

impl Fault for DependencyError {
    fn kind(&self) -> Kind {
        match self {
            DependencyError::Manifest(error) => error.kind(),
            DependencyError::Project(error) => error.kind(),
            DependencyError::Registries(error) => error.kind(),
            DependencyError::Resolve(error) => error.kind(),
            DependencyError::Lock(error) => error.kind(),
            DependencyError::Source(error) => error.kind(),
            DependencyError::Itself(_)
            | DependencyError::Unnamed(_)
            | DependencyError::Unknown { .. }
            | DependencyError::Ambiguous { .. }
            | DependencyError::Member(_) => Kind::Usage,
            DependencyError::NoModule { .. }
            | DependencyError::NoVersion { .. }
            | DependencyError::OtherModule { .. }
            | DependencyError::OtherVersion { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DependencyError::Manifest(error) => error.hint(),
            DependencyError::Project(error) => error.hint(),
            DependencyError::Registries(error) => error.hint(),
            DependencyError::Resolve(error) => error.hint(),
            DependencyError::Lock(error) => error.hint(),
            DependencyError::Source(error) => error.hint(),
            DependencyError::NoModule { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            DependencyError::NoModule { near: None, .. } => {
                Some("`napt search` finds modules by their names and descriptions".to_owned())
            }
            DependencyError::NoVersion { versions, .. } if versions.is_empty() => {
                Some("all of them are yanked".to_owned())
            }
            DependencyError::NoVersion { versions, .. } => {
                let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
                Some(format!("the versions are {}", versions.join(", ")))
            }
            DependencyError::OtherModule { found, .. } => Some(format!("name `{found}`, or another folder")),
            DependencyError::OtherVersion { .. } => Some("change the requirement, or the module's version".to_owned()),
            DependencyError::Itself(_) => Some("name another module, or go to the one that needs it".to_owned()),
            DependencyError::Unnamed(url) => Some(format!(
                "add `[registries.NAME]` with `url = \"{url}\"` to `.napt/config.toml`, and use that name"
            )),
            DependencyError::Unknown { given, known, .. } => {
                // A bare name is like the names, whatever their types.
                let comparable = |id: &str| if given.contains(':') { 0 } else { id.find(':').map_or(0, |at| at + 1) };
                match did_you_mean(given, known.iter().map(|id| &id[comparable(id)..])) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None if known.is_empty() => None,
                    None => Some(format!("there are {}", known.join(", "))),
                }
            }
            DependencyError::Ambiguous { .. } => Some("write it as `type:name`".to_owned()),
            DependencyError::Member(_) => Some("change `version` there".to_owned()),
        }
    }
}

/// The one of these that is named, as `type:name` or as a bare name that only one of them has.
pub(super) fn find<'a>(
    given: &str,
    place: &str,
    among: impl Iterator<Item = &'a ModuleId> + Clone,
) -> Result<ModuleId, DependencyError> {
    let name = given.replace('-', "_");
    let matching = among.clone().filter(|id| id.to_string() == name || id.name.as_str() == name);
    let known = |ids: &mut dyn Iterator<Item = &ModuleId>| ids.map(ToString::to_string).collect::<Vec<_>>();
    match matching.clone().collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(DependencyError::Unknown {
            given: given.to_owned(),
            place: place.to_owned(),
            known: known(&mut among.clone()),
        }),
        _ => Err(DependencyError::Ambiguous { given: given.to_owned(), known: known(&mut matching.clone()) }),
    }
}
