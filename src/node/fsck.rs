//! A look through the data of a node that does not run: whether its records, its archives and its installs agree.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    NodeError,
    core::{KEPT_REVISIONS, content_cid, kept_contents, lock},
    store::{damage, inspect},
};
use crate::{
    identity::CredentialStore,
    package::{self, Limits, UNPACKED_MARKER},
    report::Inspection,
    wire::ModulePin,
};

/// The file with the records, in a node's folder.
pub(super) const DATABASE: &str = "node.sqlite";

/// Looks through a node's folder. Nothing in it is changed: what is of no use goes at the node's next start.
pub async fn fsck(data: &Path) -> Result<Inspection, NodeError> {
    let database = data.join(DATABASE);
    if !database.is_file() {
        return Err(NodeError::Invalid(format!("`{}` is not a node's folder: it has no `{DATABASE}`", data.display())));
    }
    // Held to the end, so that no node starts meanwhile.
    let _lock = lock(data)?;
    let mut found = Inspection::default();
    let id = own_id(data, &mut found);
    let pins = match inspect(&database, &id, KEPT_REVISIONS, &mut found).await {
        Ok(pins) => pins,
        Err(error) => {
            found.problem("database", DATABASE, format!("it cannot be read: {error:#}"));
            Vec::new()
        }
    };
    let mut judged = BTreeSet::new();
    for (revision, pin) in pins.into_iter().filter(|(_, pin)| judged.insert(pin.sha256.clone())) {
        found.count("modules");
        judge(data, &revision, &pin, &mut found);
    }
    let failed = NodeError::internal("look through its data folder");
    leftovers(data, &mut found).map_err(failed)?;
    for path in entries(&data.join("storage")).map_err(NodeError::internal("look through its storage"))? {
        if path.extension().is_some_and(|extension| extension == "sqlite") {
            found.count("storages");
            let what = below(&path, data);
            match damage(&path).await {
                Ok((_, damage)) => damage.into_iter().for_each(|text| found.problem("storage", &what, text)),
                Err(error) => found.problem("storage", what, format!("it cannot be read: {error:#}")),
            }
        }
    }
    contents(data, &mut found).map_err(NodeError::internal("look through its storage"))?;
    Ok(found)
}

/// Whether what is kept by its digest has that digest, and nothing that users have stored is missing.
fn contents(data: &Path, found: &mut Inspection) -> std::io::Result<()> {
    let storage = data.join("storage");
    let kept = kept_contents(&storage)?;
    for cid in &kept.contents {
        found.count("contents");
        let (sha256, _) = package::sha256_file(&storage.join("contents").join(cid))?;
        if content_cid(&sha256).as_ref() != Some(cid) {
            found.problem("content-damaged", cid, "it has changed: its SHA-256 is another one");
        } else if !kept.pinned.contains(cid) {
            found.note(
                "content",
                cid,
                "stored by nobody, as an interrupted upload leaves it; it goes at the next start",
            );
        }
    }
    for cid in kept.pinned.difference(&kept.contents) {
        found.problem("content-missing", cid, "a user has stored it, and it is not there");
    }
    for path in entries(&storage.join("incoming"))? {
        found.note("temporary", below(&path, data), "left by what was interrupted; it goes at the next start");
    }
    Ok(())
}

/// The node's own id, by its key.
fn own_id(data: &Path, found: &mut Inspection) -> String {
    let credentials = CredentialStore::new(data);
    if !credentials.key_path().is_file() {
        found.problem("key-missing", "identity.key", "the node's key is not there: with a new one it is another node");
        return String::new();
    }
    match credentials.key_or_create() {
        Ok(key) => key.public().node_id(),
        Err(error) => {
            found.problem("key-missing", "identity.key", error);
            String::new()
        }
    }
}

/// Whether a module of a revision is here: its archive as it was, and unpacked as a whole.
fn judge(data: &Path, revision: &str, pin: &ModulePin, found: &mut Inspection) {
    let name = format!("{} {}", pin.id, pin.version);
    let of = format!("of {revision}");
    let archive = data.join("archives").join(format!("{}.napt", pin.sha256));
    match package::sha256_file(&archive) {
        Ok((digest, _)) if digest == pin.sha256 => {}
        Ok((digest, _)) => {
            return found.problem(
                "archive-damaged",
                name,
                format!("its archive {of} has changed: its sha256 is {digest}"),
            );
        }
        Err(_) => {
            return found.problem("archive-missing", name, format!("its archive {} {of} is not there", pin.sha256));
        }
    }
    let contents = match package::inspect(&archive, &Limits::default()) {
        Ok(contents) => contents,
        Err(error) => return found.problem("archive-refused", name, error),
    };
    if contents.manifest.id != pin.id || contents.manifest.version != pin.version {
        let message = format!("its archive {of} holds {} {}", contents.manifest.id, contents.manifest.version);
        return found.problem("archive-differs", name, message);
    }
    let root = data.join("modules").join(&pin.sha256);
    if !is_complete(&root, &pin.sha256) {
        return found.problem("install-missing", name, format!("{of}, it is not unpacked as a whole"));
    }
    let damaged = contents.files.iter().find(|file| {
        root.join(&file.path).symlink_metadata().ok().filter(|it| it.is_file()).map(|it| it.len()) != Some(file.size)
    });
    if let Some(file) = damaged {
        found.problem("install-damaged", name, format!("`{}` of its folder {of} is not as in its archive", file.path));
    }
}

fn is_complete(root: &Path, sha256: &str) -> bool {
    fs_err::read_to_string(root.join(UNPACKED_MARKER)).is_ok_and(|marker| marker == sha256)
}

/// What nobody needs any more, and what looks as if it were an install.
fn leftovers(data: &Path, found: &mut Inspection) -> std::io::Result<()> {
    for folder in ["archives", "modules"] {
        for path in entries(&data.join(folder))? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') {
                found.note("temporary", below(&path, data), "left by what was interrupted; it goes at the next start");
            } else if folder == "modules" && !is_complete(&path, &name) {
                found.problem("install-incomplete", below(&path, data), "it was not unpacked as a whole");
            }
        }
    }
    for parent in entries(&data.join("scratch"))? {
        // Others wait for a run, with nothing in them.
        let is_of_run =
            |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        for path in entries(&parent)?.into_iter().filter(is_of_run) {
            found.note("scratch", below(&path, data), "of a run that was interrupted; it goes at the next start");
        }
    }
    Ok(())
}

/// What a folder holds, in order; nothing when there is none.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

fn below(path: &Path, data: &Path) -> String {
    path.strip_prefix(data).unwrap_or(path).display().to_string()
}
