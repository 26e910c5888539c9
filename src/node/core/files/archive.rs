//! Zip files of strangers in, and folders out as zip files.

use std::{
    collections::HashSet,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::checked;

/// Entries of a zip file.
const MAX_ENTRIES: u16 = 20_000;

/// How many times its own size a zip file may unpack to, once that is more than [`RATIO_FROM`].
const RATIO: u64 = 100;

/// Below so many bytes no ratio is too large.
const RATIO_FROM: u64 = 64 << 20;

/// Bytes of the record at a zip file's end, and of its comment.
const END: u64 = 22;
const MAX_COMMENT: u64 = 1 << 16;

/// Bytes of a folder that are sent at once.
const CHUNK: usize = 64 << 10;

/// Why a zip file is not unpacked.
#[derive(Debug)]
pub(super) enum Refused {
    /// The user has no room for it.
    Quota,
    /// Something is wrong with it.
    Archive(String),
    /// The disk failed.
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused::Io(error)
    }
}

fn refused(reason: impl Into<String>) -> Refused {
    Refused::Archive(reason.into())
}

/// How many entries a zip file has, by the record at its end: before a reader takes them all into memory.
fn entries(file: &mut fs_err::File) -> Result<u16, Refused> {
    let size = file.metadata()?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(END + MAX_COMMENT + 20)))?;
    file.read_to_end(&mut tail)?;
    let no_zip = || refused("it is no zip file");
    let at = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").ok_or_else(no_zip)?;
    let number = |from: usize| Some(u16::from_le_bytes([*tail.get(at + from)?, *tail.get(at + from + 1)?]));
    let (count, comment) = (number(10).ok_or_else(no_zip)?, number(20).ok_or_else(no_zip)?);
    if at + END as usize + usize::from(comment) != tail.len() {
        return Err(refused("something follows its end"));
    }
    if at >= 20 && tail[at - 20..].starts_with(b"PK\x06\x07") {
        return Err(refused("it is of the kind for more than 65,535 files (zip64)"));
    }
    file.rewind()?;
    Ok(count)
}

/// Unpacks a zip file into an empty folder, as long as there is room for so many bytes and files.
pub(super) fn unpack(archive: &Path, into: &Path, (bytes, files): (u64, usize)) -> Result<(), Refused> {
    let mut file = fs_err::File::open(archive)?;
    let packed = file.metadata()?.len();
    if entries(&mut file)? > MAX_ENTRIES {
        return Err(refused(format!("it has more than {MAX_ENTRIES} entries")));
    }
    let unreadable = |error: zip::result::ZipError| refused(error.to_string());
    let mut archive = ZipArchive::new(file).map_err(unreadable)?;
    let by_ratio = RATIO_FROM.max(packed.saturating_mul(RATIO));
    let mut left = bytes.min(by_ratio);
    let mut seen = HashSet::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let path = str::from_utf8(entry.name_raw()).map_err(|_| refused("a name in it is not UTF-8"))?.to_owned();
        let shown: String = path.chars().filter(|c| !c.is_control()).take(80).collect();
        let below = checked(&path).map_err(|error| refused(error.to_string()))?;
        if below.is_empty() {
            return Err(refused("it has an entry without a name"));
        }
        if !seen.insert(below.to_owned()) {
            return Err(refused(format!("`{shown}` is in it twice")));
        }
        if seen.len() > files {
            return Err(Refused::Quota);
        }
        let target = into.join(below);
        let clash = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                refused(format!("`{shown}` is a file and a folder in it"))
            }
            _ => Refused::Io(error),
        };
        if entry.is_dir() {
            fs_err::create_dir_all(target).map_err(clash)?;
            continue;
        }
        if entry.is_symlink() || !entry.is_file() {
            return Err(refused(format!("`{shown}` in it is a link")));
        }
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder).map_err(clash)?;
        }
        let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(&target).map_err(clash)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count =
                entry.read(&mut buffer).map_err(|error| refused(format!("`{shown}` in it is damaged: {error}")))?;
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| match by_ratio < bytes {
                true => refused(format!("it unpacks to more than {RATIO} times its size")),
                false => Refused::Quota,
            })?;
            file.write_all(&buffer[..count])?;
        }
        file.sync_all()?;
    }
    Ok(())
}

/// Hands what is written to a channel, in chunks.
struct Chunks {
    to: Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.buffer).into();
        self.to.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// These files as a zip file, as it is made: at no time is all of it in memory or on the disk.
pub(in crate::node) fn pack(files: Vec<(String, PathBuf)>) -> Receiver<io::Result<Bytes>> {
    let (to, from) = channel(4);
    tokio::task::spawn_blocking(move || {
        let chunks = Chunks { to: to.clone(), buffer: Vec::new() };
        if let Err(error) = write(files, chunks) {
            // Nobody may be listening any more; that is the most common error.
            let _ = to.blocking_send(Err(error));
        }
    });
    from
}

fn write(files: Vec<(String, PathBuf)>, chunks: Chunks) -> io::Result<()> {
    let mut archive = ZipWriter::new_stream(chunks);
    for (name, place) in files {
        let mut file = fs_err::File::open(place)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(file.metadata()?.len() >= u64::from(u32::MAX));
        archive.start_file(name, options).map_err(io::Error::other)?;
        io::copy(&mut file, &mut archive)?;
    }
    archive.finish().map_err(io::Error::other)?.into_inner().flush()
}
