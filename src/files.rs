//! Noun: files that appear as a whole or not at all: written beside their place, synced, and only then moved there.

use std::{
    fs::Permissions,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// How the names begin of files that are not complete yet.
pub const UNFINISHED: &str = ".napt-part-";

/// Puts bytes in the place of a file's, or makes the file. The permissions of one that is there stay.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays one: what it leads to is replaced.
    let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let access = fs_err::metadata(&path).map_or(Access::Usual, |metadata| Access::As(metadata.permissions()));
    let file = staged(&path, bytes, access)?;
    file.persist(&path).map_err(|error| named(&path, &error.error))?;
    Ok(())
}

/// Makes a file. One that is there stays as it is, and the error's kind is `AlreadyExists`.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = staged(path, bytes, Access::Usual)?;
    file.persist_noclobber(path).map_err(|error| named(path, &error.error))?;
    Ok(())
}

/// Makes or replaces a file that only its owner may read, in a folder that is made when it is not there.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    staged_private(path, bytes)?.persist(path).map_err(|error| named(path, &error.error))?;
    Ok(())
}

/// As [`create`], for a file as [`write_private`] makes it.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    staged_private(path, bytes)?.persist_noclobber(path).map_err(|error| named(path, &error.error))?;
    Ok(())
}

/// Lets everybody run a file that may read it.
pub fn make_executable(path: &Path) -> io::Result<()> {
    platform::make_executable(path)
}

fn staged_private(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    fs_err::create_dir_all(folder(path))?;
    staged(path, bytes, Access::Private)
}

/// Whom a new file lets in.
enum Access {
    /// As the umask says.
    Usual,
    /// Its owner alone, as temporary files do.
    Private,
    /// As another file does.
    As(Permissions),
}

/// A synced file beside `path` that is to become it.
fn staged(path: &Path, bytes: &[u8], access: Access) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    if let (Access::Usual, Some(permissions)) = (&access, platform::usual_permissions()) {
        builder.permissions(permissions);
    }
    let write = || {
        let mut file = builder.tempfile_in(folder(path))?;
        file.write_all(bytes)?;
        if let Access::As(permissions) = access {
            // Not by the builder: from that the umask would take.
            file.as_file().set_permissions(permissions)?;
        }
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| named(path, &error))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The error with the file that was meant, rather than the one beside it, which `tempfile` names in its own words.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let text = error.to_string();
    let cause = text.split_once(" at path \"").map_or(text.as_str(), |(cause, _)| cause);
    io::Error::new(error.kind(), format!("cannot write `{}`: {cause}", path.display()))
}

#[cfg(unix)]
mod platform {
    use std::{fs::Permissions, io, os::unix::fs::PermissionsExt, path::Path};

    pub(super) fn make_executable(path: &Path) -> io::Result<()> {
        let readable = fs_err::metadata(path)?.permissions().mode() & 0o444;
        fs_err::set_permissions(path, Permissions::from_mode(0o600 | readable | readable >> 2))
    }

    /// Those of a new file, from which the umask takes: a temporary file's are for its owner alone.
    pub(super) fn usual_permissions() -> Option<Permissions> {
        Some(Permissions::from_mode(0o666))
    }
}

#[cfg(not(unix))]
mod platform {
    use std::{fs::Permissions, io, path::Path};

    /// Files have no modes here.
    pub(super) fn make_executable(_path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Files have no modes here.
    pub(super) fn usual_permissions() -> Option<Permissions> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs_err::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_stays_what_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        write(&path, b"1").expect("written");
        let usual = mode(&path);
        assert_eq!(usual & 0o600, 0o600);
        fs_err::set_permissions(&path, Permissions::from_mode(0o666)).expect("ours");
        let link = folder.path().join("link");
        symlink(&path, &link).expect("a link");
        write(&link, b"2").expect("written");
        assert_eq!((fs_err::read(&path).expect("a file"), mode(&path)), (b"2".to_vec(), 0o666));
        assert!(link.is_symlink());
        let new = folder.path().join("b");
        create(&new, b"3").expect("made");
        assert_eq!((create(&new, b"4").expect_err("there").kind(), mode(&new)), (io::ErrorKind::AlreadyExists, usual));
        let private = folder.path().join("deep").join("c");
        create_private(&private, b"5").expect("made");
        assert_eq!(create_private(&private, b"6").expect_err("there").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs_err::read(&private).expect("a file"), mode(&private)), (b"5".to_vec(), 0o600));
        let error = write(&folder.path().join("none").join("d"), b"").expect_err("no folder").to_string();
        assert!(error.starts_with("cannot write `") && error.contains("/none/d`: "), "{error}");
        let mut names: Vec<_> =
            fs_err::read_dir(folder.path()).expect("a folder").map(|it| it.expect("it").file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "b", "deep", "link"]);
    }
}
