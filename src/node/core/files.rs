//! Naptha's `fs` storage: a folder for each user, that no path leads out of. Only napt makes files in it, each as a whole
//! or not at all, and no links.

mod archive;
mod search;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::UNIX_EPOCH,
};

use bytesize::ByteSize;
use serde::Deserialize;
use tempfile::NamedTempFile;

pub(in crate::node) use self::archive::pack;
pub(super) use self::search::{Budget, matches_words};
use crate::{
    crash,
    identity::body_digest,
    package::{Limits, PathFault, check_path},
};

/// Files and folders that a user may have.
const MAX_FILES: usize = 50_000;

/// Entries that one list gives.
const MAX_LISTED: usize = 10_000;

/// Which paths are allowed.
const PATHS: Limits = Limits {
    path: 1024,
    segment: 200,
    depth: 32,
    packed: 0,
    unpacked: 0,
    files: 0,
    file: 0,
    ratio: 0,
    ratio_from: 0,
    manifest: 0,
};

/// Why a file cannot be kept or given.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum FilesError {
    /// A path that is not allowed.
    #[error("the path `{path}` {fault}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// There is no such file.
    #[error("there is no file or folder `{0}`")]
    Missing(String),
    /// A folder that holds something.
    #[error("the folder `{0}` is not empty; delete it with the option `recursive`")]
    NotEmpty(String),
    /// A file where a folder is needed, or a folder where a file is.
    #[error("`{0}` is a file where a folder is needed, or a folder where a file is")]
    InTheWay(String),
    /// The user has as much as they may.
    #[error("the files would have more than the {} that this node keeps for a user", ByteSize(*.0))]
    Quota(u64),
    /// The user has as many as they may.
    #[error("there would be more than {0} files and folders")]
    TooMany(usize),
    /// A zip file that is refused.
    #[error("the zip file `{name}` is refused: {reason}")]
    Archive {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A request that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file as it came in, beside those that are kept. It goes unless it is kept.
#[derive(Debug)]
pub(in crate::node) struct Received {
    /// Where it is meanwhile.
    pub(in crate::node) file: NamedTempFile,
    /// As its sender calls it.
    pub(in crate::node) name: String,
    /// Bytes.
    pub(in crate::node) size: u64,
    /// Its digest.
    pub(in crate::node) sha256: [u8; 32],
}

/// What a user has.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    bytes: u64,
    files: usize,
}

/// A file or folder, as lists show it.
#[derive(Debug, Clone)]
pub(in crate::node) struct Entry {
    /// Below the user's folder.
    pub(in crate::node) path: String,
    /// Bytes; `None` of a folder.
    pub(in crate::node) size: Option<u64>,
    /// Seconds since 1970.
    pub(in crate::node) modified: u64,
}

/// Something to read.
#[derive(Debug)]
pub(in crate::node) enum Found {
    /// A file, its size and its name.
    File(tokio::fs::File, u64, String),
    /// The files of a folder, by their names in it; and its name.
    Folder(Vec<(String, PathBuf)>, String),
}

/// Options of a list.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::node) struct ListOptions {
    recursive: bool,
    include_dirs: bool,
    /// `*` and `?` in names.
    pattern: Option<String>,
}

impl Default for ListOptions {
    fn default() -> Self {
        ListOptions { recursive: false, include_dirs: true, pattern: None }
    }
}

/// Options of a delete.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::node) struct DeleteOptions {
    recursive: bool,
    ignore_missing: bool,
}

/// One user's turn to change files, with what is known of their usage.
type Turn = Arc<tokio::sync::Mutex<Option<Usage>>>;

/// All users' files.
#[derive(Debug)]
pub(in crate::node) struct Files {
    folder: PathBuf,
    incoming: PathBuf,
    quota: u64,
    turns: Mutex<HashMap<String, Turn>>,
}

/// A path below a user's folder, which is `""` itself.
fn checked(path: &str) -> Result<&str, FilesError> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    if matches!(trimmed, "" | ".") {
        return Ok("");
    }
    match check_path(trimmed, &PATHS) {
        Ok(()) => Ok(trimmed),
        Err(fault) => {
            Err(FilesError::Path { path: path.chars().filter(|c| !c.is_control()).take(80).collect(), fault })
        }
    }
}

/// A file's own name.
fn checked_name(name: &str) -> Result<&str, FilesError> {
    if name.contains('/') {
        return Err(FilesError::Invalid(format!(
            "the file's name `{}` has a `/`; the folder belongs into the path",
            name.chars().take(80).collect::<String>()
        )));
    }
    match checked(name)? {
        "" => Err(FilesError::Invalid("the file has no name".to_owned())),
        name => Ok(name),
    }
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().filter(|part| !part.is_empty()).unwrap_or("files").to_owned()
}

/// What a change is told when something else is where it leads.
fn in_the_way(path: &str) -> impl FnOnce(io::Error) -> FilesError {
    move |error| match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
            FilesError::InTheWay(path.to_owned())
        }
        _ => error.into(),
    }
}

