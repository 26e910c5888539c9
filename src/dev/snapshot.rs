//! What a workspace's modules are made of at one moment: a digest each, so that a file that was only touched, or that is
//! no part of a module, changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{
    module::{MANIFEST_FILE, ModuleId, Project, ProjectError, Workspace},
    package::{packaged_paths, sha256_file, source_folders},
};

/// A file of so many bytes is read again only when its size or time differs.
const LARGE: u64 = 1 << 20;

/// Unless it has been written so lately that it may be written again at what counts as the same time.
const RACY: Duration = Duration::from_millis(100);

/// A digest in hex.
pub(super) type Fingerprint = String;

/// A workspace at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The workspace with what its members name by path, or why it cannot be read.
    pub(super) workspace: Result<(Workspace, BTreeMap<ModuleId, Project>), ProjectError>,
    /// Of the modules' files.
    pub(super) modules: BTreeMap<ModuleId, Fingerprint>,
    /// Of the workspace's own manifest.
    manifest: Option<Fingerprint>,
    /// The folders where a change may matter.
    pub(super) folders: BTreeSet<PathBuf>,
}

impl Snapshot {
    /// Whether nothing differs. Of a workspace that cannot be read, nobody knows.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.workspace.is_ok()
            && other.workspace.is_ok()
            && self.manifest == other.manifest
            && self.modules == other.modules
    }
}

/// What is known of a file that was read.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    size: u64,
    modified: SystemTime,
    digest: Fingerprint,
}

/// Takes snapshots.
#[derive(Debug, Default)]
pub(super) struct Camera {
    large: HashMap<PathBuf, Known>,
}

impl Camera {
    /// The workspace whose root is `root`, as it is now.
    pub(super) fn take(&mut self, root: &Path) -> Snapshot {
        let workspace = Workspace::discover(root).and_then(|workspace| {
            let projects = workspace.projects()?;
            Ok((workspace, projects))
        });
        let mut modules = BTreeMap::new();
        let mut folders: BTreeSet<PathBuf> = [root.to_owned()].into();
        // A folder that cannot be read now is gone, or will be told of when it is packaged.
        folders.extend(source_folders(root).unwrap_or_default());
        let mut large = HashMap::new();
        for (id, project) in workspace.iter().flat_map(|(_, projects)| projects) {
            modules.insert(id.clone(), self.of_project(project, &mut large));
            if !folders.contains(&project.root) {
                folders.extend(source_folders(&project.root).unwrap_or_default());
            }
        }
        let manifest = self.of_file(&root.join(MANIFEST_FILE), &mut large);
        self.large = large;
        Snapshot { workspace, modules, manifest, folders }
    }

    fn of_project(&self, project: &Project, large: &mut HashMap<PathBuf, Known>) -> Fingerprint {
        let mut digest = Sha256::new();
        match packaged_paths(project) {
            Ok(paths) => {
                for path in paths {
                    digest.update(path.as_bytes());
                    digest.update([0]);
                    digest.update(self.of_file(&project.root.join(path), large).unwrap_or_default());
                }
            }
            Err(error) => digest.update(error.to_string()),
        }
        hex::encode(digest.finalize())
    }

    /// `None` when the file cannot be read.
    fn of_file(&self, path: &Path, large: &mut HashMap<PathBuf, Known>) -> Option<Fingerprint> {
        let metadata = fs_err::metadata(path).ok()?;
        let (size, modified) = (metadata.len(), metadata.modified().ok()?);
        let known = self.large.get(path).filter(|known| (known.size, known.modified) == (size, modified));
        let digest = match known {
            Some(known) => known.digest.clone(),
            None => sha256_file(path).ok()?.0,
        };
        if size >= LARGE && SystemTime::now().duration_since(modified).is_ok_and(|age| age > RACY) {
            large.insert(path.to_owned(), Known { size, modified, digest: digest.clone() });
        }
        Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
}
