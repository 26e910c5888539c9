//! Archive in: a look at it, or a safe folder out. The only door for archives of strangers.

use std::{
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{
    ARCHIVED_MANIFEST, ARCHIVED_VCS, Limits, PackedFile, UNPACKED_MARKER, digest,
    error::{ArchiveError, Exceeded, decoding, shown, target as occupied},
    parent, paths,
    paths::{Clash, Names},
    platform,
    tar::{Entries, Entry, Kind},
    top_folder,
};
use crate::{
    crash,
    module::{MANIFEST_FILE, Manifest, ManifestFile},
};

/// The readme when the manifest names none.
const DEFAULT_README: &str = "README.md";
/// Bytes of a readme that are shown.
const MAX_README: u64 = 1024 * 1024;
/// Characters of a description, and of all keywords: both stand in lists of many modules.
const MAX_DESCRIPTION: usize = 1000;
const MAX_KEYWORDS: usize = 500;
/// Every version's dependencies stand in its module's index, which is read as a whole.
const MAX_DEPENDENCIES: usize = 500;

/// What an archive holds.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its files, in the archive's order, by their paths below the top folder.
    pub files: Vec<PackedFile>,
    /// Bytes of all files.
    pub unpacked: u64,
    /// The text of the readme.
    pub readme: Option<String>,
}

/// Reads and checks all of an archive. Nothing is written.
pub fn inspect(archive: &Path, limits: &Limits) -> Result<Contents, ArchiveError> {
    let mut file = open(archive, limits)?;
    let mut contents = walk(&mut file, limits, &mut Discard)?;
    contents.readme = readme(&mut file, limits, &contents)?;
    Ok(contents)
}

/// A digest of a module's own files, by path, mode and content: equal for archives that differ only in how they were
/// packed, or in the commit that is recorded in them.
pub fn content_digest(archive: &Path, limits: &Limits) -> Result<String, ArchiveError> {
    let mut sums = Sums(Vec::new());
    walk(&mut open(archive, limits)?, limits, &mut sums)?;
    sums.0.sort_unstable();
    let mut hasher = Sha256::new();
    sums.0.iter().for_each(|sum| hasher.update(sum));
    Ok(hex::encode(hasher.finalize()))
}

/// Unpacks an archive to the folder `target`, without the top folder. The digest is checked before anything is decoded;
/// the folder appears complete and synced, or not at all. A target that this archive was unpacked to before is fine.
pub fn unpack(archive: &Path, sha256: &str, target: &Path, limits: &Limits) -> Result<Contents, ArchiveError> {
    let mut file = open(archive, limits)?;
    let (found, _) = digest(&mut file)?;
    if !found.eq_ignore_ascii_case(sha256) {
        return Err(ArchiveError::Digest { expected: sha256.to_owned(), found });
    }
    if target.symlink_metadata().is_ok() {
        return already_unpacked(&mut file, &found, target, limits);
    }
    let parent = parent(target);
    fs_err::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new().prefix(".unpack-").tempdir_in(&parent)?;
    let root = folder.path().join("module");
    fs_err::create_dir(&root)?;
    crash::point("install.unpacking")?;
    let mut contents = walk(&mut file, limits, &mut Extract { root: root.clone() })?;
    contents.readme = readme(&mut file, limits, &contents)?;
    platform::create_new(&root.join(UNPACKED_MARKER), false)?.write_all(found.as_bytes())?;
    platform::sync_tree(&root)?;
    crash::point("install.unpacked")?;
    match fs_err::rename(&root, target) {
        Ok(()) => {
            crash::point("install.renamed")?;
            platform::sync_folder(&parent)?;
        }
        // Somebody else was first.
        Err(_) if target.is_dir() => return already_unpacked(&mut file, &found, target, limits),
        Err(error) => return Err(error.into()),
    }
    Ok(contents)
}

fn already_unpacked(
    file: &mut fs_err::File,
    sha256: &str,
    target: &Path,
    limits: &Limits,
) -> Result<Contents, ArchiveError> {
    // Written last and renamed with everything else: with it, all is there.
    let marker = fs_err::read_to_string(target.join(UNPACKED_MARKER)).map_err(|_| occupied(target))?;
    if marker != sha256 {
        return Err(occupied(target));
    }
    let mut contents = walk(file, limits, &mut Discard)?;
    contents.readme = readme(file, limits, &contents)?;
    Ok(contents)
}

