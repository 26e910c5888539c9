//! Why an archive is refused.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;

use super::{ARCHIVED_MANIFEST, UNPACKED_MARKER, paths::PathFault};
use crate::report::Fault;

/// Why an archive is refused, naming the entry where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive, or the target, cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its digest is not the one asked for.
    #[error("the archive's sha256 is {found}, not {expected}")]
    Digest {
        /// What was asked for.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The archive itself is too large.
    #[error("the archive has {}, more than {}", bytes(*size), bytes(*limit))]
    Packed {
        /// What it has.
        size: u64,
        /// What it may have.
        limit: u64,
    },
    /// Its files together are too large.
    #[error("the archive unpacks to more than {}", bytes(*limit))]
    Unpacked {
        /// What it may have.
        limit: u64,
    },
    /// It unpacks to very much more than it has.
    #[error("the archive unpacks to more than {limit} times its size")]
    Ratio {
        /// How many times it may be.
        limit: u64,
    },
    /// One file is too large.
    #[error("the file `{path}` has {}, more than {}", bytes(*size), bytes(*limit))]
    File {
        /// The entry.
        path: String,
        /// What it says it has.
        size: u64,
        /// What it may have.
        limit: u64,
    },
    /// Too many entries.
    #[error("the archive has more than {limit} files and folders")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// Not gzip, or damaged gzip.
    #[error("the archive is not valid gzip: {reason}")]
    Gzip {
        /// What the decoder said.
        reason: String,
    },
    /// It ends too early.
    #[error("the archive is cut off")]
    Truncated,
    /// A second gzip member follows.
    #[error("the archive has a second gzip member")]
    SecondMember,
    /// Bytes follow the gzip member.
    #[error("the archive has bytes after its gzip member")]
    TrailingBytes,
    /// Bytes follow the end of the tar.
    #[error("the archive has data after the end of its tar")]
    TrailingData,
    /// A header's checksum is wrong.
    #[error("the tar header at byte {at} has a wrong checksum")]
    Checksum {
        /// Its offset in the tar.
        at: u64,
    },
    /// A header cannot be understood.
    #[error("the tar header at byte {at} {reason}")]
    Header {
        /// Its offset in the tar.
        at: u64,
        /// What is wrong with it, as a predicate.
        reason: &'static str,
    },
    /// Something that is neither a file nor a folder.
    #[error("the entry `{path}` is {kind}; only files and folders are allowed")]
    Kind {
        /// The entry.
        path: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A folder's entry with content.
    #[error("the folder `{path}` has content")]
    FolderContent {
        /// The entry.
        path: String,
    },
    /// setuid, setgid or sticky.
    #[error("the entry `{path}` has the mode {mode:o}: setuid, setgid and sticky are not allowed")]
    Mode {
        /// The entry.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// An extension header that is not allowed.
    #[error("the extension header at byte {at} {reason}")]
    Extension {
        /// Its offset in the tar.
        at: u64,
        /// What is wrong with it, as a predicate.
        reason: String,
    },
    /// A path that is not UTF-8.
    #[error("the path `{path}` is not UTF-8")]
    NotUtf8 {
        /// The entry, as far as it is UTF-8.
        path: String,
    },
    /// A path that is not allowed.
    #[error("the path `{path}` {fault}")]
    Path {
        /// The entry.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// The same path twice.
    #[error("the path `{path}` is there twice")]
    Duplicate {
        /// The entry.
        path: String,
    },
    /// Two paths that are one on some disks.
    #[error("the paths `{first}` and `{second}` are the same where case makes no difference")]
    Collision {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A file that is also a folder.
    #[error("the path `{path}` is a file and a folder")]
    FileAndFolder {
        /// The entry.
        path: String,
    },
    /// A file beside the top folder.
    #[error("the file `{path}` is not in a top folder")]
    NoTopFolder {
        /// The entry.
        path: String,
    },
    /// A second top folder.
    #[error("the archive has two top folders: `{first}` and `{second}`")]
    TwoTopFolders {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A name that unpacking needs for itself.
    #[error("the path `{UNPACKED_MARKER}` is reserved")]
    Reserved,
    /// A manifest under a name that only some disks take for the right one.
    #[error("the manifest's name is `{expected}`, not `{path}`")]
    ManifestName {
        /// The entry.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// No manifest.
    #[error("the archive has no `{ARCHIVED_MANIFEST}`")]
    NoManifest,
    /// A manifest that cannot be read.
    #[error("the archive's `{ARCHIVED_MANIFEST}` is not valid: {reason}")]
    Manifest {
        /// Why.
        reason: String,
    },
    /// `napt.toml` says something else than the complete manifest.
    #[error(
        "the archive's `napt.toml` says that its {key} is `{written}`, its `{ARCHIVED_MANIFEST}` says `{complete}`"
    )]
    Disagree {
        /// Type, name or version.
        key: &'static str,
        /// In `napt.toml`.
        written: String,
        /// In the complete manifest.
        complete: String,
    },
    /// The manifest is of another module than the top folder.
    #[error("the archive's manifest is that of `{declared}`, but its top folder is `{folder}`")]
    OtherModule {
        /// The folder that the manifest asks for.
        declared: String,
        /// The folder there is.
        folder: String,
    },
    /// The folder to unpack into holds something else.
    #[error("`{}` exists and is not what this archive unpacks to", .0.display())]
    Target(PathBuf),
}

impl Fault for ArchiveError {
    fn hint(&self) -> Option<String> {
        match self {
            ArchiveError::Digest { .. } => {
                Some("it was damaged on the way, or somebody exchanged it; fetch it again".to_owned())
            }
            ArchiveError::Truncated | ArchiveError::Gzip { .. } => Some("fetch it again".to_owned()),
            ArchiveError::Target(path) => Some(format!("remove `{}` and try again", path.display())),
            ArchiveError::Io(_) => None,
            _ => Some("`napt package` makes archives that are accepted everywhere".to_owned()),
        }
    }
}

/// How an error shows a path: nothing in it can reach a terminal as a control character.
pub(super) fn shown(path: &str) -> String {
    path.escape_debug().to_string()
}

/// How an error shows a path that need not be text.
pub(super) fn shown_bytes(path: &[u8]) -> String {
    shown(&String::from_utf8_lossy(path))
}

fn bytes(count: u64) -> impl fmt::Display {
    ByteSize::b(count).display().iec()
}

/// A limit on decoded bytes, on its way through [`io::Read`].
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("more than {0} bytes")]
    Unpacked(u64),
    #[error("more than {0} times the size")]
    Ratio(u64),
}

/// What an error of the decoder means for the archive.
pub(super) fn decoding(error: io::Error) -> ArchiveError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Exceeded>()) {
        Some(Exceeded::Unpacked(limit)) => return ArchiveError::Unpacked { limit: *limit },
        Some(Exceeded::Ratio(limit)) => return ArchiveError::Ratio { limit: *limit },
        None => {}
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ArchiveError::Gzip { reason: error.to_string() },
        _ => ArchiveError::Io(error),
    }
}

/// Why `path` cannot be unpacked to.
pub(super) fn target(path: &Path) -> ArchiveError {
    ArchiveError::Target(path.to_owned())
}
