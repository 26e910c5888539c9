//! A run's events: stored as they come, and followed.

use std::sync::{Arc, atomic::Ordering};

use async_stream::stream;
use futures_util::Stream;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{ActiveRun, Core, LINES, NodeError};
use crate::wire::{EventPayload, RunEvent};

/// Events that a follower reads at a time.
const PAGE: u32 = 500;

impl Core {
    /// Stores events and wakes followers.
    pub(in crate::node::core) async fn record(&self, run: &ActiveRun, events: Vec<(Timestamp, EventPayload)>) {
        let count = events.len();
        match self.store.append_events(&run.id, events).await {
            Ok(()) => {
                run.stored_events(count);
                run.progress.send_modify(|_| {});
            }
            Err(error) => tracing::error!(run = run.id, error = format!("{error:#}"), "failed to store events"),
        }
    }

    pub(super) async fn keep_lines(&self, run: &ActiveRun, mut lines: mpsc::Receiver<(&'static str, String)>) {
        let mut batch = Vec::new();
        while lines.recv_many(&mut batch, LINES).await > 0 {
            let now = Timestamp::now();
            let events = batch
                .drain(..)
                .map(|(stream, text)| (now, EventPayload::Line { stream: stream.to_owned(), text }))
                .collect();
            self.record(run, events).await;
        }
    }

    /// A run's events after a number, and with `live` those to come until its end.
    pub(in crate::node) fn follow(
        self: &Arc<Self>,
        id: String,
        mut after: u64,
        live: bool,
    ) -> impl Stream<Item = Result<RunEvent, NodeError>> + Send + use<> {
        let core = self.clone();
        stream! {
            loop {
                // Looked up before the events are read, so that none can slip in between.
                let active = core.active(&id);
                let mut progress = active.as_ref().map(|run| run.progress.subscribe());
                if let Some(progress) = &mut progress {
                    progress.mark_unchanged();
                }
                let first = active.as_ref().and_then(|run| run.first.clone()).filter(|first| first.seq - 1 == after);
                // What is known is not read. Numbers begin at 1, and `after` may be any that a client sends.
                let is_new = active.as_ref().is_none_or(|run| run.events.load(Ordering::Acquire) > after);
                let events = match first {
                    Some(first) => vec![first],
                    None if !is_new => Vec::new(),
                    None => match core.store.events(&id, after, PAGE).await {
                        Ok(events) => events,
                        Err(error) => {
                            yield Err(NodeError::internal("read events")(error));
                            return;
                        }
                    },
                };
                // There may be more than the first, or than a page.
                let is_part = events.len() == PAGE as usize || events.first().is_some_and(|event| event.seq == 1);
                for event in events {
                    after = event.seq;
                    let is_final =
                        matches!(&event.payload, EventPayload::Status { status, .. } if status.is_final());
                    if is_final && let Some(progress) = &mut progress {
                        // An end is told once it is on disk.
                        let _ = progress.wait_for(|progress| progress.has_ended).await;
                    }
                    yield Ok(event);
                    if is_final {
                        return;
                    }
                }
                match progress {
                    _ if is_part => {}
                    Some(mut progress) if live => {
                        // The run itself is dropped only after its end is stored.
                        drop(active);
                        let _ = progress.changed().await;
                        let last = progress.borrow().last.clone();
                        if let Some(last) = last.filter(|last| last.seq - 1 == after) {
                            yield Ok(last);
                            return;
                        }
                    }
                    _ => return,
                }
            }
        }
    }
}
