//! Projects on disk: one module's folder, and the workspace around it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    id::ModuleId,
    manifest::{Manifest, ManifestError, ManifestFile, Runtime},
    name::ModuleName,
    native::NativeManifest,
};
use crate::report::{Fault, Kind, did_you_mean_or};

/// Where a project keeps the JSON Schemas of its files, relative to its root.
pub const SCHEMA_FOLDER: &str = ".napt/schemas";

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "napt.toml";

/// A module's folder with its manifest.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder that holds the manifest.
    pub root: PathBuf,
    /// The complete manifest.
    pub manifest: Manifest,
}

/// A set of projects that are checked, packaged and published together. A project on its own is a workspace of one.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder that holds the lock file.
    pub root: PathBuf,
    /// All members, sorted by id.
    pub members: Vec<Project>,
    /// Which member the command was called in, if it was called in one.
    current: Option<usize>,
}

/// Why there is no usable project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no such folder.
    #[error("there is no folder `{}`", .0.display())]
    NoFolder(PathBuf),
    /// No `napt.toml` here or above.
    #[error("there is no `{MANIFEST_FILE}` in `{}` or any folder above it", .0.display())]
    NotFound(PathBuf),
    /// The same, with Naptha's own files.
    #[error("the project in `{}` has no `{MANIFEST_FILE}`", .0.display())]
    NotAdopted(PathBuf),
    /// A member pattern that matches nothing.
    #[error("the workspace member `{pattern}` of `{}` matches no folder with a `{MANIFEST_FILE}`", path.display())]
    NoMember {
        /// The workspace's manifest.
        path: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// Two members are the same module.
    #[error("`{id}` is defined twice: in `{}` and in `{}`", first.display(), second.display())]
    Duplicate {
        /// The module.
        id: ModuleId,
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A member was named that does not exist.
    #[error("`{given}` is not a module of this workspace")]
    Unknown {
        /// What was asked for.
        given: String,
        /// What there is.
        members: Vec<String>,
    },
    /// A bare name that several members have.
    #[error("`{given}` is the name of several modules of this workspace")]
    Ambiguous {
        /// What was asked for.
        given: String,
        /// The modules of that name.
        members: Vec<String>,
    },
    /// A manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault for ProjectError {
    fn kind(&self) -> Kind {
        match self {
            ProjectError::Manifest(error) => error.kind(),
            ProjectError::NoFolder(_) | ProjectError::Unknown { .. } | ProjectError::Ambiguous { .. } => Kind::Usage,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ProjectError::NotFound(_) => Some(
                "`napt new orchestrator NAME` makes a workspace, `napt init PATH` adopts a Naptha project".to_owned(),
            ),
            ProjectError::NotAdopted(_) => Some("`napt init` in that folder writes one".to_owned()),
            ProjectError::NoMember { .. } => Some("mend `members` in `[workspace]`".to_owned()),
            ProjectError::Duplicate { .. } => Some("rename one of them".to_owned()),
            ProjectError::NoFolder(_) => None,
            ProjectError::Ambiguous { members, .. } => Some(format!("say which one: {}", members.join(" or "))),
            ProjectError::Unknown { given, members } => {
                // A bare name is like the names, whatever their types.
                let comparable = |member: &'_ str| -> usize {
                    if given.contains(':') { 0 } else { member.find(':').map_or(0, |colon| colon + 1) }
                };
                let names = members.iter().map(|member| &member[comparable(member)..]);
                Some(did_you_mean_or(given, names, || format!("its modules are {}", members.join(", "))))
            }
            ProjectError::Manifest(error) => error.hint(),
            ProjectError::Io(_) => None,
        }
    }
}

/// The full path of a folder, or of a file in it, that the user names.
pub fn existing_folder(path: &Path) -> Result<PathBuf, ProjectError> {
    fs_err::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ProjectError::NoFolder(path.to_owned()),
        _ => ProjectError::Io(error),
    })
}

/// The Python package folder of the module `name` whose manifest is in `root`: `root/name`, or `root/src/name` when only
/// that is there.
pub fn package_dir_of(root: &Path, name: &ModuleName) -> PathBuf {
    let flat = root.join(name.as_str());
    let below = root.join("src").join(name.as_str());
    if !flat.is_dir() && below.is_dir() { below } else { flat }
}

impl Project {
    /// Reads the project whose manifest is in `root`.
    pub fn load(root: &Path) -> Result<Self, ProjectError> {
        let path = root.join(MANIFEST_FILE);
        let file = ManifestFile::parse(&fs_err::read_to_string(&path)?, &path)?;
        Ok(Self::complete(root, &file)?)
    }

    fn complete(root: &Path, file: &ManifestFile) -> Result<Self, ManifestError> {
        let native = NativeManifest::read(root)?;
        let manifest = file.complete(&native, &root.join(MANIFEST_FILE))?;
        Ok(Project { root: root.to_owned(), manifest })
    }

    /// The module's type and name.
    pub fn id(&self) -> &ModuleId {
        &self.manifest.id
    }

    /// The folder of code and configuration: `root/name` or `root/src/name`, or the root itself for Rust and data.
    pub fn package_dir(&self) -> PathBuf {
        match self.manifest.runtime {
            Runtime::Data | Runtime::Rust => self.root.clone(),
            Runtime::Python => package_dir_of(&self.root, &self.manifest.id.name),
        }
    }