fn open(archive: &Path, limits: &Limits) -> Result<fs_err::File, ArchiveError> {
    let file = fs_err::File::open(archive)?;
    let size = file.metadata()?.len();
    if size > limits.packed {
        return Err(ArchiveError::Packed { size, limit: limits.packed });
    }
    Ok(file)
}

/// What is done with an archive's entries. Paths are checked and below the top folder.
trait Sink {
    fn folder(&mut self, path: &str) -> Result<(), ArchiveError>;
    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError>;
}

struct Discard;

impl Sink for Discard {
    fn folder(&mut self, _path: &str) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn file(&mut self, _path: &str, _executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError> {
        io::copy(content, &mut io::sink()).map_err(decoding)?;
        Ok(())
    }
}

/// One digest a file.
struct Sums(Vec<[u8; 32]>);

impl Sink for Sums {
    fn folder(&mut self, _path: &str) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let (sum, _) = digest(content).map_err(decoding)?;
        if path != ARCHIVED_VCS {
            // No path has a zero byte, so that what is hashed can be read in one way only.
            self.0.push(Sha256::digest(format!("{path}\0{executable}\0{sum}")).into());
        }
        Ok(())
    }
}

/// Writes into a fresh private folder, where nothing but this has made anything that could be followed.
struct Extract {
    root: PathBuf,
}

impl Sink for Extract {
    fn folder(&mut self, path: &str) -> Result<(), ArchiveError> {
        Ok(fs_err::create_dir_all(self.root.join(path))?)
    }

    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = platform::create_new(&path, executable)?;
        let mut buffer = [0; 64 * 1024];
        loop {
            match content.read(&mut buffer).map_err(decoding)? {
                0 => return Ok(()),
                count => file.write_all(&buffer[..count])?,
            }
        }
    }
}

/// Reads the whole archive from its start; everything that is refused is refused here.
fn walk(file: &mut fs_err::File, limits: &Limits, sink: &mut dyn Sink) -> Result<Contents, ArchiveError> {
    let mut entries = entries(file, limits)?;
    let mut rules = Rules::new(limits);
    let mut manifest = None;
    let mut written = None;
    let mut files = Vec::new();
    while let Some(entry) = entries.next()? {
        let Some(path) = rules.admit(&entry)? else { continue };
        match entry.kind {
            Kind::Folder => sink.folder(path)?,
            Kind::File => {
                if [ARCHIVED_MANIFEST, MANIFEST_FILE].contains(&path) {
                    let text = read_manifest(&mut entries, &entry, limits)?;
                    match path {
                        ARCHIVED_MANIFEST => manifest = Some(parse_manifest(&text)?),
                        // One that only a later version understands is not for this one to judge.
                        _ => written = str::from_utf8(&text).ok().and_then(|text| toml::from_str(text).ok()),
                    }
                    sink.file(path, entry.executable, &mut text.as_slice())?;
                } else {
                    sink.file(path, entry.executable, &mut entries)?;
                }
                files.push(PackedFile { path: path.to_owned(), size: entry.size });
            }
        }
    }
    only_member(entries)?;
    let manifest = manifest.ok_or(ArchiveError::NoManifest)?;
    agree(written.as_ref(), &manifest)?;
    let declared = top_folder(&manifest);
    match rules.top {
        Some(folder) if folder != declared => Err(ArchiveError::OtherModule { declared, folder }),
        _ => Ok(Contents { manifest, files, unpacked: rules.unpacked, readme: None }),
    }
}

type Decoder<'a> = Capped<GzDecoder<BufReader<&'a mut fs_err::File>>>;

fn entries<'a>(file: &'a mut fs_err::File, limits: &Limits) -> Result<Entries<Decoder<'a>>, ArchiveError> {
    file.rewind()?;
    let packed = file.metadata()?.len();
    let decoder = GzDecoder::new(BufReader::with_capacity(64 * 1024, file));
    Ok(Entries::new(Capped::new(decoder, packed, limits)))
}

