//! Which files of a project belong into its archive: all that git would take, without what is made from them.

use std::path::{Path, PathBuf};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::{ARCHIVE_SUFFIX, is_project, platform, relative, vcs, write::PackageError};
use crate::{
    files::UNFINISHED,
    module::{MANIFEST_FILE, Project},
};

/// Folders that are never source, wherever they are.
const LEFT_OUT_FOLDERS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    ".jj",
    "CVS",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".cache",
    ".tox",
    ".nox",
    ".ipynb_checkpoints",
    "node_modules",
    ".napt",
    ".vscode",
    ".idea",
];
/// Files that are never source: other tools' records, and what editors leave beside a file. `.git` is a file in a linked work tree.
const LEFT_OUT_FILES: &[&str] = &[".git", ".DS_Store", "Thumbs.db", "napt.lock"];
const LEFT_OUT_SUFFIXES: &[&str] = &[".pyc", ".pyo", ARCHIVE_SUFFIX, "~", ".swp", ".swo", ".swx"];
/// A file that another napt is writing, and Emacs' mark of a file with unsaved changes.
const LEFT_OUT_PREFIXES: &[&str] = &[UNFINISHED, ".#"];
/// How tools mark a folder that they can make again (<https://bford.info/cachedir/>).
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Without these a module cannot be read or built, so no pattern leaves them out.
const ALWAYS: &[&str] = &[MANIFEST_FILE, "pyproject.toml", "Cargo.toml"];

/// A file that will be packaged.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Below the project's root, with `/`.
    pub path: String,
    /// Where it is.
    pub on_disk: PathBuf,
    pub size: u64,
}

/// The project's files, sorted by path.
pub(super) fn sources(project: &Project) -> Result<Vec<Source>, PackageError> {
    walk(project, false)
}

/// The same of a folder that holds what is committed and nothing else: no pattern of git's leaves anything out.
pub(super) fn committed(project: &Project) -> Result<Vec<Source>, PackageError> {
    walk(project, true)
}

fn walk(project: &Project, is_committed: bool) -> Result<Vec<Source>, PackageError> {
    let root = fs_err::canonicalize(&project.root)?;
    let mut walk = Walk {
        patterns: Patterns::new(project, &root)?,
        ignores: if is_committed { Vec::new() } else { outer_ignores(&root)? },
        is_committed,
        files: Vec::new(),
        odd: Vec::new(),
        root,
    };
    walk.folder(&walk.root.clone())?;
    if !walk.odd.is_empty() {
        walk.odd.sort();
        return Err(PackageError::NotFiles(walk.odd));
    }
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.files)
}

/// The paths of the project's files that will be packaged, sorted.
pub fn packaged_paths(project: &Project) -> Result<Vec<String>, PackageError> {
    Ok(sources(project)?.into_iter().map(|source| source.path).collect())
}

/// The folders below `root` that may hold source: a change anywhere else changes no archive of a project there.
pub fn source_folders(root: &Path) -> Result<Vec<PathBuf>, PackageError> {
    fn walk(
        folder: &Path,
        root: &Path,
        ignores: &mut Vec<Gitignore>,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), PackageError> {
        let known = ignores.len();
        ignores.extend(gitignore(folder, &folder.join(".gitignore"))?);
        found.push(folder.to_owned());
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() && !is_ignored(ignores, &path, true) && !is_left_out_folder(&path, root) {
                walk(&path, root, ignores, found)?;
            }
        }
        ignores.truncate(known);
        Ok(())
    }
    let root = fs_err::canonicalize(root)?;
    let mut found = Vec::new();
    walk(&root, &root, &mut outer_ignores(&root)?, &mut found)?;
    Ok(found)
}

struct Walk {
    root: PathBuf,
    patterns: Patterns,
    /// The rules that hold in the folder that is being walked, outermost first.
    ignores: Vec<Gitignore>,
    is_committed: bool,
    files: Vec<Source>,
    /// Symbolic links, pipes, devices.
    odd: Vec<String>,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<(), PackageError> {
        let known = self.ignores.len();
        if !self.is_committed {
            self.ignores.extend(gitignore(folder, &folder.join(".gitignore"))?);
        }
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if is_ignored(&self.ignores, &path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                if !is_left_out_folder(&path, &self.root) && !is_project(&path) {
                    self.folder(&path)?;
                }
                continue;
            }
            let Some(name) = relative(&path, &self.root) else {
                return Err(PackageError::NotUtf8(path));
            };
            if is_left_out_file(&name) || !self.patterns.take(&name) {
                continue;
            }
            if !kind.is_file() {
                self.odd.push(name);
                continue;
            }
            let size = entry.metadata()?.len();
            self.files.push(Source { path: name, on_disk: path, size });
        }
        self.ignores.truncate(known);
        Ok(())
    }
}

