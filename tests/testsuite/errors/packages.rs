//! What archives are refused for.

use napt::{
    package::{ArchiveError, Finding, PackageError, PathFault},
    report::Failure,
};

use super::{disk, id, path, room, words};

fn at(fault: PathFault) -> Failure {
    ArchiveError::Path { path: "agent-a-0.1.0/x".to_owned(), fault }.into()
}

room! { package:
    PackageError [Failure::from] {
        PackageError::Io(_) => PackageError::Io(disk()),
        PackageError::NotUtf8(_) => PackageError::NotUtf8(path("m/caf\u{fffd}")),
        PackageError::NotFiles(_) => PackageError::NotFiles(words(&["data", "link"])),
        PackageError::Pattern { .. } => PackageError::Pattern {
            path: path("m/napt.toml"),
            key: "exclude",
            error: ignore::Error::Glob { glob: Some("a[".to_owned()), err: "unclosed character class".to_owned() },
        },
        PackageError::Secrets(_) => PackageError::Secrets(vec![
            Finding { path: ".env".to_owned(), line: None, what: "a file of environment variables" },
            Finding { path: "a/run.py".to_owned(), line: Some(3), what: "an OpenAI key" },
        ]),
        PackageError::Dirty(_) => PackageError::Dirty(words(&["a/run.py"])),
        PackageError::Unusable { .. } => PackageError::Unusable {
            id: id("agent:a"),
            reason: "`run.py` is not in it".to_owned(),
        },
        PackageError::Dependency { .. } => PackageError::Dependency {
            id: id("agent:b"),
            reason: "the one in `../b` cannot be read".to_owned(),
        },
        PackageError::Changed(_) => PackageError::Changed("a/run.py".to_owned()),
        PackageError::Interrupted => PackageError::Interrupted,
        PackageError::Refused(_) => PackageError::Refused(ArchiveError::TooMany { limit: 20_000 }),
        PackageError::SelfCheck => PackageError::SelfCheck,
    }
}

room! { archive:
    ArchiveError [Failure::from] {
        ArchiveError::Io(_) => ArchiveError::Io(disk()),
        ArchiveError::Digest { .. } => ArchiveError::Digest { expected: "0a".repeat(32), found: "0b".repeat(32) },
        ArchiveError::Packed { .. } => ArchiveError::Packed { size: 60 << 20, limit: 50 << 20 },
        ArchiveError::Unpacked { .. } => ArchiveError::Unpacked { limit: 500 << 20 },
        ArchiveError::Ratio { .. } => ArchiveError::Ratio { limit: 100 },
        ArchiveError::File { .. } => ArchiveError::File {
            path: "weights.bin".to_owned(),
            size: 300 << 20,
            limit: 250 << 20,
        },
        ArchiveError::TooMany { .. } => ArchiveError::TooMany { limit: 20_000 },
        ArchiveError::Gzip { .. } => ArchiveError::Gzip { reason: "a wrong checksum".to_owned() },
        ArchiveError::Truncated => ArchiveError::Truncated,
        ArchiveError::SecondMember => ArchiveError::SecondMember,
        ArchiveError::TrailingBytes => ArchiveError::TrailingBytes,
        ArchiveError::TrailingData => ArchiveError::TrailingData,
        ArchiveError::Checksum { .. } => ArchiveError::Checksum { at: 512 },
        ArchiveError::Header { .. } => ArchiveError::Header { at: 512, reason: "has a size that is no number" },
        ArchiveError::Kind { .. } => ArchiveError::Kind { path: "a/link".to_owned(), kind: "a symbolic link" },
        ArchiveError::FolderContent { .. } => ArchiveError::FolderContent { path: "a".to_owned() },
        ArchiveError::Mode { .. } => ArchiveError::Mode { path: "a/run".to_owned(), mode: 0o4755 },
        ArchiveError::Extension { .. } => ArchiveError::Extension { at: 512, reason: "is empty".to_owned() },
        ArchiveError::NotUtf8 { .. } => ArchiveError::NotUtf8 { path: "caf\u{fffd}".to_owned() },
        ArchiveError::Path { .. } => ArchiveError::Path { path: "../a".to_owned(), fault: PathFault::Parent },
        ArchiveError::Duplicate { .. } => ArchiveError::Duplicate { path: "a".to_owned() },
        ArchiveError::Collision { .. } => ArchiveError::Collision { first: "A".to_owned(), second: "a".to_owned() },
        ArchiveError::FileAndFolder { .. } => ArchiveError::FileAndFolder { path: "a".to_owned() },
        ArchiveError::NoTopFolder { .. } => ArchiveError::NoTopFolder { path: "a".to_owned() },
        ArchiveError::TwoTopFolders { .. } => {
            ArchiveError::TwoTopFolders { first: "a".to_owned(), second: "b".to_owned() }
        },
        ArchiveError::Reserved => ArchiveError::Reserved,
        ArchiveError::ManifestName { .. } => {
            ArchiveError::ManifestName { path: "NAPT.toml".to_owned(), expected: "napt.toml" }
        },
        ArchiveError::NoManifest => ArchiveError::NoManifest,
        ArchiveError::Manifest { .. } => ArchiveError::Manifest { reason: "missing field `id`".to_owned() },
        ArchiveError::Disagree { .. } => ArchiveError::Disagree {
            key: "version",
            written: "0.2.0".to_owned(),
            complete: "0.1.0".to_owned(),
        },
        ArchiveError::OtherModule { .. } => ArchiveError::OtherModule {
            declared: "agent:a 0.1.0".to_owned(),
            folder: "agent-b-0.1.0".to_owned(),
        },
        ArchiveError::Target(_) => ArchiveError::Target(path("modules/agent-a-0.1.0")),
    }
    PathFault [at] {
        PathFault::Absolute => PathFault::Absolute,
        PathFault::Parent => PathFault::Parent,
        PathFault::EmptyPart => PathFault::EmptyPart,
        PathFault::Backslash => PathFault::Backslash,
        PathFault::Colon => PathFault::Colon,
        PathFault::Forbidden(_) => PathFault::Forbidden('?'),
        PathFault::Control => PathFault::Control,
        PathFault::Invisible(_) => PathFault::Invisible(0x200b),
        PathFault::Denormal => PathFault::Denormal,
        PathFault::TrailingDot => PathFault::TrailingDot,
        PathFault::Device(_) => PathFault::Device("con".to_owned()),
        PathFault::Long(_) => PathFault::Long(240),
        PathFault::LongPart(_) => PathFault::LongPart(120),
        PathFault::Deep(_) => PathFault::Deep(32),
    }
}
