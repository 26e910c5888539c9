//! `.napt/dev/` of a workspace: what its `napt dev` keeps, and that there is one at a time.

use std::{
    fs::TryLockError,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use super::DevError;
use crate::{files, module::DevSession};

/// How long a lock may be held by one who only looks whether somebody holds it.
const GLANCE: Duration = Duration::from_millis(500);

/// The folder of a workspace's `napt dev`, held by one process at a time.
#[derive(Debug)]
pub(super) struct Claim {
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Claim {
    /// Takes the folder, which is made when it is not there. `fresh` empties it.
    pub(super) async fn take(workspace: &Path, fresh: bool) -> Result<Self, DevError> {
        let folder = DevSession::folder(workspace);
        fs_err::create_dir_all(&folder)?;
        // Whatever the workspace's own rules are: nothing here is for a repository.
        fs_err::write(folder.join(".gitignore"), "*\n")?;
        let lock = fs_err::File::create(folder.join(DevSession::LOCK))?.into_parts().0;
        let start = tokio::time::Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < GLANCE => {
                    tokio::time::sleep(GLANCE / 10).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(DevError::Running { session: DevSession::find(workspace).map(|(_, session)| session) });
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
    pub(super) fn announce(&self, session: &DevSession) -> Result<(), DevError> {
        let text = serde_json::to_vec_pretty(session).map_err(std::io::Error::from)?;
        Ok(files::write_private(&self.folder.join(DevSession::FILE), &text)?)
    }

    /// Takes that back.
    pub(super) fn withdraw(&self) -> Result<(), DevError> {
        match fs_err::remove_file(self.folder.join(DevSession::FILE)) {
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
        let found = || DevSession::find(&member).map(|(_, session)| session);
        assert_eq!(found(), None);
        let session = DevSession { pid: 1, node: "http://n".to_owned(), registry: "http://r".to_owned() };
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
