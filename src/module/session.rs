//! A running `napt dev` of a workspace, for other commands to find: `.napt/dev/`.

use std::{
    fs::TryLockError,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where a running `napt dev` is reached: `.napt/dev/dev.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevSession {
    /// Its process.
    pub pid: u32,
    /// Its node's URL.
    pub node: String,
    /// The URL of the registry that it uses.
    pub registry: String,
}

impl DevSession {
    /// The file in [`DevSession::folder`] that says it.
    pub(crate) const FILE: &str = "dev.json";

    /// The file beside it that is locked as long as it is true.
    pub(crate) const LOCK: &str = "lock";

    /// What the `napt dev` of a workspace keeps.
    pub(crate) fn folder(workspace: &Path) -> PathBuf {
        workspace.join(".napt").join("dev")
    }

    /// The session of the nearest workspace, `dir` and upward, that one is running for, with its file. A file that was
    /// left behind is not believed: whoever runs holds the lock beside it.
    pub fn find(dir: &Path) -> Option<(PathBuf, Self)> {
        dir.ancestors().find_map(|workspace| {
            let folder = Self::folder(workspace);
            let path = folder.join(Self::FILE);
            let session = serde_json::from_str(&fs_err::read_to_string(&path).ok()?).ok()?;
            let lock = fs_err::File::open(folder.join(Self::LOCK)).ok()?;
            let is_running = matches!(lock.file().try_lock_shared(), Err(TryLockError::WouldBlock));
            is_running.then_some((path, session))
        })
    }
}
