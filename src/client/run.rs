//! What is to be known of a run while it goes on.

use futures_util::{StreamExt, future::join_all};

use super::NodeClient;
use crate::{
    registries::Registries,
    report::{Failure, Kind},
    resolve::Yanked,
    wire::{EventPayload, ModulePin, RunView},
};

/// Follows a run to its end, and shows each line that it prints to stdout.
pub async fn follow(node: &NodeClient, id: &str, show: &(dyn Fn(&str) + Sync)) -> Result<(), Failure> {
    let again = |failure: Failure| failure.hinted(format!("the run goes on: `napt logs {id} --follow` shows the rest"));
    let mut after = 0;
    loop {
        let mut events = Box::pin(node.events(id, after, true).await.map_err(|error| again(error.into()))?);
        let before = after;
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| again(error.into()))?;
            after = event.seq;
            match event.payload {
                EventPayload::Line { stream, text } if stream == "stdout" => show(&text),
                EventPayload::Status { status, .. } if status.is_final() => return Ok(()),
                _ => {}
            }
        }
        // The node stopped, or cannot read its events just now.
        if node.run_view(id).await.map_err(|error| again(error.into()))?.status.is_final() {
            return Ok(());
        }
        if after == before {
            let what = format!("the node at {} stopped telling of the run", node.url());
            return Err(again(Failure::new(Kind::Network, what)));
        }
    }
}

/// What of the deployment that a run is in was taken back since. Of what cannot be asked, nothing is known.
pub async fn yanked_of(node: &NodeClient, registries: &Registries, run: &RunView) -> Vec<Yanked> {
    let deployments = node.deployments().await.unwrap_or_default();
    let is_run = |pin: &ModulePin| pin.id == run.module && run.version.as_ref() == Some(&pin.version);
    let mut deployed = deployments.into_iter().map(|status| status.deployment.modules);
    let pins = deployed.find(|modules| modules.iter().any(is_run)).unwrap_or_default();
    let asked = pins.iter().map(|pin| async {
        let entry = registries.yanked(&pin.id, &pin.sha256).await?;
        Some(Yanked { id: pin.id.clone(), version: pin.version.clone(), reason: entry.yank_reason })
    });
    join_all(asked).await.into_iter().flatten().collect()
}