/// Whether no folder of that kind holds source.
fn is_left_out_folder(folder: &Path, root: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    LEFT_OUT_FOLDERS.contains(&name)
        || (name == "target" && folder.parent() == Some(root))
        || folder.join("pyvenv.cfg").is_file()
        || folder.join(CACHE_TAG).is_file()
}

fn is_left_out_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    LEFT_OUT_FILES.contains(&name)
        || LEFT_OUT_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || LEFT_OUT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        // What Emacs saves by itself.
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
}

/// Whether git would not see the file: the nearest rule decides.
fn is_ignored(ignores: &[Gitignore], path: &Path, folder: bool) -> bool {
    ignores
        .iter()
        .rev()
        .map(|rules| rules.matched(path, folder))
        .find(|found| !found.is_none())
        .is_some_and(|found| found.is_ignore())
}

/// The rules above the project, up to the repository's root; without git, up to the workspace's.
fn outer_ignores(root: &Path) -> Result<Vec<Gitignore>, PackageError> {
    let outermost = root
        .ancestors()
        .find(|folder| folder.join(".git").exists())
        .or_else(|| root.ancestors().filter(|folder| is_project(folder)).last())
        .unwrap_or(root);
    let mut above: Vec<&Path> = root.ancestors().skip(1).take_while(|folder| folder.starts_with(outermost)).collect();
    above.reverse();
    let mut ignores = Vec::new();
    if let Some(exclude) = vcs::exclude_file(root) {
        ignores.extend(gitignore(outermost, &exclude)?);
    }
    for folder in above {
        // A project in a folder that git ignores is a world of its own.
        if folder != outermost && is_ignored(&ignores, folder, true) {
            return Ok(Vec::new());
        }
        ignores.extend(gitignore(folder, &folder.join(".gitignore"))?);
    }
    if is_ignored(&ignores, root, true) { Ok(Vec::new()) } else { Ok(ignores) }
}

/// The rules of `file`, which hold below `folder`. As in git, a pattern that is malformed matches nothing.
fn gitignore(folder: &Path, file: &Path) -> Result<Option<Gitignore>, PackageError> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs_err::read(file)?;
    let mut builder = GitignoreBuilder::new(folder);
    for line in String::from_utf8_lossy(&text).trim_start_matches('\u{feff}').lines() {
        let _ = builder.add_line(None, line);
    }
    Ok(builder.build().ok())
}

/// The manifest's `include` and `exclude`.
struct Patterns {
    include: Option<Gitignore>,
    exclude: Gitignore,
    readme: Option<String>,
}

impl Patterns {
    fn new(project: &Project, root: &Path) -> Result<Self, PackageError> {
        let build = |key, patterns: &[String]| {
            let mut builder = GitignoreBuilder::new(root);
            for pattern in patterns {
                builder.add_line(None, pattern).map_err(|error| PackageError::Pattern {
                    path: project.root.join(MANIFEST_FILE),
                    key,
                    error,
                })?;
            }
            builder.build().map_err(|error| PackageError::Pattern {
                path: project.root.join(MANIFEST_FILE),
                key,
                error,
            })
        };
        let manifest = &project.manifest;
        let include = (!manifest.include.is_empty()).then(|| build("include", &manifest.include)).transpose()?;
        let readme = manifest.readme.clone();
        Ok(Patterns { include, exclude: build("exclude", &manifest.exclude)?, readme })
    }

    fn take(&self, path: &str) -> bool {
        let chosen = |rules: &Gitignore| matches!(rules.matched_path_or_any_parents(path, false), Match::Ignore(_));
        ALWAYS.contains(&path)
            || self.readme.as_deref() == Some(path)
            || (self.include.as_ref().is_none_or(chosen) && !chosen(&self.exclude))
    }
}

/// Opens a file of the project for packaging; its size and mode are those of what was opened.
pub(super) fn open(source: &Source) -> Result<(fs_err::File, u64, bool), PackageError> {
    let file = platform::open_file(&source.on_disk)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(PackageError::Changed(source.path.clone()));
    }
    Ok((file, metadata.len(), platform::is_executable(&metadata)))
}
