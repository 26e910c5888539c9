//! What is kept of registries' answers. Several processes may use one folder: files appear complete or not at all, carry
//! the digest of what they hold, and are dropped when that does not fit.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use napt_registry_client::ModuleDetails;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::module::ModuleId;

/// Version of the files' format.
const FORMAT: u32 = 1;

/// A folder with what can be asked for again.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// An answer as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) etag: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The first line of a file; the answer follows it.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    registry: String,
    etag: Option<String>,
    sha256: String,
}

impl Cache {
    /// A cache in this folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Cache { folder: folder.into() }
    }

    /// Where an archive with this digest is, or is to be.
    pub(super) fn archive(&self, sha256: &str) -> std::io::Result<PathBuf> {
        // It may come from a lock file, which anybody may have written, and becomes a file's name.
        if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            let what = format!("`{}` is not the SHA-256 of an archive", sha256.escape_debug());
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
        }
        let folder = self.folder.join("archives");
        fs_err::create_dir_all(&folder)?;
        Ok(folder.join(format!("{sha256}.napt")))
    }

    pub(super) fn index(&self, registry: &str, id: &ModuleId) -> Option<Kept> {
        read(&self.path("index", registry, id), registry)
    }

    pub(super) fn keep_index(&self, registry: &str, id: &ModuleId, kept: &Kept) {
        keep(&self.path("index", registry, id), registry, kept);
    }

    pub(super) fn forget_index(&self, registry: &str, id: &ModuleId) {
        // It may never have been there; and what is read offline by mistake is only out of date.
        let _ = fs_err::remove_file(self.path("index", registry, id));
    }

    pub(super) fn details(&self, registry: &str, id: &ModuleId) -> Option<ModuleDetails> {
        serde_json::from_slice(&read(&self.path("details", registry, id), registry)?.body).ok()
    }

    pub(super) fn keep_details(&self, registry: &str, id: &ModuleId, details: &ModuleDetails) {
        if let Ok(body) = serde_json::to_vec(details) {
            keep(&self.path("details", registry, id), registry, &Kept { etag: None, body });
        }
    }

    fn path(&self, what: &str, registry: &str, id: &ModuleId) -> PathBuf {
        let registry = &hex::encode(Sha256::digest(registry))[..16];
        self.folder.join(what).join(registry).join(id.module_type.as_str()).join(id.name.as_str())
    }
}

fn read(path: &Path, registry: &str) -> Option<Kept> {
    let bytes = fs_err::read(path).ok()?;
    let kept = parse(&bytes, registry);
    if kept.is_none() {
        // Cut short, or of another version of napt.
        let _ = fs_err::remove_file(path);
    }
    kept
}

fn parse(bytes: &[u8], registry: &str) -> Option<Kept> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let body = &bytes[end + 1..];
    let is_good =
        head.format == FORMAT && head.registry == registry && head.sha256 == hex::encode(Sha256::digest(body));
    is_good.then(|| Kept { etag: head.etag, body: body.to_vec() })
}

/// A cache that cannot be written is slow, not wrong.
fn keep(path: &Path, registry: &str, kept: &Kept) {
    if let Err(error) = write(path, registry, kept) {
        tracing::debug!(path = %path.display(), %error, "not kept");
    }
}

fn write(path: &Path, registry: &str, kept: &Kept) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let head = Head {
        format: FORMAT,
        registry: registry.to_owned(),
        etag: kept.etag.clone(),
        sha256: hex::encode(Sha256::digest(&kept.body)),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, &head)?;
    file.write_all(b"\n")?;
    file.write_all(&kept.body)?;
    // Not synced: what a loss of power leaves of it does not fit its digest.
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_becomes_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::new(folder.path());
        assert!(cache.archive(&"0a".repeat(32)).is_ok());
        for bad in ["../../x", "", &"0A".repeat(32), &format!("{}/..", "0a".repeat(30))] {
            assert!(cache.archive(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_kept_comes_back_and_what_is_damaged_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::new(folder.path());
        let id: ModuleId = "agent:a".parse().expect("an id");
        let kept = Kept { etag: Some("\"1\"".to_owned()), body: b"{}\n{}\n".to_vec() };
        assert_eq!(cache.index("http://r", &id), None);
        let path = cache.path("index", "http://r", &id);
        cache.keep_index("http://r", &id, &kept);
        let good = fs_err::read(&path).expect("a file");
        assert_eq!(cache.index("http://other", &id), None);
        for at in 0..good.len() {
            for bad in [good[..at].to_vec(), [&good[..at], &[good[at] ^ 1], &good[at + 1..]].concat()] {
                fs_err::write(&path, &bad).expect("a file");
                let found = cache.index("http://r", &id);
                // The ETag alone is not covered by the digest: a wrong one only costs the download.
                assert!(found.as_ref().is_none_or(|found| found.body == kept.body), "{at}");
                assert_eq!(path.exists(), found.is_some(), "{at}");
            }
        }
        cache.keep_index("http://r", &id, &kept);
        assert_eq!(cache.index("http://r", &id), Some(kept));
        cache.forget_index("http://r", &id);
        assert_eq!(cache.index("http://r", &id), None);
    }
}
