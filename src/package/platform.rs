//! What differs between operating systems: the executable bit, and how a whole folder is brought to disk.

#[cfg(not(unix))]
pub(super) use other::{archive_file, create_new, is_executable, open_file};
#[cfg(unix)]
pub(super) use unix::{archive_file, create_new, is_executable, open_file};

use std::{io, path::Path};

#[cfg(unix)]
mod unix {
    use std::{fs::Metadata, io, os::unix::fs::PermissionsExt, path::Path};

    use fs_err::os::unix::fs::OpenOptionsExt;

    pub(in super::super) fn is_executable(metadata: &Metadata) -> bool {
        metadata.permissions().mode() & 0o100 != 0
    }

    pub(in super::super) fn create_new(path: &Path, executable: bool) -> io::Result<fs_err::File> {
        let mode = if executable { 0o755 } else { 0o644 };
        fs_err::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }

    /// Opens a file, but not through a link that has taken its place.
    pub(in super::super) fn open_file(path: &Path) -> io::Result<fs_err::File> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        fs_err::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    }

    /// A temporary file that, unlike others, may be read by everyone whom the umask lets: archives are for sharing.
    pub(in super::super) fn archive_file(builder: &mut tempfile::Builder<'_, '_>) {
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
}

#[cfg(not(unix))]
mod other {
    use std::{fs::Metadata, io, path::Path};

    pub(in super::super) fn is_executable(_metadata: &Metadata) -> bool {
        false
    }

    pub(in super::super) fn create_new(path: &Path, _executable: bool) -> io::Result<fs_err::File> {
        fs_err::OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(in super::super) fn open_file(path: &Path) -> io::Result<fs_err::File> {
        fs_err::File::open(path)
    }

    pub(in super::super) fn archive_file(_builder: &mut tempfile::Builder<'_, '_>) {}
}

/// Brings everything in `folder` to disk.
// One call for the file system: syncing thousands of small files one by one takes seconds.
#[cfg(target_os = "linux")]
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs_err::File::open(folder)?)?)
}

/// Brings everything in `folder` to disk.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            fs_err::OpenOptions::new().write(true).open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Brings a folder's list of names to disk, after a rename in it.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}

/// Elsewhere a rename needs no second step, and a folder cannot be opened.
#[cfg(not(unix))]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
