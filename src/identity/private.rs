//! Files that nobody but their owner may read.

use std::{io::Write, path::Path};

use tempfile::NamedTempFile;

use super::StoreError;

/// Writes a file that only its owner may read: a temporary file, synced, then renamed.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    staged(path, bytes)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A synced file beside `path` that is to become it.
pub(super) fn staged(path: &Path, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    // `tempfile` creates with mode 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Reads a file with a secret in it. Like ssh, it refuses one that others may read or write: what is in it may be known.
pub fn read_private(path: &Path) -> Result<String, StoreError> {
    let file = fs_err::File::open(path)?;
    if let Some(mode) = platform::open_to_others(file.file())? {
        return Err(StoreError::Exposed { path: path.to_owned(), mode });
    }
    Ok(std::io::read_to_string(file)?)
}

#[cfg(unix)]
mod platform {
    use std::{fs::File, io, os::unix::fs::PermissionsExt};

    /// The mode of a file, if it lets in others than its owner.
    pub(super) fn open_to_others(file: &File) -> io::Result<Option<u32>> {
        let mode = file.metadata()?.permissions().mode() & 0o777;
        Ok((mode & 0o077 != 0).then_some(mode))
    }
}

#[cfg(not(unix))]
mod platform {
    use std::{fs::File, io};

    /// Files have no modes here; a user's folder is the user's own.
    pub(super) fn open_to_others(_file: &File) -> io::Result<Option<u32>> {
        Ok(None)
    }
}
