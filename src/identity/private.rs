//! Files that nobody but their owner may read.

use std::path::Path;

use super::StoreError;

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
