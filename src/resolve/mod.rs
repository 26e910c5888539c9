//! Verb: chooses one version of every module that is needed, and pins them in `napt.lock`.
//!
//! What the index knows of all modules that might be needed is fetched first; then PubGrub, which is not async,
//! chooses. Requirements mean what they mean to Cargo: the highest version that fits, a pre-release only where a
//! requirement names one. What is locked stays as long as it fits; a yanked version is only taken when it is locked.

mod error;
mod explain;
mod lock;
mod registry;
mod solve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
pub use error::ResolveError;
use futures_util::{StreamExt, TryStreamExt, stream};
pub use lock::{LOCK_FILE, Lock, LockError, LockedModule};
pub use registry::RegistryIndex;
use semver::{Version, VersionReq};

use crate::{
    module::{ModuleId, Project, Workspace},
    report::did_you_mean,
};

/// How many modules are asked for at a time.
const CONCURRENT_LOOKUPS: usize = 16;

/// One published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub dependencies: Vec<(ModuleId, VersionReq)>,
    /// Where it is from, as `napt.lock` says it.
    pub registry: String,
    /// Of its archive, in hex.
    pub sha256: String,
    /// Whether it was taken back.
    pub yanked: bool,
}

/// What knows which versions there are.
#[async_trait]
pub trait Index: Send + Sync {
    /// All versions of a module, in any order; none when there is no such module.
    async fn versions(&self, id: &ModuleId) -> Result<Vec<Candidate>, ResolveError>;
}

/// A module of the workspace, or in a folder that one of them names by path. It wins over the registry.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which module it is.
    pub id: ModuleId,
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub dependencies: Vec<(ModuleId, VersionReq)>,
}

/// What to resolve.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What is asked for besides the members.
    pub roots: Vec<(ModuleId, VersionReq)>,
    /// All of them are part of the result.
    pub members: Vec<Member>,
    /// What was chosen before.
    pub lock: Option<Lock>,
    /// The result must be what was chosen before.
    pub locked: bool,
}

impl Request {
    /// Everything that a workspace's members need, with the modules that they name by path.
    pub fn of_workspace(workspace: &Workspace, lock: Option<Lock>, locked: bool) -> Result<Self, ResolveError> {
        let projects = workspace.projects()?;
        for project in projects.values() {
            for (id, dependency) in &project.manifest.dependencies {
                if let (None, Some(registry)) = (projects.get(id), &dependency.registry) {
                    return Err(ResolveError::Registry {
                        id: id.clone(),
                        needed_by: project.id().clone(),
                        registry: registry.clone(),
                    });
                }
            }
        }
        let members = projects.values().map(Member::of).collect();
        Ok(Request { roots: Vec::new(), members, lock, locked })
    }
}

impl Member {
    /// The member that a project is.
    pub fn of(project: &Project) -> Self {
        let dependencies = &project.manifest.dependencies;
        Member {
            id: project.id().clone(),
            version: project.manifest.version.clone(),
            dependencies: dependencies.iter().map(|(id, dependency)| (id.clone(), dependency.req.clone())).collect(),
        }
    }
}

/// A version that may be chosen.
#[derive(Debug, Clone)]
struct Choice {
    version: Version,
    dependencies: Vec<(ModuleId, VersionReq)>,
    /// Registry and sha256; a member has none.
    source: Option<(String, String)>,
}

/// All versions that may be chosen, by module, lowest first. A module that does not exist has none.
type Universe = BTreeMap<ModuleId, Vec<Choice>>;

/// Chooses versions for everything that `request` needs.
pub async fn resolve(request: Request, index: &dyn Index) -> Result<Lock, ResolveError> {
    if request.locked && request.lock.is_none() {
        return Err(ResolveError::NoLock);
    }
    let previous = request.lock.clone().unwrap_or_default();
    let universe = fetch(&request, &previous, index).await?;
    known(&request, &universe)?;
    let chosen = solve::solve(&request, &universe, &previous)?;
    let lock = lock_of(chosen, &universe);
    if request.locked {
        let changes = previous.changes_to(&lock);
        if !changes.is_empty() {
            return Err(ResolveError::Outdated { changes });
        }
    }
    Ok(lock)
}