/// After the end of the tar: the end of the file, and of nothing before it.
fn only_member(entries: Entries<Decoder<'_>>) -> Result<(), ArchiveError> {
    let mut rest = entries.into_inner().inner.into_inner();
    match rest.fill_buf()? {
        [] => Ok(()),
        [0x1f, 0x8b, ..] => Err(ArchiveError::SecondMember),
        _ => Err(ArchiveError::TrailingBytes),
    }
}

/// A decoder that gives no more than an archive may hold, however its headers declare it.
struct Capped<R> {
    inner: R,
    left: u64,
    exceeded: Exceeded,
}

impl<R: Read> Capped<R> {
    fn new(inner: R, packed: u64, limits: &Limits) -> Self {
        // Headers, with long names and padding, come on top of what the files have.
        let headers = (limits.files as u64 + 16).saturating_mul(8 * 1024);
        let by_size = limits.unpacked.saturating_add(headers);
        let by_ratio = limits.ratio_from.max(packed.saturating_mul(limits.ratio));
        let (left, exceeded) = if by_ratio < by_size {
            (by_ratio, Exceeded::Ratio(limits.ratio))
        } else {
            (by_size, Exceeded::Unpacked(limits.unpacked))
        };
        Capped { inner, left, exceeded }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(self.exceeded))?;
        Ok(count)
    }
}

/// What has been seen of an archive, and what may still come.
struct Rules<'a> {
    limits: &'a Limits,
    names: Names,
    top: Option<String>,
    top_entry: bool,
    unpacked: u64,
}

impl<'a> Rules<'a> {
    fn new(limits: &'a Limits) -> Self {
        Rules { limits, names: Names::default(), top: None, top_entry: false, unpacked: 0 }
    }

    /// The entry's path below the top folder, or nothing when it is the top folder itself.
    fn admit<'e>(&mut self, entry: &'e Entry) -> Result<Option<&'e str>, ArchiveError> {
        let path = || shown(&entry.path);
        paths::check_form(&entry.path).map_err(|fault| ArchiveError::Path { path: path(), fault })?;
        let (top, below) = match entry.path.split_once('/') {
            Some((top, below)) => (top, Some(below)),
            None if entry.kind == Kind::Folder => (entry.path.as_str(), None),
            None => return Err(ArchiveError::NoTopFolder { path: path() }),
        };
        match &self.top {
            None => self.top = Some(top.to_owned()),
            Some(first) if first != top => {
                return Err(ArchiveError::TwoTopFolders { first: shown(first), second: shown(top) });
            }
            Some(_) => {}
        }
        let Some(below) = below else {
            return match std::mem::replace(&mut self.top_entry, true) {
                true => Err(ArchiveError::Duplicate { path: path() }),
                false => Ok(None),
            };
        };
        paths::check(below, self.limits).map_err(|fault| ArchiveError::Path { path: path(), fault })?;
        self.names.add(below, entry.kind == Kind::Folder).map_err(|clash| match clash {
            Clash::Duplicate => ArchiveError::Duplicate { path: path() },
            Clash::Fold(first) => ArchiveError::Collision { first: shown(&first), second: shown(below) },
            Clash::FileAndFolder => ArchiveError::FileAndFolder { path: path() },
        })?;
        // Also the folders that have no entry of their own: unpacking makes them all the same.
        if self.names.len() > self.limits.files {
            return Err(ArchiveError::TooMany { limit: self.limits.files });
        }
        if below == UNPACKED_MARKER {
            return Err(ArchiveError::Reserved);
        }
        for expected in [ARCHIVED_MANIFEST, MANIFEST_FILE] {
            if below != expected && below.eq_ignore_ascii_case(expected) {
                return Err(ArchiveError::ManifestName { path: shown(below), expected });
            }
        }
        if entry.size > self.limits.file {
            return Err(ArchiveError::File { path: path(), size: entry.size, limit: self.limits.file });
        }
        self.unpacked = self.unpacked.saturating_add(entry.size);
        if self.unpacked > self.limits.unpacked {
            return Err(ArchiveError::Unpacked { limit: self.limits.unpacked });
        }
        Ok(Some(below))
    }
}