/// Runs what waits for a disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Files {
    /// Opens the store; what was left half received is gone then.
    pub(super) fn open(storage: &Path, quota: u64) -> io::Result<Self> {
        let incoming = storage.join("incoming");
        if incoming.exists() {
            fs_err::remove_dir_all(&incoming)?;
        }
        Ok(Files { folder: storage.join("files"), incoming, quota, turns: Mutex::default() })
    }

    /// The most that one file may have.
    pub(in crate::node) fn quota(&self) -> u64 {
        self.quota
    }

    /// A file for what comes in.
    pub(in crate::node) fn incoming(&self) -> io::Result<NamedTempFile> {
        fs_err::create_dir_all(&self.incoming)?;
        NamedTempFile::new_in(&self.incoming)
    }

    fn root(&self, user: &str) -> PathBuf {
        self.folder.join(body_digest(user.as_bytes()))
    }

    /// Where a path of a user is. Nothing on the way is a link.
    fn locate(&self, user: &str, path: &str) -> Result<PathBuf, FilesError> {
        let mut place = self.root(user);
        for part in path.split('/').filter(|part| !part.is_empty()) {
            place.push(part);
            if place.is_symlink() {
                return Err(FilesError::Missing(path.to_owned()));
            }
        }
        Ok(place)
    }

    fn turn(&self, user: &str) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        turns.entry(user.to_owned()).or_default().clone()
    }

    /// Puts a file into a folder, or what a zip file holds if `unpack` says so. A file of the same name is replaced.
    pub(in crate::node) async fn write(
        &self,
        user: &str,
        folder: &str,
        received: Received,
        unpack: bool,
    ) -> Result<(), FilesError> {
        let folder = checked(folder)?.to_owned();
        let name = checked_name(&received.name)?.to_owned();
        let (root, place) = (self.root(user), self.locate(user, &folder)?);
        let (incoming, quota) = (self.incoming.clone(), self.quota);
        let turn = self.turn(user);
        let mut known = turn.lock_owned().await;
        blocking(move || {
            let usage = match known.take() {
                Some(usage) => usage,
                None => usage(&root)?,
            };
            let room = Usage { bytes: quota.saturating_sub(usage.bytes), files: MAX_FILES.saturating_sub(usage.files) };
            let exceeded = || if room.files == 0 { FilesError::TooMany(MAX_FILES) } else { FilesError::Quota(quota) };
            if unpack {
                let unpacked = tempfile::tempdir_in(&incoming)?;
                let room = (room.bytes, room.files);
                archive::unpack(received.file.path(), unpacked.path(), room).map_err(|refused| match refused {
                    archive::Refused::Quota => exceeded(),
                    archive::Refused::Io(error) => error.into(),
                    archive::Refused::Archive(reason) => FilesError::Archive { name, reason },
                })?;
                crash::point("storage.unpacked")?;
                merge(unpacked.path(), &place, &folder)?;
            } else {
                if received.size > room.bytes || room.files == 0 {
                    return Err(exceeded());
                }
                fs_err::create_dir_all(&place).map_err(in_the_way(&folder))?;
                crash::point("storage.received")?;
                let target = place.join(&name);
                keep(received.file, &target).map_err(in_the_way(&name))?;
                // What it replaced is counted too until the next look.
                let replaced = Usage { bytes: usage.bytes + received.size, files: usage.files + 1 };
                *known = Some(replaced).filter(|usage| usage.bytes < quota / 2 && usage.files < MAX_FILES / 2);
            }
            Ok(())
        })
        .await
    }

    /// A file, or what a folder holds.
    pub(in crate::node) async fn read(&self, user: &str, path: &str) -> Result<Found, FilesError> {
        let path = checked(path)?.to_owned();
        let (place, name) = (self.locate(user, &path)?, last_part(&path));
        blocking(move || {
            let metadata = existing(&place, &path)?;
            if metadata.is_file() {
                let file = fs_err::File::open(&place)?.into_parts().0;
                return Ok(Found::File(tokio::fs::File::from_std(file), metadata.len(), name));
            }
            let mut files = Vec::new();
            walk(&place, "", &mut |path, metadata, place| {
                if metadata.is_file() {
                    files.push((path.to_owned(), place.to_owned()));
                }
                true
            })?;
            Ok(Found::Folder(files, name))
        })
        .await
    }

    /// What a folder holds; of a file, itself.
    pub(in crate::node) async fn list(
        &self,
        user: &str,
        path: &str,
        options: ListOptions,
    ) -> Result<Vec<Entry>, FilesError> {
        let path = checked(path)?.to_owned();
        let place = self.locate(user, &path)?;
        blocking(move || {
            // A user who has never stored anything has an empty folder.
            if path.is_empty() && !place.exists() {
                return Ok(Vec::new());
            }
            let metadata = existing(&place, &path)?;
            if metadata.is_file() {
                return Ok(vec![entry(&path, &metadata)]);
            }
            let mut found = Vec::new();
            let pattern = options.pattern.as_deref().unwrap_or("*");
            walk(&place, &path, &mut |path, metadata, _| {
                let shown = (metadata.is_file() || options.include_dirs) && search::is_like(&last_part(path), pattern);
                if shown && found.len() < MAX_LISTED {
                    found.push(entry(path, metadata));
                }
                options.recursive
            })?;
            Ok(found)
        })
        .await
    }

    /// Deletes a file or folder.
    pub(in crate::node) async fn delete(
        &self,
        user: &str,
        path: &str,
        options: DeleteOptions,
    ) -> Result<(), FilesError> {
        let path = checked(path)?.to_owned();
        if path.is_empty() {
            return Err(FilesError::Invalid("name what is to be deleted: not everything at once".to_owned()));
        }
        let place = self.locate(user, &path)?;
        let turn = self.turn(user);
        let mut known = turn.lock_owned().await;
        blocking(move || {
            *known = None;
            let metadata = match existing(&place, &path) {
                Err(FilesError::Missing(_)) if options.ignore_missing => return Ok(()),
                metadata => metadata?,
            };
            let deleted = match (metadata.is_file(), options.recursive) {
                (true, _) => fs_err::remove_file(&place),
                (false, true) => fs_err::remove_dir_all(&place),
                (false, false) => fs_err::remove_dir(&place),
            };
            deleted.map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty => FilesError::NotEmpty(path),
                _ => error.into(),
            })
        })
        .await
    }

    /// The files below a path whose name or text holds all the words.
    pub(in crate::node) async fn search(
        &self,
        user: &str,
        path: &str,
        words: Vec<String>,
        limit: usize,
    ) -> Result<Vec<(Entry, Option<String>)>, FilesError> {
        let path = checked(path)?.to_owned();
        let place = self.locate(user, &path)?;
        blocking(move || {
            if !place.exists() {
                return Err(FilesError::Missing(path));
            }
            let mut budget = search::Budget::default();
            let mut found = Vec::new();
            walk(&place, &path, &mut |path, metadata, place| {
                if metadata.is_file()
                    && found.len() < limit
                    && let Some(line) = matches_words(path, place, metadata.len(), &words, &mut budget)
                {
                    found.push((entry(path, metadata), line));
                }
                true
            })?;
            Ok(found)
        })
        .await
    }
}

