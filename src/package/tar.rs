//! A strict reader of tar. What two readers could understand differently is refused: there is one way to say each
//! thing, and nothing is repaired or skipped.

use std::io::{self, Read};

use super::error::{ArchiveError, decoding, shown_bytes};

const BLOCK: usize = 512;
/// Bytes of a long name or of a PAX header.
const MAX_EXTENSION: u64 = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// The header of a file or folder.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it stands in the archive, without a folder's final `/`.
    pub path: String,
    pub kind: Kind,
    pub executable: bool,
    /// What the header says; the reader gives exactly so many bytes, or fails.
    pub size: u64,
}

/// The entries of a tar, and through [`Read`] the content of the one that was last given out.
#[derive(Debug)]
pub(super) struct Entries<R> {
    input: R,
    at: u64,
    content: u64,
    padding: u64,
}

/// A path that an extension header gives to the entry after it.
struct LongPath(Vec<u8>);

impl<R: Read> Entries<R> {
    pub(super) fn new(input: R) -> Self {
        Entries { input, at: 0, content: 0, padding: 0 }
    }

    /// What is behind the tar.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// The next entry, after what is left of the last one's content; `None` after the end, which is checked too.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_content()?;
        let mut extension: Option<Extension> = None;
        loop {
            let at = self.at;
            let header = Header(self.block()?);
            if header.is_zero() {
                if extension.is_some() {
                    return Err(ArchiveError::Extension { at, reason: "is not followed by a file".to_owned() });
                }
                self.finish()?;
                return Ok(None);
            }
            header.check(at)?;
            let size = header.number(at, 124..136, "has a size that is not an octal number")?;
            match header.type_flag() {
                b'x' | b'L' if extension.is_some() => {
                    return Err(ArchiveError::Extension { at, reason: "follows another one".to_owned() });
                }
                b'x' => extension = Some(self.pax(at, size)?),
                b'L' => extension = Some(Extension { path: Some(self.long_name(at, size)?), size: None }),
                b'g' => {
                    return Err(ArchiveError::Extension { at, reason: "is a global PAX header".to_owned() });
                }
                flag => return self.entry(at, &header, flag, size, extension).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        at: u64,
        header: &Header,
        flag: u8,
        size: u64,
        extension: Option<Extension>,
    ) -> Result<Entry, ArchiveError> {
        let Extension { path, size: pax_size } = extension.unwrap_or_default();
        let mut path = path.map_or_else(|| header.path(), |LongPath(path)| path);
        let kind = match flag {
            b'0' | 0 => Ok(Kind::File),
            b'5' => Ok(Kind::Folder),
            b'1' => Err("a hard link"),
            b'2' => Err("a symbolic link"),
            b'3' => Err("a character device"),
            b'4' => Err("a block device"),
            b'6' => Err("a named pipe"),
            b'7' => Err("a contiguous file"),
            b'S' => Err("a sparse file"),
            b'K' => Err("the long target of a link"),
            b'M' => Err("a part of another volume"),
            b'V' => Err("a volume label"),
            b'D' => Err("a dumped folder"),
            _ => Err("of an unknown type"),
        };
        let kind = kind.map_err(|kind| ArchiveError::Kind { path: shown_bytes(&path), kind })?;
        if pax_size.is_some_and(|said| said != size) {
            return Err(ArchiveError::Extension { at, reason: "has a size other than its file's header".to_owned() });
        }
        let mode = header.number(at, 100..108, "has a mode that is not an octal number")?;
        if mode & 0o7000 != 0 {
            return Err(ArchiveError::Mode { path: shown_bytes(&path), mode: (mode & 0o7777) as u32 });
        }
        if kind == Kind::Folder {
            if size != 0 {
                return Err(ArchiveError::FolderContent { path: shown_bytes(&path) });
            }
            if path.last() == Some(&b'/') {
                path.pop();
            }
        }
        let path =
            String::from_utf8(path).map_err(|error| ArchiveError::NotUtf8 { path: shown_bytes(error.as_bytes()) })?;
        self.content = size;
        self.padding = padding(size);
        Ok(Entry { path, kind, executable: mode & 0o111 != 0, size })
    }

    /// The content of an extension header; its size is limited before anything is allocated.
    fn extension(&mut self, at: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENSION {
            return Err(ArchiveError::Extension { at, reason: format!("has more than {MAX_EXTENSION} bytes") });
        }
        let mut content = Vec::new();
        self.content = size;
        self.padding = padding(size);
        io::copy(self, &mut content).map_err(decoding)?;
        self.skip_content()?;
        Ok(content)
    }

    fn long_name(&mut self, at: u64, size: u64) -> Result<LongPath, ArchiveError> {
        let mut name = self.extension(at, size)?;
        if name.pop() != Some(0) || name.is_empty() || name.contains(&0) {
            return Err(ArchiveError::Extension { at, reason: "does not hold one name".to_owned() });
        }
        Ok(LongPath(name))
    }

    fn pax(&mut self, at: u64, size: u64) -> Result<Extension, ArchiveError> {
        let malformed = || ArchiveError::Extension { at, reason: "has a malformed PAX record".to_owned() };
        let content = self.extension(at, size)?;
        let mut extension = Extension::default();
        let mut mtime = false;
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let length: usize = std::str::from_utf8(&rest[..digits])
                .ok()
                .filter(|digits| !digits.starts_with('0'))
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(malformed)?;
            let record = rest.get(digits..length).ok_or_else(malformed)?;
            rest = &rest[length..];
            let record = record.strip_prefix(b" ").and_then(|r| r.strip_suffix(b"\n")).ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let fresh = match key {
                b"path" if value.is_empty() || value.contains(&0) => return Err(malformed()),
                b"path" => extension.path.replace(LongPath(value.to_owned())).is_none(),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    extension.size.replace(size.ok_or_else(malformed)?).is_none()
                }
                b"mtime" => !std::mem::replace(&mut mtime, true),
                _ => {
                    let reason = format!("has the PAX key `{}`, which is not allowed", shown_bytes(key));
                    return Err(ArchiveError::Extension { at, reason });
                }
            };
            if !fresh {
                let reason = format!("has the PAX key `{}` twice", shown_bytes(key));
                return Err(ArchiveError::Extension { at, reason });
            }
        }
        Ok(extension)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(decoding)?;
        self.at += BLOCK as u64;
        Ok(block)
    }

    fn skip_content(&mut self) -> Result<(), ArchiveError> {
        io::copy(self, &mut io::sink()).map_err(decoding)?;
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..std::mem::take(&mut self.padding) as usize];
        self.input.read_exact(padding).map_err(decoding)?;
        self.at += padding.len() as u64;
        Ok(())
    }

    /// After the first zero block: a second one, then nothing but zeros.
    fn finish(&mut self) -> Result<(), ArchiveError> {
        if !Header(self.block()?).is_zero() {
            return Err(ArchiveError::TrailingData);
        }
        let mut buffer = [0; 8 * 1024];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer[..count].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(ArchiveError::TrailingData),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(decoding(error)),
            }
        }
    }
}

