//! Files that appear as a whole: whoever reads one sees the old text or the new one.

use std::{
    io::{self, Write},
    path::Path,
};

/// Puts a text in the place of a file's, or makes the file. Its permissions stay.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it leads to is replaced.
    let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".napt-");
    let permissions = fs_err::metadata(&path).ok().map(|metadata| metadata.permissions());
    let permissions = permissions.or_else(usual_permissions);
    if let Some(permissions) = &permissions {
        builder.permissions(permissions.clone());
    }
    let mut file = builder.tempfile_in(folder).map_err(named)?;
    file.write_all(text.as_bytes()).map_err(named)?;
    file.as_file().sync_all().map_err(named)?;
    file.persist(&path).map_err(|error| named(error.error))?;
    Ok(())
}

/// Those of a new file, from which the umask takes: a temporary file's are for its owner alone.
#[cfg(unix)]
fn usual_permissions() -> Option<std::fs::Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<std::fs::Permissions> {
    None
}