fn existing(place: &Path, path: &str) -> Result<std::fs::Metadata, FilesError> {
    match fs_err::symlink_metadata(place) {
        Ok(metadata) => Ok(metadata),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(FilesError::Missing(path.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn entry(path: &str, metadata: &std::fs::Metadata) -> Entry {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Entry {
        path: path.to_owned(),
        size: metadata.is_file().then_some(metadata.len()),
        modified: modified.map_or(0, |time| time.as_secs()),
    }
}

/// Everything in a folder, by name; into its folders when `see` says so. What is neither file nor folder is passed over.
fn walk(folder: &Path, path: &str, see: &mut dyn FnMut(&str, &std::fs::Metadata, &Path) -> bool) -> io::Result<()> {
    if folder.is_file() {
        see(path, &fs_err::symlink_metadata(folder)?, folder);
        return Ok(());
    }
    let mut names: Vec<_> = fs_err::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let place = folder.join(&name);
        let Some(name) = name.to_str() else { continue };
        let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let metadata = fs_err::symlink_metadata(&place)?;
        if metadata.is_dir() && see(&below, &metadata, &place) {
            walk(&place, &below, see)?;
        } else if metadata.is_file() {
            see(&below, &metadata, &place);
        }
    }
    Ok(())
}

fn usage(root: &Path) -> Result<Usage, FilesError> {
    let mut usage = Usage::default();
    if root.exists() {
        walk(root, "", &mut |_, metadata, _| {
            usage.files += 1;
            usage.bytes += if metadata.is_file() { metadata.len() } else { 0 };
            true
        })?;
    }
    Ok(usage)
}

/// Puts a synced file in its place.
pub(super) fn keep(file: NamedTempFile, target: &Path) -> io::Result<()> {
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// Moves what was unpacked to where it belongs: at once where nothing is, file by file otherwise.
fn merge(from: &Path, to: &Path, path: &str) -> Result<(), FilesError> {
    if !to.exists()
        && let Some(parent) = to.parent()
    {
        fs_err::create_dir_all(parent).map_err(in_the_way(path))?;
        return fs_err::rename(from, to).map_err(in_the_way(path));
    }
    for found in fs_err::read_dir(from)? {
        let found = found?;
        let target = to.join(found.file_name());
        let below = format!("{path}/{}", found.file_name().to_string_lossy());
        if found.file_type()?.is_dir() {
            fs_err::create_dir_all(&target).map_err(in_the_way(&below))?;
            merge(&found.path(), &target, &below)?;
        } else {
            fs_err::rename(found.path(), &target).map_err(in_the_way(&below))?;
        }
    }
    Ok(())
}
