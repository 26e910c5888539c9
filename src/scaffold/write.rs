//! From files in memory to folders on disk, as a whole or not at all.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ScaffoldError, git, render::Files};
use crate::{files, module::MANIFEST_FILE};

/// Writes the project beside `target`, makes it a repository unless it is in one, and moves it there. Nothing is
/// synced: until somebody works in it, a project that a power failure takes can be made again.
pub(super) fn write(target: &Path, files: &Files) -> Result<(), ScaffoldError> {
    let staging = stage(target.parent().unwrap_or(target), files)?;
    let root = staging.path().join(STAGED);
    if !git::is_kept_above(target) {
        git::init(&root)?;
    }
    move_to(&root, target)
}

/// Writes modules and moves them to their folders in `parent`, then the changed manifest of the workspace if there is
/// one: until then, no member is missing from it that is there, nor there that is missing.
pub(super) fn join(
    root: &Path,
    parent: &Path,
    folders: &[PathBuf],
    files: &Files,
    manifest: Option<&str>,
) -> Result<(), ScaffoldError> {
    let made_parent = !parent.exists();
    fs_err::create_dir_all(parent)?;
    let mut moved = Vec::new();
    let mut attempt = || {
        let staging = stage(parent, files)?;
        for folder in folders {
            move_to(&staging.path().join(STAGED).join(folder.file_name().unwrap_or_default()), folder)?;
            moved.push(folder);
        }
        if let Some(text) = manifest {
            files::write(&root.join(MANIFEST_FILE), text.as_bytes())?;
        }
        Ok(())
    };
    attempt().inspect_err(|_| {
        // What cannot be removed either is told by the error that came first.
        moved.iter().for_each(|folder| drop(fs_err::remove_dir_all(folder)));
        if made_parent {
            let _ = fs_err::remove_dir(parent);
        }
    })
}

/// A folder within the temporary one, since that is for its owner only.
const STAGED: &str = "project";

fn stage(parent: &Path, files: &Files) -> Result<TempDir, ScaffoldError> {
    let staging = tempfile::Builder::new().prefix(".napt-new-").tempdir_in(parent)?;
    let root = staging.path().join(STAGED);
    for (path, content) in files.iter() {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap_or(&root))?;
        fs_err::write(path, content)?;
    }
    Ok(staging)
}

fn move_to(from: &Path, target: &Path) -> Result<(), ScaffoldError> {
    fs_err::rename(from, target).map_err(|error| match target.symlink_metadata() {
        Ok(_) => ScaffoldError::Taken(target.to_owned()),
        Err(_) => error.into(),
    })
}
