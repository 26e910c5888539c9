//! `napt.lock`: newer versions, and the archives of all that it has.

use std::path::{Path, PathBuf};

use semver::Version;

use super::{DependencyError, error::find};
use crate::{
    module::{ModuleId, Workspace},
    registries::Registries,
    report::Reporter,
    resolve::{Free, Lock, LockedModule, Request, archive, resolve, yanked},
};

/// What to bring up to date.
#[derive(Debug)]
pub struct UpdateOptions<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// These modules only; all when empty.
    pub names: &'a [String],
    /// The one module to exactly this version.
    pub precise: Option<Version>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Where versions are looked up.
    pub registries: &'a Registries,
}

/// One difference between the old lock and the new one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Which module.
    pub id: ModuleId,
    /// What was locked; nothing when it is new.
    pub from: Option<Version>,
    /// What is locked now; nothing when it is not needed any more.
    pub to: Option<Version>,
    /// The commit of it that was locked, of git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_commit: Option<String>,
    /// The commit of it that is locked now, of git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_commit: Option<String>,
}

/// What an update did.
#[derive(Debug, Clone)]
pub struct Updated {
    /// By id.
    pub changes: Vec<Change>,
    /// How many modules are locked now.
    pub locked: usize,
}

/// Chooses the newest versions that fit, and says what changes.
pub async fn update(options: &UpdateOptions<'_>, reporter: &dyn Reporter) -> Result<Updated, DependencyError> {
    let workspace = options.workspace;
    let old = Lock::read(&workspace.root)?;
    let mut request = Request::of_workspace(workspace, old.clone(), false)?;
    let old = old.unwrap_or_default();
    let named = options.names.iter().map(|name| {
        let id = find(name, "in `napt.lock`", old.modules.iter().map(|module| &module.id))?;
        match old.get(&id).is_some_and(LockedModule::is_member) {
            true => Err(DependencyError::Member(id)),
            false => Ok(id),
        }
    });
    let named = named.collect::<Result<Vec<_>, _>>()?;
    request.precise = options.precise.clone().and_then(|version| Some((named.first()?.clone(), version)));
    request.free = if named.is_empty() { Free::Everything } else { Free::Modules(named) };
    let new = resolve(request, options.registries).await?;
    let changes = changes(&old, &new);
    for Change { id, from, to, .. } in &changes {
        let shown = |lock: &Lock| lock.get(id).map(LockedModule::shown_version).unwrap_or_default();
        let (before, after) = (shown(&old), shown(&new));
        match (from, to) {
            (Some(from), Some(to)) if from > to => reporter.step("Downgrading", &format!("{id} {before} -> {after}")),
            (Some(_), Some(_)) => reporter.step("Updating", &format!("{id} {before} -> {after}")),
            (None, Some(_)) => reporter.step("Adding", &format!("{id} {after}")),
            (Some(_), None) => reporter.step("Removing", &format!("{id} {before}")),
            (None, None) => {}
        }
    }
    for yanked in yanked(&new.modules, options.registries).await {
        reporter.warn(&yanked.to_string());
    }
    if !options.dry_run {
        new.write(&workspace.root)?;
    }
    Ok(Updated { changes, locked: new.modules.len() })
}

fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let mut ids: Vec<&ModuleId> = old.modules.iter().chain(&new.modules).map(|module| &module.id).collect();
    ids.sort();
    ids.dedup();
    let change = |id: &ModuleId| {
        let version = |lock: &Lock| lock.get(id).map(|module| module.version.clone());
        let commit = |lock: &Lock| lock.get(id).and_then(|module| module.git.clone()).and_then(|git| git.commit);
        Change {
            id: id.clone(),
            from: version(old),
            to: version(new),
            from_commit: commit(old),
            to_commit: commit(new),
        }
    };
    let is_change = |change: &Change| change.from != change.to || change.from_commit != change.to_commit;
    ids.into_iter().map(change).filter(is_change).collect()
}

/// Whether `napt.lock` lacks what the manifests ask for now. One that is not there yet lacks nothing.
pub fn is_outdated(root: &Path, registries: &Registries) -> Result<bool, DependencyError> {
    let Some(lock) = Lock::read(root)? else { return Ok(false) };
    let request = Request::of_workspace(&Workspace::discover(root)?, Some(lock), false)?;
    Ok(request.satisfied(registries).is_none())
}

/// Downloads the archives of all that the workspace needs, so that it can be deployed offline.
pub async fn fetch(
    workspace: &Workspace,
    registries: &Registries,
    locked: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<(ModuleId, Version, PathBuf)>, DependencyError> {
    let request = Request::of_workspace(workspace, Lock::read(&workspace.root)?, locked)?;
    let lock = resolve(request, registries).await?;
    for yanked in yanked(&lock.modules, registries).await {
        reporter.warn(&yanked.to_string());
    }
    let mut fetched = Vec::new();
    for module in &lock.modules {
        let Some(path) = archive(module, registries, reporter).await? else { continue };
        fetched.push((module.id.clone(), module.version.clone(), path));
    }
    if !locked {
        lock.write(&workspace.root)?;
    }
    Ok(fetched)
}
