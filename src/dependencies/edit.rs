//! `[dependencies]` of one module: in and out.

use std::path::{Component, Path, PathBuf};

use semver::{Version, VersionReq};

use super::{DependencyError, error::find};
use crate::{
    module::{GitSource, Manifest, ManifestEdit, ModuleId, ModuleSpec, NewDependency, Project, existing_folder},
    registries::Registries,
    report::Reporter,
    resolve::Index,
    sources::{self, Fetched},
};

/// What to add.
#[derive(Debug)]
pub enum NewEntry {
    /// A module of a registry.
    Published {
        /// Which module, and which versions of it.
        spec: ModuleSpec,
        /// The registry's name; the default one when absent.
        registry: Option<String>,
    },
    /// A module in a folder.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What it should be, when that is said.
        spec: Option<ModuleSpec>,
    },
    /// A module in git.
    Git {
        /// Where.
        source: GitSource,
        /// Which one; else the only one there.
        spec: Option<ModuleSpec>,
    },
}

/// What stands in the manifest now.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Added {
    /// Which module.
    pub id: ModuleId,
    /// The requirement, as it is written; of git there may be none.
    pub version: Option<String>,
    /// The newest version that fits.
    pub newest: Version,
    /// The folder, relative to the manifest.
    pub path: Option<String>,
    /// The registry's name.
    pub registry: Option<String>,
    /// The place in git, with the commit that it is now.
    pub git: Option<GitSource>,
    /// Whether the manifest was another before.
    pub changed: bool,
}

/// Adds a dependency to a module's manifest, after making sure that there is such a module.
pub async fn add(
    project: &Project,
    new: NewEntry,
    registries: &Registries,
    reporter: &dyn Reporter,
) -> Result<Added, DependencyError> {
    let (id, newest, req, path, registry, git) = match new {
        NewEntry::Folder { path, spec } => {
            let folder = existing_folder(&path)?;
            let found = Project::load(&folder)?;
            let spec = spec.unwrap_or(ModuleSpec { id: found.id().clone(), req: VersionReq::STAR });
            let version = found.manifest.version.clone();
            if spec.id != *found.id() {
                return Err(DependencyError::OtherModule { path, wanted: spec.id, found: found.id().clone() });
            }
            if spec.req != VersionReq::STAR && !spec.req.matches(&version) {
                return Err(DependencyError::OtherVersion { path, id: spec.id, req: spec.req, version });
            }
            let relative = relative_path(&existing_folder(&project.root)?, &folder);
            (spec.id, version, spec.req, Some(relative), None, None)
        }
        NewEntry::Published { spec, registry } => {
            let newest = newest(registries, registry.as_deref(), &spec).await?;
            (spec.id, newest, spec.req, None, registry, None)
        }
        NewEntry::Git { source, spec } => {
            let wanted = spec.as_ref().map(|spec| &spec.id);
            let Fetched { packed, source, .. } = sources::fetch(registries.git()?, &source, wanted, reporter).await?;
            let Manifest { id, version, .. } = packed.manifest;
            let req = spec.map_or(VersionReq::STAR, |spec| spec.req);
            if req != VersionReq::STAR && !req.matches(&version) {
                return Err(DependencyError::OtherVersion { path: source.to_string().into(), id, req, version });
            }
            (id, version, req, None, None, Some(source))
        }
    };
    if id == *project.id() {
        return Err(DependencyError::Itself(id));
    }
    let version = match (&git, req == VersionReq::STAR) {
        (Some(_), true) => None,
        (None, true) => Some(format!("^{newest}")),
        (_, false) => Some(req.to_string()),
    };
    let mut manifest = ManifestEdit::open(&project.root)?;
    let new = NewDependency { version, path, registry, git };
    manifest.set_dependency(&id, &new);
    let changed = manifest.save()?;
    let NewDependency { version, path, registry, git } = new;
    Ok(Added { id, version, newest, path, registry, git, changed })
}

/// The newest version that fits: a stable one when there is one.
async fn newest(registries: &Registries, name: Option<&str>, spec: &ModuleSpec) -> Result<Version, DependencyError> {
    let id = &spec.id;
    let registry = registries.get(name)?;
    let candidates = registries.versions(id, registry.address()).await?;
    if candidates.is_empty() {
        return Err(DependencyError::NoModule {
            id: id.clone(),
            registry: registry.address().to_owned(),
            near: registry.near(id).await,
        });
    }
    let usable = candidates.into_iter().filter(|candidate| !candidate.yanked).map(|candidate| candidate.version);
    let mut versions: Vec<Version> = usable.collect();
    versions.sort_by(|a, b| b.cmp(a));
    // `*` stands for a pre-release too when there is nothing else.
    let fits = |version: &&Version| spec.req.matches(version);
    let any = versions.first().filter(|_| spec.req == VersionReq::STAR);
    match versions.iter().find(fits).or(any) {
        Some(version) => Ok(version.clone()),
        None => Err(DependencyError::NoVersion {
            id: id.clone(),
            registry: registry.address().to_owned(),
            req: spec.req.clone(),
            versions,
        }),
    }
}

/// Takes dependencies out of a module's manifest: all that are named, or none.
pub fn remove(project: &Project, names: &[String]) -> Result<Vec<ModuleId>, DependencyError> {
    let place = format!("a dependency of `{}`", project.id());
    let known = project.manifest.dependencies.keys();
    let ids = names.iter().map(|name| find(name, &place, known.clone())).collect::<Result<Vec<_>, _>>()?;
    let mut manifest = ManifestEdit::open(&project.root)?;
    for id in &ids {
        manifest.remove_dependency(id);
    }
    manifest.save()?;
    Ok(ids)
}

/// How one full path is reached from a folder, with `/`.
fn relative_path(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".into(), from.len() - common);
    let down = to[common..].iter().map(|part| part.as_os_str().to_string_lossy());
    let parts: Vec<std::borrow::Cow<'_, str>> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_manifest() {
        for (from, to, expected) in [
            ("/w/modules/a", "/w/modules/b", "../b"),
            ("/w", "/w/modules/b", "modules/b"),
            ("/w/a/b", "/w", "../.."),
            ("/w", "/w", "."),
        ] {
            assert_eq!(relative_path(Path::new(from), Path::new(to)), expected);
        }
    }
}