/// Asks the index about every module that might be needed.
async fn fetch(request: &Request, previous: &Lock, index: &dyn Index) -> Result<Universe, ResolveError> {
    let mut universe = Universe::new();
    for member in &request.members {
        let choice =
            Choice { version: member.version.clone(), dependencies: member.dependencies.clone(), source: None };
        universe.insert(member.id.clone(), vec![choice]);
    }
    let needed = request.roots.iter().chain(request.members.iter().flat_map(|member| &member.dependencies));
    let mut wanted: BTreeSet<ModuleId> = needed.map(|(id, _)| id.clone()).collect();
    loop {
        wanted.retain(|id| !universe.contains_key(id));
        if wanted.is_empty() {
            return Ok(universe);
        }
        let lookups = std::mem::take(&mut wanted).into_iter().map(|id| async move {
            let candidates = index.versions(&id).await?;
            Ok::<_, ResolveError>((id, candidates))
        });
        let mut found = stream::iter(lookups).buffer_unordered(CONCURRENT_LOOKUPS);
        while let Some((id, candidates)) = found.try_next().await? {
            let choices = choices(&id, candidates, previous)?;
            wanted.extend(choices.iter().flat_map(|choice| &choice.dependencies).map(|(id, _)| id.clone()));
            universe.insert(id, choices);
        }
    }
}

/// What of the index may be chosen. A version's archive never changes: if it seems to, something is very wrong.
fn choices(id: &ModuleId, candidates: Vec<Candidate>, previous: &Lock) -> Result<Vec<Choice>, ResolveError> {
    let mut choices = Vec::new();
    for candidate in candidates {
        let locked = previous.get(id).filter(|locked| locked.version == candidate.version);
        if let Some(expected) = locked.and_then(|locked| locked.sha256.as_ref())
            && *expected != candidate.sha256
        {
            return Err(ResolveError::Changed {
                module: format!("{id}@{}", candidate.version),
                registry: candidate.registry,
                expected: expected.clone(),
                found: candidate.sha256,
            });
        }
        if !candidate.yanked || locked.is_some() {
            choices.push(Choice {
                version: candidate.version,
                dependencies: candidate.dependencies,
                source: Some((candidate.registry, candidate.sha256)),
            });
        }
    }
    choices.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(choices)
}

/// What is asked for directly must exist; of anything else, an older version may do without it.
fn known(request: &Request, universe: &Universe) -> Result<(), ResolveError> {
    let missing = |id: &ModuleId| universe.get(id).is_none_or(Vec::is_empty);
    let members = request
        .members
        .iter()
        .flat_map(|member| member.dependencies.iter().map(|(id, _)| (id, Some(member.id.clone()))));
    let mut needed = request.roots.iter().map(|(id, _)| (id, None)).chain(members);
    let Some((id, needed_by)) = needed.find(|(id, _)| missing(id)) else { return Ok(()) };
    let names: Vec<String> =
        universe.iter().filter(|(_, choices)| !choices.is_empty()).map(|(id, _)| id.to_string()).collect();
    let near = did_you_mean(&id.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
    Err(ResolveError::Unknown { id: id.clone(), needed_by, near })
}

fn lock_of(chosen: BTreeMap<ModuleId, Version>, universe: &Universe) -> Lock {
    let modules = chosen.into_iter().filter_map(|(id, version)| {
        let choice = universe.get(&id)?.iter().find(|choice| choice.version == version)?;
        let mut dependencies: Vec<ModuleId> = choice.dependencies.iter().map(|(id, _)| id.clone()).collect();
        dependencies.sort();
        dependencies.dedup();
        let (registry, sha256) = choice.source.clone().unzip();
        Some(LockedModule { id, version, registry, sha256, dependencies })
    });
    Lock::new(modules.collect())
}
