//! The archive's bytes: the same for the same files, on any machine.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::{
    PackageError, PackedFile,
    secrets::{self, AllowedSecret, Finding, Scanner},
    tree::{self, Source},
};
use crate::report::Reporter;

/// Every entry's time: some programs take times before 1980 for an error.
const MTIME: u64 = 1_000_000_000;
/// Part of the format: another level gives other bytes.
const LEVEL: u32 = 6;
/// The gzip header's "unknown" operating system.
const GZIP_OS_UNKNOWN: u8 = 255;
const BLOCK: usize = 512;

/// Writes the tar through gzip, and looks for secrets in the very bytes that it writes.
pub(super) struct Writer<'a> {
    output: GzEncoder<Hashing<'a>>,
    top: String,
    buffer: Vec<u8>,
    pub(super) files: Vec<PackedFile>,
    pub(super) findings: Vec<Finding>,
    /// Files in which secrets are allowed.
    allowed_files: &'a [String],
    pub(super) allowed: Vec<AllowedSecret>,
    reporter: &'a dyn Reporter,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        file: &'a mut std::fs::File,
        top: String,
        allowed_files: &'a [String],
        reporter: &'a dyn Reporter,
    ) -> Self {
        let hashing = Hashing { file, hasher: Sha256::new(), size: 0 };
        let output =
            GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN).write(hashing, Compression::new(LEVEL));
        Writer {
            output,
            top,
            buffer: vec![0; 64 * 1024],
            files: Vec::new(),
            findings: Vec::new(),
            allowed_files,
            allowed: Vec::new(),
            reporter,
        }
    }

    pub(super) fn source(&mut self, source: &Source) -> Result<(), PackageError> {
        let (mut file, size, executable) = tree::open(source)?;
        let known = self.findings.len();
        self.file(&source.path, &mut file, size, executable)?;
        let mut found = self.findings.split_off(known);
        self.allowed.extend(secrets::allow(&mut found, &source.on_disk, self.allowed_files)?);
        self.findings.append(&mut found);
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        size: u64,
        executable: bool,
    ) -> Result<(), PackageError> {
        self.header(path, size, executable)?;
        let mut scanner = Scanner::new(path);
        let mut left = size;
        while left > 0 {
            if self.reporter.is_interrupted() {
                return Err(PackageError::Interrupted);
            }
            // Always whole chunks, so that the encoder's output cannot depend on how the disk answers.
            let wanted = usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            let chunk = &mut self.buffer[..wanted];
            content.read_exact(chunk).map_err(|error| changed(path, error))?;
            scanner.feed(chunk);
            self.output.write_all(chunk)?;
            left -= wanted as u64;
        }
        if content.read(&mut self.buffer[..1])? != 0 {
            return Err(PackageError::Changed(path.to_owned()));
        }
        self.pad(size)?;
        self.findings.extend(scanner.finish());
        self.files.push(PackedFile { path: path.to_owned(), size });
        Ok(())
    }

    fn header(&mut self, path: &str, size: u64, executable: bool) -> Result<(), PackageError> {
        let path = format!("{}/{path}", self.top);
        let mut header = new_header(if executable { 0o755 } else { 0o644 }, size);
        if header.set_path(&path).is_err() {
            // Too long for ustar's name and prefix.
            let record = pax_path(&path);
            let mut extension = new_header(0o644, record.len() as u64);
            extension.set_entry_type(tar::EntryType::XHeader);
            extension.set_path("PaxHeader")?;
            extension.set_cksum();
            self.output.write_all(extension.as_bytes())?;
            self.output.write_all(record.as_bytes())?;
            self.pad(record.len() as u64)?;
            header.set_path("PaxHeader")?;
        }
        header.set_cksum();
        Ok(self.output.write_all(header.as_bytes())?)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.output.write_all(&[0; BLOCK][..padding as usize])
    }

    /// Ends the tar and the gzip; gives the archive's digest and size.
    pub(super) fn finish(mut self) -> io::Result<(String, u64)> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        let hashing = self.output.finish()?;
        Ok((hex::encode(hashing.hasher.finalize()), hashing.size))
    }
}

fn changed(path: &str, error: io::Error) -> PackageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => PackageError::Changed(path.to_owned()),
        _ => error.into(),
    }
}

fn new_header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(size);
    header
}

/// The PAX record `LENGTH path=PATH\n`, whose length counts its own digits.
fn pax_path(path: &str) -> String {
    let rest = format!(" path={path}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

/// A file whose digest is known when it is written.
struct Hashing<'a> {
    file: &'a mut std::fs::File,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_is_not_as_long_as_its_header_says_is_refused() {
        for (content, written) in [("four", true), ("six...", false), ("two", false)] {
            let mut file = tempfile::tempfile().expect("a temporary file");
            let mut writer = Writer::new(&mut file, "agent-x-1.0.0".to_owned(), &[], &crate::report::Silent);
            let result = writer.file("a.txt", &mut content.as_bytes(), 4, false);
            assert_eq!(result.is_ok(), written, "{content}");
            if let Err(error) = result {
                assert_eq!(error.to_string(), "`a.txt` changed while it was packaged");
            }
        }
    }
}
