//! Verb: a module in git in, its archive out.
//!
//! The program `git` fetches; a commit's files are read from the repository's objects into a folder, where nothing of
//! them is run; a project without `napt.toml` is adopted there as `napt init` would; the ordinary packer makes the
//! archive, which is kept by URL and commit.

mod checkout;
mod error;
mod find;
mod repository;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use error::SourceError;
use repository::Repository;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::runtime::RuntimeFlavor;

use crate::{
    files,
    module::{Dependency, GitSource, ModuleId, Project},
    package::{Checkout, Contents, Limits, Packed, file_name, inspect, pack_checkout, sha256_file},
    registries::Git,
    report::Reporter,
};

/// Version of what is kept: another way to adopt or to pack may give another archive.
const FORMAT: u32 = 1;

/// A module that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its archive, which stays in the cache.
    pub packed: Packed,
    /// Where it is from, with the commit.
    pub source: GitSource,
    /// What it needs. A folder of the same repository is a place in git.
    pub dependencies: BTreeMap<ModuleId, Dependency>,
}

/// What is kept beside an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    sha256: String,
    dependencies: Vec<(ModuleId, Dependency)>,
}

/// Fetches a module and packs it, unless that was done before. Without `wanted` it is the only module of the repository.
pub async fn fetch(
    git: &Git,
    source: &GitSource,
    wanted: Option<&ModuleId>,
    reporter: &dyn Reporter,
) -> Result<Fetched, SourceError> {
    if !git.schemes.contains(&source.scheme()) {
        return Err(SourceError::NotAllowed {
            url: source.url().to_owned(),
            scheme: source.scheme().to_owned(),
            allowed: git.schemes.clone(),
        });
    }
    let folder = git.folder.join(&hex::encode(Sha256::digest(source.url()))[..16]);
    if let Some(commit) = &source.commit
        && let Some(fetched) = kept(&folder, source, commit, wanted)
    {
        return Ok(fetched);
    }
    let _one = lock(folder.clone()).await?;
    let repository = Repository::open(git, source, folder.join("repository.git"))?;
    let commit = match &source.commit {
        Some(commit) if repository.has(commit) => commit.clone(),
        _ if git.offline => return Err(SourceError::NotKept(source.to_string())),
        _ => {
            reporter.step("Fetching", &source.to_string());
            repository.commit(source).await?
        }
    };
    if let Some(fetched) = kept(&folder, source, &commit, wanted) {
        return Ok(fetched);
    }
    // What is unpacked and packed in one go is done here: it is bounded, and a reporter need not outlive the call.
    let make = || make(&folder, &repository, &source.at(&commit), &commit, wanted, reporter);
    match tokio::runtime::Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => make(),
        _ => tokio::task::block_in_place(make),
    }
}

/// Where the archive of a module is kept, and what is known of it.
fn place(folder: &Path, commit: &str, wanted: Option<&ModuleId>) -> PathBuf {
    let name = wanted.map_or_else(|| "only".to_owned(), |id| format!("{}-{}", id.module_type, id.name));
    folder.join("commits").join(commit).join(name)
}

/// What was packed before. Nothing is trusted because it is there.
fn kept(folder: &Path, source: &GitSource, commit: &str, wanted: Option<&ModuleId>) -> Option<Fetched> {
    let place = place(folder, commit, wanted);
    let kept: Kept = serde_json::from_slice(&fs_err::read(place.join("kept.json")).ok()?).ok()?;
    let path = place.join(format!("{}.napt", kept.sha256));
    let (sha256, size) = sha256_file(&path).ok()?;
    if kept.format != FORMAT || sha256 != kept.sha256 {
        return None;
    }
    let Contents { manifest, files, unpacked, .. } = inspect(&path, &Limits::default()).ok()?;
    let file_name = file_name(&manifest);
    let packed = Packed { path, file_name, sha256, size, unpacked, files, manifest, allowed_secrets: Vec::new() };
    Some(Fetched { packed, source: source.at(commit), dependencies: kept.dependencies.into_iter().collect() })
}

fn make(
    folder: &Path,
    repository: &Repository<'_>,
    source: &GitSource,
    commit: &str,
    wanted: Option<&ModuleId>,
    reporter: &dyn Reporter,
) -> Result<Fetched, SourceError> {
    let temporary = tempfile::tempdir()?;
    // As Naptha's tools clone it: a persona's name may be that of its folder.
    let name = source.url().rsplit('/').next().unwrap_or_default().trim_end_matches(".git");
    let name = if name.is_empty() || name.len() > 100 || name.starts_with('.') { "module" } else { name };
    let root = temporary.path().join("checkout").join(name);
    fs_err::create_dir_all(&root)?;
    let root = fs_err::canonicalize(root)?;
    checkout::checkout(&repository.folder, source.url(), commit, &root, reporter)?;
    let shown = source.to_string();
    let found = find::find(&root, &shown, wanted, reporter)?;
    let dependencies = dependencies(&found.project, &root, source);
    let path = found.project.root.strip_prefix(&root).unwrap_or(Path::new("")).to_string_lossy().into_owned();
    let from = Checkout { commit: commit.to_owned(), path, dirty: found.is_adopted };
    let packed = pack_checkout(&found.project, temporary.path(), &from, &Unsaid(reporter))
        .map_err(|error| SourceError::Package { source_of: shown, error: Box::new(error) })?;
    let place = place(folder, commit, wanted);
    fs_err::create_dir_all(&place)?;
    let path = place.join(format!("{}.napt", packed.sha256));
    files::write(&path, &fs_err::read(&packed.path)?)?;
    let listed = dependencies.clone().into_iter().collect();
    let kept = Kept { format: FORMAT, sha256: packed.sha256.clone(), dependencies: listed };
    files::write(&place.join("kept.json"), &serde_json::to_vec(&kept).map_err(std::io::Error::from)?)?;
    Ok(Fetched { packed: Packed { path, ..packed }, source: source.clone(), dependencies })
}

/// What a project needs. What it names by path is in the same repository, at the same commit.
fn dependencies(project: &Project, root: &Path, source: &GitSource) -> BTreeMap<ModuleId, Dependency> {
    let meant = |(id, dependency): (&ModuleId, &Dependency)| {
        let mut dependency = dependency.clone();
        if let Some(path) = dependency.path.take()
            && let Ok(folder) = fs_err::canonicalize(project.root.join(path))
            && folder.starts_with(root)
        {
            dependency.git = Some(source.unpinned());
        }
        (id.clone(), dependency)
    };
    project.manifest.dependencies.iter().map(meant).collect()
}

/// Waits until no other process works in the folder; the lock is released when the file is dropped.
async fn lock(folder: PathBuf) -> std::io::Result<std::fs::File> {
    fs_err::tokio::create_dir_all(&folder).await?;
    let file = fs_err::File::create(folder.join("lock"))?.into_parts().0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Many may wait for minutes: a thread for each would be too many.
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// How long a lock is not looked at again.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Passes on what is wrong; the folder that is packed is napt's own.
struct Unsaid<'a>(&'a dyn Reporter);

impl Reporter for Unsaid<'_> {
    fn step(&self, _verb: &str, _what: &str) {}
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
    fn detail(&self, message: &str) {
        self.0.detail(message);
    }
    fn is_interrupted(&self) -> bool {
        self.0.is_interrupted()
    }
}
