//! Project in, reproducible archive out; archive in, safe folder out.
//!
//! An archive is a gzipped tar with one top folder `TYPE-NAME-VERSION/`, named `NAME-VERSION.napt`. The same tree gives
//! the same bytes on any machine on any day. One strict reader serves the packer's own check, the registry and the
//! node; it rejects and never repairs.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `tree` | which files of a project belong into its archive |
//! | `vcs` | which commit they are |
//! | `secrets` | what must never be published |
//! | `write` | an archive of a project |
//! | `tarball` | its bytes |
//! | `tar` | the strict reader of tar |
//! | `paths` | which names an archive may hold |
//! | `read` | [`inspect`], [`content_digest`] and [`unpack`] |

mod error;
mod paths;
mod platform;
mod read;
mod secrets;
mod tar;
mod tarball;
mod tree;
mod vcs;
mod write;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

pub use error::ArchiveError;
pub use paths::PathFault;
pub(crate) use paths::check as check_path;
pub use read::{Contents, content_digest, inspect, unpack};
pub use secrets::{AllowedSecret, Finding};
use sha2::{Digest, Sha256};
pub use tree::{packaged_paths, source_folders};
pub use vcs::Checkout;
pub use write::{Changes, PackageError, Packed, destination, list, pack, pack_checkout, pack_with, verify};

use crate::module::{MANIFEST_FILE, Manifest};

/// The suffix of an archive's file name.
pub const ARCHIVE_SUFFIX: &str = ".napt";
/// The complete manifest in an archive, below its top folder.
pub const ARCHIVED_MANIFEST: &str = ".napt/manifest.json";
/// The commit that an archive is from, below its top folder.
pub const ARCHIVED_VCS: &str = ".napt/vcs.json";
/// The digest of the archive that a folder was unpacked from; written last, so its presence says that all is there.
pub const UNPACKED_MARKER: &str = ".napt/sha256";

const MIB: u64 = 1024 * 1024;

/// How large an archive may be. Counted on what is really read, not on what a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive itself.
    pub packed: u64,
    /// Bytes of all its files together.
    pub unpacked: u64,
    /// Files and folders.
    pub files: usize,
    /// Bytes of one file.
    pub file: u64,
    /// How many times its own size an archive may unpack to, once that is more than `ratio_from`.
    pub ratio: u64,
    /// Below so many unpacked bytes no ratio is too large.
    pub ratio_from: u64,
    /// Bytes of the manifest.
    pub manifest: u64,
    /// Folders in folders.
    pub depth: usize,
    /// Bytes of a path below the top folder.
    pub path: usize,
    /// Bytes of one name in a path.
    pub segment: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            packed: 50 * MIB,
            unpacked: 500 * MIB,
            files: 20_000,
            file: 250 * MIB,
            ratio: 100,
            ratio_from: 100 * MIB,
            manifest: MIB,
            depth: 32,
            path: 240,
            segment: 120,
        }
    }
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PackedFile {
    /// Its path below the top folder, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// The name of an archive's top folder: `TYPE-NAME-VERSION`.
pub fn top_folder(manifest: &Manifest) -> String {
    format!("{}-{}-{}", manifest.id.module_type, manifest.id.name, manifest.version)
}

/// The name of an archive: `NAME-VERSION.napt`.
pub fn file_name(manifest: &Manifest) -> String {
    format!("{}-{}{ARCHIVE_SUFFIX}", manifest.id.name, manifest.version)
}

/// The SHA-256 of a file in hex, and its size.
pub fn sha256_file(path: &Path) -> io::Result<(String, u64)> {
    digest(&mut fs_err::File::open(path)?)
}

fn digest(file: &mut (impl Read + ?Sized)) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hex::encode(hasher.finalize()), size)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a folder holds a module (or a workspace) of its own.
fn is_project(folder: &Path) -> bool {
    folder.join(MANIFEST_FILE).is_file()
}

/// `path` relative to `root`, with `/`; `None` when a part is not UTF-8.
fn relative(path: &Path, root: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> =
        path.strip_prefix(root).ok()?.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

/// The folder that `path` is in, where what replaces it in one step is made.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
