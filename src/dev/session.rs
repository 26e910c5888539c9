//! `.napt/dev/` of a workspace: what its `napt dev` keeps, and how other commands find it.

use std::{
    fs::TryLockError,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::DevError;
use crate::identity::write_private;

/// How long a lock may be held by one who only looks whether somebody holds it.
const GLANCE: Duration = Duration::from_millis(500);

/// Where a running `napt dev` is reached: `.napt/dev/dev.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its process.
    pub pid: u32,
    /// Its node's URL.
    pub node: String,
    /// The URL of the registry that it uses.
    pub registry: String,
}

fn folder(workspace: &Path) -> PathBuf {
    workspace.join(".napt").join("dev")
}

impl Session {
    /// The session of the nearest workspace, `dir` and upward, that one is running for, with its file. A file that was
    /// left behind is not believed: whoever runs holds the lock beside it.
    pub fn find(dir: &Path) -> Option<(PathBuf, Self)> {
        dir.ancestors().find_map(|workspace| {
            let folder = folder(workspace);
            let path = folder.join("dev.json");
            let session = serde_json::from_str(&fs_err::read_to_string(&path).ok()?).ok()?;
            let lock = fs_err::File::open(folder.join("lock")).ok()?;
            let is_running = matches!(lock.file().try_lock_shared(), Err(TryLockError::WouldBlock));
            is_running.then_some((path, session))
        })
    }
}

/// The folder of a workspace's `napt dev`, held by one process at a time.
#[derive(Debug)]
pub(super) struct Claim {
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Claim {
    /// Takes the folder, which is made when it is not there. `fresh` empties it.
    pub(super) async fn take(workspace: &Path, fresh: bool) -> Result<Self, DevError> {
        let folder = folder(workspace);
        fs_err::create_dir_all(&folder)?;
        // Whatever the workspace's own rules are: nothing here is for a repository.
        fs_err::write(folder.join(".gitignore"), "*\n")?;
        let lock = fs_err::File::create(folder.join("lock"))?.into_parts().0;
        let start = tokio::time::Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < GLANCE => {
                    tokio::time::sleep(GLANCE / 10).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(DevError::Running { session: Session::find(workspace).map(|(_, session)| session) });
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        let claim = Claim { folder, _lock: lock };
        claim.withdraw()?;
        if fresh {
            // Without them, nobody is to remember what was deployed.
            let _ = fs_err::remove_file(claim.deployments());
            for data in [claim.node(), claim.registry()] {
                match fs_err::remove_dir_all(data) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(claim)
    }

    /// Where the node keeps everything.
    pub(super) fn node(&self) -> PathBuf {
        self.folder.join("node")
    }

    /// Where the registry keeps everything.
    pub(super) fn registry(&self) -> PathBuf {
        self.folder.join("registry")
    }

    /// Which deployments of the node are not anybody else's.
    pub(super) fn deployments(&self) -> PathBuf {
        self.folder.join("deployments.json")
    }

    /// Lets other commands find this process.
    pub(super) fn announce(&self, session: &Session) -> Result<(), DevError> {
        let text = serde_json::to_vec_pretty(session).map_err(std::io::Error::from)?;
        Ok(write_private(&self.folder.join("dev.json"), &text)?)
    }

    /// Takes that back.
    pub(super) fn withdraw(&self) -> Result<(), DevError> {
        match fs_err::remove_file(self.folder.join("dev.json")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_session_that_runs_is_found() {
        let workspace = tempfile::tempdir().expect("a folder");
        let member = workspace.path().join("modules").join("a");
        fs_err::create_dir_all(&member).expect("folders");
        let found = || Session::find(&member).map(|(_, session)| session);
        assert_eq!(found(), None);
        let session = Session { pid: 1, node: "http://n".to_owned(), registry: "http://r".to_owned() };
        let claim = Claim::take(workspace.path(), false).await.expect("nobody has it");
        assert_eq!(found(), None);
        claim.announce(&session).expect("writable");
        assert_eq!(found(), Some(session.clone()));
        let second = Claim::take(workspace.path(), false).await.expect_err("somebody has it");
        assert!(matches!(second, DevError::Running { session: Some(known) } if known == session));
        // As after `kill -9`.
        drop(claim);
        assert_eq!(found(), None);
        Claim::take(workspace.path(), false).await.expect("nobody has it");
    }
}
