//! A look through the data of a registry that does not run: whether its records, its index and its archives agree.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use napt_registry_client::IndexEntry;

use super::{
    DATABASE, RegistryError, lock,
    store::{Records, VersionRecord, index_deps, runtime_text},
};
use crate::{
    module::Manifest,
    package::{self, Limits},
    report::Inspection,
};

/// Looks through a registry's folder, and with `repair` removes what is of no use. It never changes a record, nor an
/// archive that has one.
pub async fn fsck(data: &Path, repair: bool) -> Result<Inspection, RegistryError> {
    if !data.join(DATABASE).is_file() {
        return Err(RegistryError::NotARegistry(data.to_owned()));
    }
    // Held to the end, so that no registry starts meanwhile.
    let _lock = lock(data)?;
    let mut found = Inspection::default();
    let recorded = match records(data, &mut found).await {
        Ok(recorded) => recorded,
        Err(error) => {
            // Without the records nobody can say which archives are of no use.
            found.problem("database", DATABASE, format!("it cannot be read: {error}"));
            return Ok(found);
        }
    };
    let is_clean = found.problems.is_empty();
    for path in leftovers(data, &recorded, &mut found)? {
        // A damaged database may have lost the record of a good archive.
        if repair && is_clean {
            fs_err::remove_file(&path)?;
            found.removed.push(below(&path, data));
        }
    }
    Ok(found)
}

/// Judges all records; gives the digests that they name.
async fn records(data: &Path, found: &mut Inspection) -> Result<BTreeSet<String>, super::StoreError> {
    let mut records = Records::open(&data.join(DATABASE)).await?;
    for damage in records.damage().await? {
        found.problem("database", DATABASE, damage);
    }
    for dangling in records.dangling().await? {
        found.problem("dangling-row", DATABASE, format!("a row points at one that is not there: {dangling}"));
    }
    let mut recorded = BTreeSet::new();
    for version in records.versions().await? {
        found.count("versions");
        match version {
            Ok(version) => {
                judge(data, &version, found);
                recorded.insert(version.entry.sha256);
            }
            Err(error) => found.problem("bad-row", DATABASE, error),
        }
    }
    for module in records.modules().await? {
        found.count("modules");
        if module.owners == 0 {
            found.problem("no-owner", &module.id, "nobody owns it, so nobody can publish or yank its versions");
        }
        match &module.highest {
            None if module.is_pointer => {}
            None => found.problem("no-version", &module.id, "it has no version"),
            Some(_) if module.is_pointer => {
                found.problem("shadowed", &module.id, "it has versions here and points elsewhere as well");
            }
            Some(highest) if *highest != module.shown => {
                let message = format!("search shows version {}, but its highest is {highest}", module.shown);
                found.problem("stale-summary", &module.id, message);
            }
            Some(_) => {}
        }
    }
    Ok(recorded)
}

/// Whether a version's archive is there, whole, and says what the records say.
fn judge(data: &Path, version: &VersionRecord, found: &mut Inspection) {
    let entry = &version.entry;
    let name = format!("{}:{}@{}", entry.module_type, entry.name, entry.version);
    let path = place(data, &entry.sha256);
    let size = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => return found.problem("blob-missing", name, format!("its archive {} is not there", entry.sha256)),
    };
    if size != entry.size {
        let message = format!("its archive {} has {size} bytes, the records say {}", entry.sha256, entry.size);
        return found.problem("blob-size", name, message);
    }
    match package::sha256_file(&path) {
        Ok((digest, _)) if digest == entry.sha256 => {}
        Ok((digest, _)) => {
            let message = format!("its archive {} has changed: its sha256 is {digest}", entry.sha256);
            return found.problem("blob-damaged", name, message);
        }
        Err(error) => return found.problem("blob-unreadable", name, error),
    }
    match package::inspect(&path, &Limits::default()) {
        Ok(contents) => {
            for key in differences(version, &contents.manifest, contents.readme.as_deref()) {
                let message = format!("its records have another `{key}` than its archive");
                found.problem("record-differs", &name, message);
            }
        }
        Err(error) => found.problem("archive-refused", name, error),
    }
}

/// What the index and the records say otherwise than the archive, from which all of it was derived.
fn differences(version: &VersionRecord, manifest: &Manifest, readme: Option<&str>) -> Vec<&'static str> {
    let VersionRecord { entry, manifest: recorded, readme: kept } = version;
    let derived = IndexEntry {
        module_type: manifest.id.module_type.to_string(),
        name: manifest.id.name.to_string(),
        version: manifest.version.clone(),
        deps: index_deps(manifest),
        runtime: runtime_text(manifest),
        ..entry.clone()
    };
    // A manifest of an earlier version of napt may lack keys that this one writes.
    let same_manifest = serde_json::from_str::<Manifest>(recorded)
        .is_ok_and(|recorded| serde_json::to_value(recorded).ok() == serde_json::to_value(manifest).ok());
    [
        ("module", entry.module_type == derived.module_type && entry.name == derived.name),
        ("version", entry.version == derived.version),
        ("deps", entry.deps == derived.deps),
        ("runtime", entry.runtime == derived.runtime),
        ("manifest", same_manifest),
        ("readme", kept.as_deref() == readme),
    ]
    .into_iter()
    .filter_map(|(key, is_same)| (!is_same).then_some(key))
    .collect()
}

/// Files that no record names.
fn leftovers(data: &Path, recorded: &BTreeSet<String>, found: &mut Inspection) -> std::io::Result<Vec<PathBuf>> {
    let mut useless = Vec::new();
    for path in files(&data.join("blobs"))? {
        found.count("archives");
        let digest = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if recorded.contains(digest) && path == place(data, digest) {
            continue;
        }
        found.note("orphan", below(&path, data), "an archive of no version, as an interrupted publish leaves behind");
        useless.push(path);
    }
    for path in files(&data.join("staging"))? {
        found.note("staging", below(&path, data), "an upload that was interrupted; it goes at the next start");
        useless.push(path);
    }
    Ok(useless)
}

fn place(data: &Path, digest: &str) -> PathBuf {
    super::blobs::path(&data.join("blobs").join("sha256"), digest)
}

fn below(path: &Path, data: &Path) -> String {
    path.strip_prefix(data).unwrap_or(path).display().to_string()
}

/// All files of a folder and those in it, in order.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            // Not followed: a link is a stray file.
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    Ok(found)
}
