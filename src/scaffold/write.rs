//! From files in memory to a folder on disk, as a whole or not at all.

use std::path::Path;

use super::{ScaffoldError, git, render::Files};

/// Writes the project beside `target`, makes it a repository unless it is in one, and moves it there. Nothing is
/// synced: until somebody works in it, a project that a power failure takes can be made again.
pub(super) fn write(target: &Path, files: &Files) -> Result<(), ScaffoldError> {
    let parent = target.parent().unwrap_or(target);
    let staging = tempfile::Builder::new().prefix(".napt-new-").tempdir_in(parent)?;
    // A folder within, since the temporary one is for its owner only.
    let root = staging.path().join("project");
    for (path, content) in files.iter() {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap_or(&root))?;
        fs_err::write(path, content)?;
    }
    if !git::is_kept_above(target) {
        git::init(&root)?;
    }
    fs_err::rename(&root, target).map_err(|error| match target.symlink_metadata() {
        Ok(_) => ScaffoldError::Taken(target.to_owned()),
        Err(_) => error.into(),
    })
}
