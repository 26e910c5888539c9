//! What a workspace's modules are made of at one moment: a digest each, so that a file that was only touched, or that is
//! no part of a module, changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use crate::{
    config::ENV_FILE,
    module::{MANIFEST_FILE, ModuleId, Project, ProjectError, Workspace},
    package::{packaged_paths, sha256_file, source_folders},
};

/// A file of so many bytes is read again only when its size or time differs.
const LARGE: u64 = 1 << 20;

/// Unless it has been written so lately that it may be written again at what counts as the same time.
const RACY: Duration = Duration::from_millis(100);

/// A digest in hex.
pub(super) type Fingerprint = String;

/// What there is, without what is in it.
#[derive(Debug)]
pub(super) struct Layout {
    /// The workspace with what its members name by path, or why it cannot be read.
    pub(super) workspace: Result<(Workspace, BTreeMap<ModuleId, Project>), ProjectError>,
    /// The folders where a change may matter.
    pub(super) folders: BTreeSet<PathBuf>,
}

/// A workspace at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) layout: Layout,
    /// Of the modules' files.
    pub(super) modules: BTreeMap<ModuleId, Fingerprint>,
    /// Of the workspace's own manifest.
    manifest: Option<Fingerprint>,
    /// Of the `.env` files, which no module is made of but checks read.
    variables: Vec<Fingerprint>,
}

impl Layout {
    /// Of the workspace whose root is `root`.
    pub(super) fn of(root: &Path) -> Self {
        let workspace = Workspace::discover(root).and_then(|workspace| {
            let projects = workspace.projects()?;
            Ok((workspace, projects))
        });
        let mut folders: BTreeSet<PathBuf> = [root.to_owned()].into();
        // A folder that cannot be read now is gone, or will be told of when it is packaged.
        folders.extend(source_folders(root).unwrap_or_default());
        for project in workspace.iter().flat_map(|(_, projects)| projects.values()) {
            if !folders.contains(&project.root) {
                folders.extend(source_folders(&project.root).unwrap_or_default());
            }
        }
        Layout { workspace, folders }
    }
}

impl Snapshot {
    /// Whether nothing differs. Of a workspace that cannot be read, nobody knows.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.layout.workspace.is_ok()
            && other.layout.workspace.is_ok()
            && self.manifest == other.manifest
            && self.variables == other.variables
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
    /// What is in the workspace whose root is `root`.
    pub(super) fn take(&mut self, root: &Path, layout: Layout) -> Snapshot {
        let mut large = HashMap::new();
        let projects = || layout.workspace.iter().flat_map(|(_, projects)| projects);
        let modules = projects().map(|(id, project)| (id.clone(), self.of_project(project, &mut large))).collect();
        let manifest = self.of_file(&root.join(MANIFEST_FILE), &mut large);
        let roots = std::iter::once(root).chain(projects().map(|(_, project)| project.root.as_path()));
        let variables = roots.map(|root| self.of_file(&root.join(ENV_FILE), &mut large).unwrap_or_default()).collect();
        self.large = large;
        Snapshot { layout, modules, manifest, variables }
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

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs_err::write(path, text).expect("a file");
    }

    const MODULE: &str = "[module]\ntype = \"agent\"\nname = \"a\"\nversion = \"0.1.0\"\n";

    #[test]
    fn only_what_is_packaged_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs_err::canonicalize(folder.path()).expect("a path");
        write(&root, "napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n");
        write(&root, "modules/a/napt.toml", MODULE);
        write(&root, "modules/a/a/run.py", "1");
        write(&root, "modules/a/.gitignore", "*.log\nout/\n");
        let mut camera = Camera::default();
        let mut before = camera.take(&root, Layout::of(&root));
        let mut check = |path: &str, text: &str, counts: bool| {
            write(&root, path, text);
            let now = camera.take(&root, Layout::of(&root));
            assert_eq!(!now.is_as(&before), counts, "{path}: {now:?}");
            before = now;
        };
        check("modules/a/a/run.py", "1", false);
        check("modules/a/a/run.py", "2", true);
        check("modules/a/a/.run.py.swp", "b", false);
        check("modules/a/a/run.py~", "b", false);
        check("modules/a/a/.#run.py", "b", false);
        check("modules/a/run.log", "b", false);
        check("modules/a/out/x.py", "b", false);
        check("modules/a/a/__pycache__/run.pyc", "b", false);
        check("napt.lock", "b", false);
        check(".napt/dev/node/x", "b", false);
        check("target/package/x.py", "b", false);
        check("notes.txt", "b", false);
        check(".env", "KEY=1", true);
        check(".env", "KEY=1", false);
        check("modules/a/.env", "KEY=1", true);
        check("modules/a/a/new.py", "b", true);
        check("napt.toml", "[workspace]\nmembers = [\"modules/a\"]\n", true);
        // Nobody knows what is in there.
        check("modules/a/napt.toml", "[module", true);
        check("modules/a/napt.toml", "[module", true);
        check("modules/a/napt.toml", MODULE, true);
        check("modules/a/napt.toml", MODULE, false);
    }

    #[test]
    fn a_large_file_is_read_again_when_it_may_differ() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs_err::canonicalize(folder.path()).expect("a path");
        write(&root, "napt.toml", MODULE);
        let large = "x".repeat(1 << 20);
        write(&root, "large.txt", &large);
        let path = root.join("large.txt");
        let set_time = |seconds| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = fs_err::File::options().write(true).open(&path).expect("the file");
            file.file().set_modified(time).expect("a time");
        };
        set_time(1_000_000_000);
        let mut camera = Camera::default();
        let first = camera.take(&root, Layout::of(&root));
        assert_eq!(camera.large.len(), 1);
        write(&root, "large.txt", &large.replace('x', "y"));
        // Just written: its time may not tell it from the next one.
        assert!(!camera.take(&root, Layout::of(&root)).is_as(&first));
        assert_eq!(camera.large.len(), 0);
        set_time(1_000_000_001);
        assert!(!camera.take(&root, Layout::of(&root)).is_as(&first));
        assert_eq!(camera.large.len(), 1);
    }

    #[test]
    fn folders_are_watched_where_source_may_appear() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs_err::canonicalize(folder.path()).expect("a path");
        write(&root, "w/napt.toml", "[workspace]\nmembers = [\"modules/*\"]\n");
        write(
            &root,
            "w/modules/a/napt.toml",
            &format!("{MODULE}[dependencies]\n\"agent:b\" = {{ path = \"../../../b\" }}\n"),
        );
        write(&root, "w/modules/a/a/run.py", "1");
        write(&root, "w/modules/.venv/pyvenv.cfg", "");
        write(&root, "w/.git/x/y", "");
        write(&root, "w/target/x/y", "");
        write(&root, "b/napt.toml", &MODULE.replace("\"a\"", "\"b\""));
        write(&root, "b/b/run.py", "1");
        let layout = Layout::of(&root.join("w"));
        let shown: Vec<&str> =
            layout.folders.iter().filter_map(|path| path.strip_prefix(&root).ok()?.to_str()).collect();
        assert_eq!(shown, ["b", "b/b", "w", "w/modules", "w/modules/a", "w/modules/a/a"]);
        assert_eq!(layout.workspace.expect("readable").1.len(), 2);
    }
}
