//! What happens to the runs that an earlier process of the node has left unfinished.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU64},
};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{ActiveRun, Core, Demand, NOT_COUNTED, NodeError, RunEgress};
use crate::{identity::random_hex, wire::RunStatus};

impl Core {
    /// After a restart: what was running has ended, what was waiting waits again.
    pub(in crate::node::core) async fn recover(self: &Arc<Self>) -> Result<(), NodeError> {
        let unfinished = self.store.unfinished_runs().await.map_err(NodeError::internal("read unfinished runs"))?;
        for (id, status, parent) in unfinished {
            let stored = self.stored_run(&id).await?;
            let waits = status == RunStatus::Pending && parent.is_none();
            let (name, revision) = &stored.revision;
            let modules = match waits {
                true => self.store.revision(name, *revision).await.map_err(NodeError::internal("read a deployment"))?,
                false => None,
            };
            // One that waited for what is not deployed yet does so again.
            let demand =
                match (waits && stored.view.version.is_none(), serde_json::from_value(stored.deployment.clone())) {
                    (true, Ok(given)) => Some(Demand {
                        module: stored.view.module.clone(),
                        owner: stored.view.consumer.clone(),
                        base: modules.clone().map(Arc::new),
                        given,
                        newest: false,
                    }),
                    _ => None,
                };
            if modules.is_none() && demand.is_none() {
                let why = Some("node restarted".to_owned());
                let ended = self.store.finish_run(&id, RunStatus::Error, None, why, Timestamp::now()).await;
                ended.map_err(NodeError::internal("end a run that was interrupted"))?;
                continue;
            }
            let run = self.activate(ActiveRun {
                id,
                secret: random_hex(16),
                consumer: stored.view.consumer,
                root: stored.view.root,
                depth: 0,
                modules: modules
                    .filter(|_| demand.is_none())
                    .map(|view| OnceLock::from(Arc::new(view)))
                    .unwrap_or_default(),
                module: stored.view.module,
                via: None,
                // There is no harm in forgetting what is not there.
                has_secrets: true,
                cancel: CancellationToken::new(),
                claimed: AtomicBool::new(false),
                reason: OnceLock::new(),
                egress: RunEgress::default(),
                outcome: OnceLock::new(),
                stored: Mutex::default(),
                first: None,
                events: AtomicU64::new(NOT_COUNTED),
                progress: watch::Sender::default(),
            });
            match demand {
                Some(demand) => self.prepare(&run, demand),
                None => self.enqueue(&run).await,
            }
        }
        self.forget_secrets_of_runs(None).await;
        Ok(())
    }
}
