//! Verb: chooses one version of every module that is needed, and pins them in `napt.lock`.
//!
//! What the index knows of all modules that might be needed is fetched first; then PubGrub, which is not async,
//! chooses. Requirements mean what they mean to Cargo: the highest version that fits, a pre-release only where a
//! requirement names one. What is locked stays as long as it fits; a yanked version is only taken when it is locked.

mod error;
mod explain;
mod fetch;
mod lock;
mod registry;
mod solve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
pub use error::ResolveError;
pub use lock::{LOCK_FILE, Lock, LockError, LockedModule};
pub use registry::archive;
use semver::{Version, VersionReq};

use crate::{
    module::{Dependency, GitSource, ModuleId, Project, Workspace},
    report::did_you_mean,
};

/// What stands before a place in git where a registry could be.
const GIT: &str = "git+";

/// How many modules are asked for at a time.
const CONCURRENT_LOOKUPS: usize = 16;

/// A module that is needed, in some versions, from some registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Which module.
    pub id: ModuleId,
    /// Which versions of it.
    pub req: VersionReq,
    /// The registry's configured name. `None` is the registry of whoever needs it: the default one for a member, and for
    /// a published module the one that it is from.
    pub registry: Option<String>,
    /// The place in git instead.
    pub git: Option<GitSource>,
}

/// One published version, or what is at a place in git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub dependencies: Vec<Need>,
    /// The registry that it is from, as `napt.lock` says it; of git, the one that what it needs is from.
    pub registry: String,
    /// Where in git it is from, with the commit.
    pub git: Option<GitSource>,
    /// Of its archive, in hex.
    pub sha256: String,
    /// Whether it was taken back.
    pub yanked: bool,
    /// Why, when its owner said so.
    pub yank_reason: Option<String>,
}

/// What knows which versions there are.
#[async_trait]
pub trait Index: Send + Sync {
    /// The registry of this name, or the default one, as `napt.lock` says it; `None` when there is none of this name.
    fn registry(&self, name: Option<&str>) -> Option<String>;
    /// The names there are.
    fn names(&self) -> Vec<String>;
    /// Whether nothing may be asked, so that what is locked is enough when it fits.
    fn is_offline(&self) -> bool {
        false
    }
    /// All versions of a module in a registry, in any order; none when there is no such module. `git+` and a place in git
    /// stand for a registry with one version.
    async fn versions(&self, id: &ModuleId, registry: &str) -> Result<Vec<Candidate>, ResolveError>;
    /// A module of a registry whose name is similar, for a hint.
    async fn near(&self, _id: &ModuleId, _registry: &str) -> Option<String> {
        None
    }
}

/// A module of the workspace, or in a folder that one of them names by path. It wins over the registry.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which module it is.
    pub id: ModuleId,
    /// Its version.
    pub version: Version,
    /// What it needs.
    pub dependencies: Vec<Need>,
}

/// What to resolve.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What is asked for besides the members.
    pub roots: Vec<Need>,
    /// All of them are part of the result.
    pub members: Vec<Member>,
    /// What was chosen before.
    pub lock: Option<Lock>,
    /// The result must be what was chosen before.
    pub locked: bool,
    /// What may be chosen anew although it is locked.
    pub free: Free,
    /// Exactly this version of this module, even when it is yanked.
    pub precise: Option<(ModuleId, Version)>,
}

/// What of a lock may be chosen anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Free {
    /// Only what does not fit any more.
    #[default]
    Nothing,
    /// These too.
    Modules(Vec<ModuleId>),
    /// All of it.
    Everything,
}

impl Request {
    /// Everything that a workspace's members need, with the modules that they name by path.
    pub fn of_workspace(workspace: &Workspace, lock: Option<Lock>, locked: bool) -> Result<Self, ResolveError> {
        let members = workspace.projects()?.values().map(Member::of).collect();
        Ok(Request { members, lock, locked, ..Request::default() })
    }

    /// A published module with all that it needs.
    pub fn of_module(id: ModuleId, req: VersionReq) -> Self {
        Request { roots: vec![Need { id, req, registry: None, git: None }], ..Request::default() }
    }

    /// The module at a place in git, with all that it needs.
    pub fn of_git(id: ModuleId, source: GitSource) -> Self {
        let root = Need { id, req: VersionReq::STAR, registry: None, git: Some(source) };
        Request { roots: vec![root], ..Request::default() }
    }

