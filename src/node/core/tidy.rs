//! What of modules stays on the disk: what a revision is made of that can be gone back to, what a run needs that has not
//! ended, and what is about to be deployed.

use std::{collections::HashSet, sync::atomic::Ordering};

use super::{Core, NodeError};
use crate::wire::DeploymentView;

/// The newest revisions of each deployment whose modules stay. Its history has all of them.
pub(in crate::node) const KEPT_REVISIONS: usize = 20;

fn archives<'a>(revisions: impl IntoIterator<Item = &'a DeploymentView>) -> HashSet<String> {
    revisions.into_iter().flat_map(|revision| &revision.modules).map(|pin| pin.sha256.clone()).collect()
}

impl Core {
    /// Removes what nothing needs any more: archives and what was made of them once a deployment has changed, and copies that
    /// parents see.
    pub(super) async fn tidy(&self) {
        let tidied = async {
            if !self.is_tidy.swap(true, Ordering::AcqRel) {
                self.installs.keep_only(&self.needed().await?).await.map_err(NodeError::internal("remove archives"))?;
            }
            let live = self.store.deployments().await.map_err(NodeError::internal("read its deployments"))?;
            self.parents.keep_shown(&archives(live.iter().map(AsRef::as_ref)));
            Ok::<_, NodeError>(())
        };
        if let Err(error) = tidied.await {
            // The next time again: what is being removed may have been written to.
            self.is_tidy.store(false, Ordering::Release);
            tracing::warn!(%error, "what is not needed any more stays on the disk");
        }
    }

    /// The archives that revisions and runs need.
    async fn needed(&self) -> Result<HashSet<String>, NodeError> {
        let newest = self.store.newest_revisions(KEPT_REVISIONS).await;
        let mut revisions = newest.map_err(NodeError::internal("read its deployments"))?;
        let unfinished = self.store.unfinished_by_revision().await;
        for (name, number) in unfinished.map_err(NodeError::internal("count its unfinished runs"))?.into_keys() {
            let revision = self.store.revision(&name, number).await;
            revisions.extend(revision.map_err(NodeError::internal("read its deployments"))?);
        }
        Ok(archives(&revisions))
    }
}