/// The content of the last entry. An end before its declared size is an error.
impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= count as u64;
        self.at += count as u64;
        Ok(count)
    }
}

#[derive(Default)]
struct Extension {
    path: Option<LongPath>,
    size: Option<u64>,
}

/// One header block.
struct Header([u8; BLOCK]);

impl Header {
    fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The checksum, then that it is ustar or GNU's.
    fn check(&self, at: u64) -> Result<(), ArchiveError> {
        let sum: u64 = self
            .0
            .iter()
            .enumerate()
            .map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u64::from(*byte) })
            .sum();
        if self.number(at, 148..156, "has a checksum that is not an octal number")? != sum {
            return Err(ArchiveError::Checksum { at });
        }
        match &self.0[257..265] {
            b"ustar\x0000" | b"ustar  \0" => Ok(()),
            _ => Err(ArchiveError::Header { at, reason: "is neither ustar nor GNU" }),
        }
    }

    fn number(&self, at: u64, range: std::ops::Range<usize>, reason: &'static str) -> Result<u64, ArchiveError> {
        let field = &self.0[range];
        let field = &field[field.iter().take_while(|byte| **byte == b' ').count()..];
        let end = field.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(field.len());
        let (digits, rest) = field.split_at(end);
        let clean = rest.iter().all(|byte| matches!(byte, 0 | b' '));
        std::str::from_utf8(digits)
            .ok()
            .filter(|digits| clean && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| u64::from_str_radix(digits, 8).ok())
            .ok_or(ArchiveError::Header { at, reason })
    }

    /// Name, and in ustar the prefix before it.
    fn path(&self) -> Vec<u8> {
        let until_nul = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let name = until_nul(&self.0[..100]);
        let prefix = if &self.0[257..265] == b"ustar\x0000" { until_nul(&self.0[345..500]) } else { Vec::new() };
        if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}
