//! Archives on disk: received in `staging/`, kept in `blobs/sha256/` under their digest.

use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A folder of archives.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    staging: PathBuf,
    kept: PathBuf,
}

impl Blobs {
    /// Opens the folder. What an earlier process left in staging was never acknowledged, and goes.
    pub(super) fn open(data: &Path) -> std::io::Result<Self> {
        let blobs = Blobs { staging: data.join("staging"), kept: data.join("blobs").join("sha256") };
        fs_err::create_dir_all(&blobs.kept)?;
        fs_err::create_dir_all(&blobs.staging)?;
        for entry in fs_err::read_dir(&blobs.staging)? {
            fs_err::remove_file(entry?.path())?;
        }
        sync_folder(&data.join("blobs"))?;
        sync_folder(data)?;
        Ok(blobs)
    }

    /// A new file to receive into. It goes when it is dropped.
    pub(super) fn stage(&self) -> std::io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.staging)
    }

    /// Moves a synced file to its place. A blob that is there already holds the same bytes.
    pub(super) fn keep(&self, staged: NamedTempFile, sha256: &str) -> std::io::Result<()> {
        let path = self.path(sha256);
        let folder = path.parent().unwrap_or(&self.kept);
        fs_err::create_dir_all(folder)?;
        staged.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Makes the move durable.
    pub(super) fn sync(&self, sha256: &str) -> std::io::Result<()> {
        sync_folder(self.path(sha256).parent().unwrap_or(&self.kept))?;
        sync_folder(&self.kept)
    }

    /// Where the archive with this digest is, or would be.
    pub(super) fn path(&self, sha256: &str) -> PathBuf {
        path(&self.kept, sha256)
    }
}

/// Where the archive with this digest is in a folder of archives.
pub(super) fn path(kept: &Path, sha256: &str) -> PathBuf {
    kept.join(sha256.get(..2).unwrap_or("__")).join(sha256)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}