/// Whether an archive of these files would be admitted: the packer asks before it writes.
pub(super) fn admit<'p>(
    top: &str,
    files: impl Iterator<Item = (&'p str, u64)>,
    limits: &Limits,
) -> Result<(), ArchiveError> {
    let mut rules = Rules::new(limits);
    for (path, size) in files {
        let entry = Entry { path: format!("{top}/{path}"), kind: Kind::File, executable: false, size };
        rules.admit(&entry)?;
    }
    Ok(())
}

fn read_manifest(content: &mut impl Read, entry: &Entry, limits: &Limits) -> Result<Vec<u8>, ArchiveError> {
    if entry.size > limits.manifest {
        return Err(ArchiveError::File { path: shown(&entry.path), size: entry.size, limit: limits.manifest });
    }
    let mut text = Vec::new();
    content.read_to_end(&mut text).map_err(decoding)?;
    Ok(text)
}

fn parse_manifest(text: &[u8]) -> Result<Manifest, ArchiveError> {
    let invalid = |reason: String| ArchiveError::Manifest { reason };
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| invalid(shown(&error.to_string())))?;
    if !manifest.version.build.is_empty() {
        return Err(invalid(format!("the version {} has build metadata", manifest.version)));
    }
    if manifest.version.to_string().len() > 64 {
        return Err(invalid("the version is longer than 64 characters".to_owned()));
    }
    paths::check(&manifest.entrypoint, &Limits::default())
        .map_err(|fault| invalid(format!("the entrypoint `{}` {fault}", shown(&manifest.entrypoint))))?;
    let keywords = manifest.keywords.iter().map(|keyword| keyword.chars().count()).sum();
    for (what, found, limit) in [
        ("characters in its description", manifest.description.chars().count(), MAX_DESCRIPTION),
        ("characters in its keywords", keywords, MAX_KEYWORDS),
        ("dependencies", manifest.dependencies.len(), MAX_DEPENDENCIES),
    ] {
        if found > limit {
            return Err(invalid(format!("it has {found} {what}, more than {limit}")));
        }
    }
    for (id, dependency) in &manifest.dependencies {
        let place = match (&dependency.path, &dependency.git) {
            (Some(_), _) => "is a folder",
            (None, Some(_)) => "is in git",
            (None, None) => continue,
        };
        return Err(invalid(format!("the dependency `{id}` {place}")));
    }
    Ok(manifest)
}

/// What `napt.toml` says of the module's identity is what the complete manifest says, so that no reader of the one can
/// be told something else than readers of the other.
fn agree(written: Option<&ManifestFile>, complete: &Manifest) -> Result<(), ArchiveError> {
    let Some(table) = written.and_then(|file| file.module.as_ref()) else { return Ok(()) };
    let name = table.name.as_ref().map(|name| name.replace('-', "_"));
    let said = [
        ("type", Some(table.module_type.to_string()), complete.id.module_type.to_string()),
        ("name", name, complete.id.name.to_string()),
        ("version", table.version.clone(), complete.version.to_string()),
    ];
    for (key, written, complete) in said {
        if let Some(written) = written.filter(|written| *written != complete) {
            return Err(ArchiveError::Disagree { key, written: shown(&written), complete });
        }
    }
    Ok(())
}

/// The readme's text, from an archive that has been checked.
fn readme(file: &mut fs_err::File, limits: &Limits, contents: &Contents) -> Result<Option<String>, ArchiveError> {
    let name = contents.manifest.readme.as_deref().unwrap_or(DEFAULT_README);
    let name = name.strip_prefix("./").unwrap_or(name);
    if !contents.files.iter().any(|file| file.path == name) {
        return Ok(None);
    }
    let mut entries = entries(file, limits)?;
    while let Some(entry) = entries.next()? {
        if entry.kind == Kind::File && entry.path.split_once('/').is_some_and(|(_, below)| below == name) {
            let mut text = Vec::new();
            entries.by_ref().take(MAX_README).read_to_end(&mut text).map_err(decoding)?;
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}
