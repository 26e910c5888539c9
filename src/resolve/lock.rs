//! `napt.lock`: what was chosen. The same choice always gives the same bytes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{
    files,
    module::{GitSource, ModuleId},
    report::{Fault, Kind},
};

/// The file's name, in the workspace's root.
pub const LOCK_FILE: &str = "napt.lock";

/// Version of the file's format.
const LOCK_FORMAT: u32 = 1;

const HEADER: &str = "# Written by napt: the exact modules that this workspace uses. Commit it; do not edit it.\n";

/// Every module that is used, at one version each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// Version of this format.
    pub format: u32,
    /// By id.
    #[serde(default, rename = "module", skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<LockedModule>,
}

/// One module of a [`Lock`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockedModule {
    /// Which module.
    #[schemars(with = "String")]
    pub id: ModuleId,
    /// Which version of it.
    #[schemars(with = "String")]
    pub version: Version,
    /// The registry that knows it; `None` is this workspace, or git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Where in git it is from, with the commit; `None` is a registry or this workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub git: Option<GitSource>,
    /// Of its archive, in hex; `None` for modules of this workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The modules that it needs, each of which is locked too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub dependencies: Vec<ModuleId>,
}

/// Why a lock file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be opened or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not a lock file; the text has line, column and excerpt.
    #[error("cannot read `{}`\n{error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        error: Box<toml::de::Error>,
    },
    /// It is of a later version of napt.
    #[error("`{}` has format {found}; this version of napt reads format {LOCK_FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A module is locked twice.
    #[error("`{}` locks `{id}` twice", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The module.
        id: ModuleId,
    },
    /// What is locked cannot be written as TOML.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        #[source]
        error: toml::ser::Error,
    },
}

impl Fault for LockError {
    fn kind(&self) -> Kind {
        match self {
            LockError::Syntax { .. } | LockError::Duplicate { .. } => Kind::Check,
            LockError::Io(_) | LockError::Format { .. } | LockError::Write { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            LockError::Syntax { .. } | LockError::Duplicate { .. } => {
                Some(format!("take the `{LOCK_FILE}` of one side of a merge, or delete it: it is written anew"))
            }
            LockError::Format { .. } => Some("install a newer napt".to_owned()),
            LockError::Io(_) | LockError::Write { .. } => None,
        }
    }
}

impl LockedModule {
    /// Whether it is of this workspace.
    pub fn is_member(&self) -> bool {
        self.registry.is_none() && self.git.is_none()
    }

    /// Its version, and of git the commit.
    pub fn shown_version(&self) -> String {
        match self.git.as_ref().and_then(GitSource::short_commit) {
            Some(commit) => format!("{} ({commit})", self.version),
            None => self.version.to_string(),
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Lock { format: LOCK_FORMAT, modules: Vec::new() }
    }
}

impl Lock {
    /// A lock of these modules.
    pub fn new(mut modules: Vec<LockedModule>) -> Self {
        modules.sort_by(|a, b| a.id.cmp(&b.id));
        Lock { format: LOCK_FORMAT, modules }
    }

    /// Reads the lock file in a workspace's root; `None` when there is none.
    pub fn read(root: &Path) -> Result<Option<Self>, LockError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = root.join(LOCK_FILE);
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let syntax = |error| LockError::Syntax { path: path.clone(), error: Box::new(error) };
        // The format first: a later one may have another shape.
        let Format { format } = toml::from_str(&text).map_err(syntax)?;
        if format != LOCK_FORMAT {
            return Err(LockError::Format { path, found: format });
        }
        let lock: Lock = toml::from_str(&text).map_err(syntax)?;
        let lock = Lock::new(lock.modules);
        match lock.modules.windows(2).find(|pair| pair[0].id == pair[1].id) {
            Some(pair) => Err(LockError::Duplicate { path, id: pair[0].id.clone() }),
            None => Ok(Some(lock)),
        }
    }

    /// Writes the lock file into a workspace's root, at once or not at all. Returns whether it has changed.
    pub fn write(&self, root: &Path) -> Result<bool, LockError> {
        let path = root.join(LOCK_FILE);
        let body = toml::to_string(self).map_err(|error| LockError::Write { path: path.clone(), error })?;
        let text = format!("{HEADER}{body}");
        if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        files::write(&path, text.as_bytes())?;
        Ok(true)
    }

    /// The locked version of a module.
    pub fn get(&self, id: &ModuleId) -> Option<&LockedModule> {
        self.modules.binary_search_by(|module| module.id.cmp(id)).ok().map(|index| &self.modules[index])
    }

    /// These modules and everything that they need, out of the lock; `None` when something is not locked.
    pub fn closure<'a>(&self, roots: impl IntoIterator<Item = &'a ModuleId>) -> Option<Lock> {
        let mut open: Vec<&ModuleId> = roots.into_iter().collect();
        let mut found: BTreeMap<&ModuleId, LockedModule> = BTreeMap::new();
        while let Some(id) = open.pop() {
            if !found.contains_key(id) {
                let module = self.get(id)?;
                open.extend(&module.dependencies);
                found.insert(&module.id, module.clone());
            }
        }
        Some(Lock::new(found.into_values().collect()))
    }

    /// What is different in `new`, in words.
    pub fn changes_to(&self, new: &Lock) -> Vec<String> {
        let mut changes = Vec::new();
        for module in &new.modules {
            match self.get(&module.id) {
                None => changes.push(format!("add `{}` {}", module.id, module.version)),
                Some(old) if old.version != module.version => {
                    changes.push(format!("change `{}` from {} to {}", module.id, old.version, module.version));
                }
                Some(old)
                    if (&old.registry, &old.git, &old.sha256) != (&module.registry, &module.git, &module.sha256) =>
                {
                    let from = |module: &LockedModule| match (&module.git, &module.registry) {
                        (Some(git), _) => git.to_string(),
                        (None, Some(registry)) => registry.clone(),
                        (None, None) => "this workspace".to_owned(),
                    };
                    changes.push(format!("take `{}` from {} instead of {}", module.id, from(module), from(old)));
                }
                Some(old) if old.dependencies != module.dependencies => {
                    changes.push(format!("change what `{}` needs", module.id));
                }
                Some(_) => {}
            }
        }
        let gone = self.modules.iter().filter(|module| new.get(&module.id).is_none());
        changes.extend(gone.map(|module| format!("remove `{}` {}", module.id, module.version)));
        changes
    }
}