    /// The place in git that a need means: its own; else, when it names no registry, the one that is said for the module
    /// directly.
    fn git_of<'a>(&'a self, need: &'a Need) -> Option<&'a GitSource> {
        let said = || self.needs().filter(|(said, _)| said.id == need.id).find_map(|(said, _)| said.git.as_ref());
        need.git.as_ref().or_else(|| if need.registry.is_none() { said() } else { None })
    }

    /// What stays as it is locked while it fits.
    fn kept(&self) -> Lock {
        let locked = self.lock.iter().flat_map(|lock| &lock.modules);
        let kept = locked.filter(|module| match &self.free {
            Free::Nothing => true,
            Free::Modules(free) => !free.contains(&module.id),
            Free::Everything => false,
        });
        Lock::new(kept.cloned().collect())
    }

    fn member(&self, id: &ModuleId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// What is needed directly, and which member needs it.
    fn needs(&self) -> impl Iterator<Item = (&Need, Option<&ModuleId>)> {
        let of_members =
            self.members.iter().flat_map(|member| member.dependencies.iter().map(|need| (need, Some(&member.id))));
        self.roots.iter().map(|need| (need, None)).chain(of_members)
    }

    /// What of the lock is in use, when it has all that is needed as it is needed now.
    pub fn satisfied(&self, index: &dyn Index) -> Option<Lock> {
        let lock = self.lock.as_ref()?;
        for member in &self.members {
            let locked = lock.get(&member.id)?;
            let mut needed: Vec<&ModuleId> = member.dependencies.iter().map(|need| &need.id).collect();
            needed.sort();
            needed.dedup();
            let is_same =
                locked.version == member.version && locked.is_member() && locked.dependencies.iter().eq(needed);
            if !is_same {
                return None;
            }
        }
        for (need, _) in self.needs() {
            let locked = lock.get(&need.id)?;
            let is_member = self.member(&need.id).is_some();
            let is_from_there = match self.git_of(need) {
                Some(git) => locked.git.as_ref().is_some_and(|locked| is_pin_of(locked, git)),
                None => locked.registry.is_some() && locked.registry == index.registry(need.registry.as_deref()),
            };
            if !matches(&need.req, &locked.version, locked.git.as_ref()) || !(is_member || is_from_there) {
                return None;
            }
        }
        let roots = self.roots.iter().map(|need| &need.id).chain(self.members.iter().map(|member| &member.id));
        lock.closure(roots)
    }
}

impl Need {
    fn of((id, dependency): (&ModuleId, &Dependency)) -> Self {
        let Dependency { req, registry, git, .. } = dependency.clone();
        Need { id: id.clone(), req, registry, git }
    }
}

impl Member {
    /// The member that a project is.
    pub fn of(project: &Project) -> Self {
        Member {
            id: project.id().clone(),
            version: project.manifest.version.clone(),
            dependencies: project.manifest.dependencies.iter().map(Need::of).collect(),
        }
    }
}

/// Whether a locked place in git is what is meant by another, which may say a commit too.
fn is_pin_of(locked: &GitSource, meant: &GitSource) -> bool {
    locked.unpinned() == meant.unpinned() && (meant.commit.is_none() || meant.commit == locked.commit)
}

/// Whether a version fits. What is in git is one version only, and `*` stands for it though it be a pre-release. Naptha's
/// users know it by its tag: `v0.16` is as good as a version as what the project says.
fn matches(req: &VersionReq, version: &Version, git: Option<&GitSource>) -> bool {
    let Some(git) = git else { return req.matches(version) };
    let tagged = git.reference.name().and_then(version_of_tag);
    req.matches(version) || *req == VersionReq::STAR || tagged.is_some_and(|tagged| req.matches(&tagged))
}

/// `v0.16` as 0.16.0.
fn version_of_tag(tag: &str) -> Option<Version> {
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    let missing = 2usize.saturating_sub(bare.matches('.').count());
    Version::parse(&format!("{bare}{}", ".0".repeat(missing))).ok()
}

/// A module of one registry, or with `git+` of a place in git; without one, of the workspace. The same name in two
/// registries is two modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Origin {
    id: ModuleId,
    registry: Option<String>,
}

/// A version that may be chosen.
#[derive(Debug, Clone)]
struct Choice {
    version: Version,
    dependencies: Vec<(Origin, VersionReq)>,
    /// Of its archive; a member has none.
    sha256: Option<String>,
    /// Where in git it is from, with the commit.
    git: Option<GitSource>,
}

/// All versions that may be chosen, lowest first. A module that does not exist has none.
type Universe = BTreeMap<Origin, Vec<Choice>>;

