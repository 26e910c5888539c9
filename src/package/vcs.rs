//! Which commit a project's files are from.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use git2::{Commit, Oid, Repository, Status, StatusOptions};
use serde::Serialize;

use super::{relative, tree::Source};

/// `.napt/vcs.json`.
#[derive(Debug, Serialize)]
pub(super) struct Vcs {
    git: Git,
    /// The project's folder in the repository; empty at its root.
    path: String,
}

#[derive(Debug, Serialize)]
struct Git {
    /// The newest one that changed something in the project's folder, so that it stays while the project does.
    commit: String,
    /// Whether the packaged files are not those of the commit.
    dirty: bool,
}

/// Where in a repository a folder's files are from, of one that holds what is committed and nothing else.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The commit.
    pub commit: String,
    /// The project's folder in the repository; empty at its root.
    pub path: String,
    /// Whether files were made besides.
    pub dirty: bool,
}

impl From<&Checkout> for Vcs {
    fn from(Checkout { commit, path, dirty }: &Checkout) -> Self {
        Vcs { git: Git { commit: commit.clone(), dirty: *dirty }, path: path.clone() }
    }
}

/// A project in a repository.
#[derive(Debug)]
pub(super) struct State {
    /// For the archive.
    pub(super) vcs: Vcs,
    /// Files below the project's folder that are not as they are in the commit, sorted.
    pub(super) changed: Vec<String>,
}

/// The state of the repository that `root` is in; nothing outside of git or before the first commit.
pub(super) fn state(root: &Path, sources: &[Source]) -> Result<Option<State>, git2::Error> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let repository = match Repository::discover(&root) {
        Ok(repository) => repository,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let head = match repository.head().and_then(|head| head.peel_to_commit()) {
        Ok(commit) => commit,
        Err(error) if matches!(error.code(), git2::ErrorCode::UnbornBranch | git2::ErrorCode::NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let workdir = repository.workdir().and_then(|folder| folder.canonicalize().ok());
    let Some(path) = workdir.and_then(|workdir| relative(&root, &workdir)) else { return Ok(None) };
    // A project that git has no file of, as in an ignored folder, is not of that commit.
    let index = repository.index()?;
    let in_repository = |source: &Source| match path.as_str() {
        "" => source.path.clone(),
        path => format!("{path}/{}", source.path),
    };
    let packaged: HashSet<String> = sources.iter().map(in_repository).collect();
    if !packaged.iter().any(|path| index.get_path(Path::new(path), 0).is_some()) {
        return Ok(None);
    }
    let untracked = packaged.iter().filter(|path| index.get_path(Path::new(path), 0).is_none()).cloned();
    let mut changed: Vec<String> = untracked.chain(changes(&repository, &path, &packaged)?).collect();
    for file in &mut changed {
        let below = file.strip_prefix(&path).and_then(|rest| rest.strip_prefix('/'));
        *file = below.unwrap_or(file).to_owned();
    }
    changed.sort();
    changed.dedup();
    let commit = last_change(head, &path)?.to_string();
    Ok(Some(State { vcs: Vcs { git: Git { commit, dirty: !changed.is_empty() }, path }, changed }))
}

/// The newest commit whose folder `path` is another than its first parent's. A merge counts as one change.
fn last_change(head: Commit<'_>, path: &str) -> Result<Oid, git2::Error> {
    let mut commit = head;
    let folder = folder_id(&commit, path)?;
    // What is not committed yet has no history.
    if folder.is_none() {
        return Ok(commit.id());
    }
    loop {
        let Ok(parent) = commit.parent(0) else { return Ok(commit.id()) };
        if folder_id(&parent, path)? != folder {
            return Ok(commit.id());
        }
        commit = parent;
    }
}

/// The id of a folder's tree, which is that of all its content; nothing when the commit has no such folder.
fn folder_id(commit: &Commit<'_>, path: &str) -> Result<Option<Oid>, git2::Error> {
    if path.is_empty() {
        return Ok(Some(commit.tree_id()));
    }
    match commit.tree()?.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tracked files below `path` that were removed, and those that are packaged and were changed or added.
fn changes(repository: &Repository, path: &str, packaged: &HashSet<String>) -> Result<Vec<String>, git2::Error> {
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true);
    if !path.is_empty() {
        options.pathspec(path).disable_pathspec_match(true);
    }
    let removed = Status::INDEX_DELETED | Status::WT_DELETED;
    let statuses = repository.statuses(Some(&mut options))?;
    let changed = statuses.iter().filter_map(|entry| {
        let path = entry.path().ok()?.to_owned();
        (entry.status().intersects(removed) || packaged.contains(&path)).then_some(path)
    });
    Ok(changed.collect())
}

/// The repository's own rules, `.git/info/exclude`.
pub(super) fn exclude_file(root: &Path) -> Option<PathBuf> {
    let repository = Repository::discover(root).ok()?;
    Some(repository.commondir().join("info").join("exclude"))
}