    /// Where `deployment.json` and its siblings are.
    pub fn configs_dir(&self) -> PathBuf {
        self.package_dir().join("configs")
    }

    /// The folder of a dependency given by path, if it is one.
    pub fn dependency_path(&self, id: &ModuleId) -> Option<PathBuf> {
        self.manifest.dependencies.get(id)?.path.as_ref().map(|path| self.root.join(path))
    }
}

impl Workspace {
    /// The workspace that `dir` is in: that of the nearest `napt.toml` upward with a `[workspace]` that lists it,
    /// else the nearest module on its own.
    pub fn discover(dir: &Path) -> Result<Self, ProjectError> {
        let dir = existing_folder(dir)?;
        let nearest_with = |file: &str| dir.ancestors().find(|folder| folder.join(file).is_file());
        let nearest = nearest_with(MANIFEST_FILE).ok_or_else(|| match nearest_with("pyproject.toml") {
            Some(root) => ProjectError::NotAdopted(root.to_owned()),
            None => ProjectError::NotFound(dir.clone()),
        })?;
        for folder in nearest.ancestors().filter(|folder| folder.join(MANIFEST_FILE).is_file()) {
            let path = folder.join(MANIFEST_FILE);
            let file = ManifestFile::parse(&fs_err::read_to_string(&path)?, &path)?;
            if let Some(table) = &file.workspace {
                let workspace = Self::load(folder, &file, &table.members, nearest)?;
                if folder == nearest || workspace.current.is_some() {
                    return Ok(workspace);
                }
            }
        }
        Ok(Workspace { root: nearest.to_owned(), members: vec![Project::load(nearest)?], current: Some(0) })
    }

    fn load(root: &Path, file: &ManifestFile, patterns: &[String], nearest: &Path) -> Result<Self, ProjectError> {
        let mut members = Vec::new();
        if file.module.is_some() {
            members.push(Project::complete(root, file)?);
        }
        for pattern in patterns {
            let folders = member_folders(root, pattern)?;
            if folders.is_empty() {
                return Err(ProjectError::NoMember { path: root.join(MANIFEST_FILE), pattern: pattern.clone() });
            }
            for folder in folders {
                if !members.iter().any(|member: &Project| member.root == folder) {
                    members.push(Project::load(&folder)?);
                }
            }
        }
        members.sort_by(|a, b| a.id().cmp(b.id()));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
            return Err(ProjectError::Duplicate {
                id: pair[0].id().clone(),
                first: pair[0].root.clone(),
                second: pair[1].root.clone(),
            });
        }
        let current = members.iter().position(|member| member.root == nearest);
        Ok(Workspace { root: root.to_owned(), members, current })
    }

    /// The members, with the modules that they name by path, and those that these name, and so on.
    pub fn projects(&self) -> Result<BTreeMap<ModuleId, Project>, ProjectError> {
        let mut projects: BTreeMap<ModuleId, Project> = BTreeMap::new();
        let mut open = self.members.clone();
        while let Some(project) = open.pop() {
            if projects.contains_key(project.id()) {
                continue;
            }
            for id in project.manifest.dependencies.keys().filter(|id| self.member(id).is_none()) {
                if let Some(path) = project.dependency_path(id) {
                    open.push(Project::load(&path)?);
                }
            }
            projects.insert(project.id().clone(), project);
        }
        Ok(projects)
    }

    /// The member that the command was called in, or the only one there is.
    pub fn current(&self) -> Option<&Project> {
        match self.current {
            Some(index) => self.members.get(index),
            None if self.members.len() == 1 => self.members.first(),
            None => None,
        }
    }

    /// The member with this id.
    pub fn member(&self, id: &ModuleId) -> Option<&Project> {
        self.members.iter().find(|member| member.id() == id)
    }

    /// The member that `given` names, as `type:name` or as a bare name that only one member has.
    pub fn find(&self, given: &str) -> Result<&Project, ProjectError> {
        let matches = |member: &&Project| {
            member.id().to_string() == given || member.id().name.as_str() == given.replace('-', "_")
        };
        let found: Vec<&Project> = self.members.iter().filter(matches).collect();
        let ids = |members: &mut dyn Iterator<Item = &Project>| members.map(|member| member.id().to_string()).collect();
        match found.as_slice() {
            [only] => Ok(only),
            [] => Err(ProjectError::Unknown { given: given.to_owned(), members: ids(&mut self.members.iter()) }),
            several => {
                Err(ProjectError::Ambiguous { given: given.to_owned(), members: ids(&mut several.iter().copied()) })
            }
        }
    }
}

/// The folders with a manifest that a member pattern names. `*` stands for one whole folder name.
pub(crate) fn member_folders(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut folders = vec![root.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let mut next = Vec::new();
        for folder in folders {
            if part == "*" {
                for entry in fs_err::read_dir(&folder)? {
                    let path = entry?.path();
                    if path.is_dir() {
                        next.push(path);
                    }
                }
            } else if folder.join(part).is_dir() {
                next.push(folder.join(part));
            }
        }
        folders = next;
    }
    folders.retain(|folder| folder.join(MANIFEST_FILE).is_file());
    folders.sort();
    Ok(folders)
}