/// Chooses versions for everything that `request` needs.
pub async fn resolve(request: Request, index: &dyn Index) -> Result<Lock, ResolveError> {
    if request.locked && request.lock.is_none() {
        return Err(ResolveError::NoLock);
    }
    if index.is_offline()
        && request.precise.is_none()
        && request.free == Free::Nothing
        && let Some(lock) = request.satisfied(index)
    {
        return Ok(lock);
    }
    let previous = request.lock.clone().unwrap_or_default();
    let kept = request.kept();
    let found = fetch::fetch(&request, &previous, &kept, index).await?;
    known(&request, &found, index).await?;
    let chosen = solve::solve(&found, &kept)?;
    let lock = lock_of(chosen, &found.universe)?;
    if request.locked {
        let changes = previous.changes_to(&lock);
        if !changes.is_empty() {
            return Err(ResolveError::Outdated { changes });
        }
    }
    Ok(lock)
}

/// A version in use that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Yanked {
    /// Which module.
    pub id: ModuleId,
    /// Which version of it.
    pub version: Version,
    /// Why, when its owner said so.
    pub reason: Option<String>,
}

impl std::fmt::Display for Yanked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}@{}` is yanked", self.id, self.version)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// What of a lock was taken back since it was chosen. Where the index cannot be asked, nothing is known of it.
pub async fn yanked<'a>(modules: impl IntoIterator<Item = &'a LockedModule>, index: &dyn Index) -> Vec<Yanked> {
    let mut yanked = Vec::new();
    for LockedModule { id, version, registry, git, .. } in modules {
        // What is in git is not taken back.
        let (Some(registry), None) = (registry, git) else { continue };
        let candidates = index.versions(id, registry).await.unwrap_or_default();
        let taken_back = candidates.into_iter().find(|candidate| candidate.yanked && candidate.version == *version);
        yanked.extend(taken_back.map(|candidate| Yanked {
            id: id.clone(),
            version: version.clone(),
            reason: candidate.yank_reason,
        }));
    }
    yanked
}

/// What is asked for directly must exist; of anything else, an older version may do without it.
async fn known(request: &Request, found: &fetch::Found, index: &dyn Index) -> Result<(), ResolveError> {
    if let Some((id, version)) = &request.precise
        && let Some(versions) = found.precise.as_ref().filter(|versions| !versions.contains(version))
    {
        return Err(ResolveError::NoVersion { id: id.clone(), version: version.clone(), versions: versions.clone() });
    }
    let is_missing = |origin: &Origin| found.universe.get(origin).is_none_or(Vec::is_empty);
    let Some(((need, needed_by), origin)) = request
        .needs()
        .zip(&found.direct)
        .find(|(_, (origin, _))| is_missing(origin))
        .map(|(need, (origin, _))| (need, origin))
    else {
        return Ok(());
    };
    let id = need.id.clone();
    if let Some((version, registry)) = found.unknown_registries.get(origin) {
        return Err(ResolveError::Registry {
            id,
            needed_by: version.clone(),
            registry: registry.clone(),
            known: index.names(),
        });
    }
    let names: Vec<String> = found
        .universe
        .iter()
        .filter(|(_, choices)| !choices.is_empty())
        .map(|(origin, _)| origin.id.to_string())
        .collect();
    let mut near = did_you_mean(&id.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
    if near.is_none()
        && let Some(registry) = &origin.registry
    {
        near = index.near(&id, registry).await;
    }
    Err(ResolveError::Unknown { id, needed_by: needed_by.cloned(), near })
}

fn lock_of(chosen: BTreeMap<Origin, Version>, universe: &Universe) -> Result<Lock, ResolveError> {
    let mut modules: Vec<LockedModule> = Vec::new();
    for (origin, version) in chosen {
        let choice = universe.get(&origin).and_then(|choices| choices.iter().find(|choice| choice.version == version));
        let Some(choice) = choice else { continue };
        let mut dependencies: Vec<ModuleId> = choice.dependencies.iter().map(|(origin, _)| origin.id.clone()).collect();
        dependencies.sort();
        dependencies.dedup();
        let Origin { id, registry } = origin;
        if let Some(other) = modules.last().filter(|other| other.id == id) {
            let places = [other.git.as_ref().map(ToString::to_string).or_else(|| other.registry.clone()), registry];
            let registries = places.map(Option::unwrap_or_default);
            return Err(ResolveError::TwoRegistries { id, registries });
        }
        let registry = registry.filter(|registry| !registry.starts_with(GIT));
        let (git, sha256) = (choice.git.clone(), choice.sha256.clone());
        modules.push(LockedModule { id, version, registry, git, sha256, dependencies });
    }
    Ok(Lock::new(modules))
}
