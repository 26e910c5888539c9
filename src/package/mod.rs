//! Project in, archive out; archive in, contents out.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    module::{Manifest, Project},
    report::{Fault, Reporter},
};

/// How large an archive may be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the archive.
    pub packed: u64,
    /// Bytes of its files.
    pub unpacked: u64,
    /// Number of its files.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { packed: 50 << 20, unpacked: 500 << 20, files: 20_000 }
    }
}

/// A packed module.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The archive.
    pub path: PathBuf,
    /// Its file name.
    pub file_name: String,
    /// Its digest.
    pub sha256: String,
    /// Its size.
    pub size: u64,
    /// Size of its files.
    pub unpacked: u64,
    /// Its files.
    pub files: Vec<PackedFile>,
    /// Its manifest.
    pub manifest: Manifest,
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct PackedFile {
    /// Below the top folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// What an archive holds.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<PackedFile>,
    /// Size of its files.
    pub unpacked: u64,
    /// Its README.
    pub readme: Option<String>,
}

/// Why a project cannot be packed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PackageError(#[from] std::io::Error);
impl Fault for PackageError {}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It has no manifest.
    #[error("no manifest")]
    Manifest,
}
impl Fault for ArchiveError {}

/// Packs a project.
pub fn pack(project: &Project, into: &Path, _reporter: &dyn Reporter) -> Result<Packed, PackageError> {
    let manifest = project.manifest.clone();
    let file_name = format!("{}-{}.napt", manifest.id.name, manifest.version);
    let path = into.join(&file_name);
    let top = format!("{}-{}-{}", manifest.id.module_type, manifest.id.name, manifest.version);
    let gz = flate2::GzBuilder::new().write(fs_err::File::create(&path)?, flate2::Compression::default());
    let mut tar = tar::Builder::new(gz);
    let text = serde_json::to_vec(&manifest).map_err(std::io::Error::other)?;
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("{top}/.napt/manifest.json"), &text[..])?;
    tar.append_path_with_name(project.root.join("napt.toml"), format!("{top}/napt.toml"))?;
    tar.into_inner()?.finish()?;
    let (sha256, size) = sha256_file(&path)?;
    Ok(Packed { path, file_name, sha256, size, unpacked: 0, files: Vec::new(), manifest })
}

/// Reads an archive.
pub fn inspect(archive: &Path, _limits: &Limits) -> Result<Contents, ArchiveError> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs_err::File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with(".napt/manifest.json") {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let manifest = serde_json::from_str(&text).map_err(|_| ArchiveError::Manifest)?;
            return Ok(Contents { manifest, files: Vec::new(), unpacked: 0, readme: None });
        }
    }
    Err(ArchiveError::Manifest)
}

/// A file's digest and size.
pub fn sha256_file(path: &Path) -> std::io::Result<(String, u64)> {
    let bytes = fs_err::read(path)?;
    Ok((hex::encode(Sha256::digest(&bytes)), bytes.len() as u64))
}
