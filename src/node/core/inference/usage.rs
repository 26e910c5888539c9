//! What models were used for a run: an event of it.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::{Core, access::Caller};
use crate::wire::EventPayload;

/// What an answer took, as far as its provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Used {
    pub(in crate::node) provider: String,
    pub(in crate::node) model: String,
    pub(in crate::node) prompt_tokens: Option<u64>,
    pub(in crate::node) completion_tokens: Option<u64>,
}

/// Who is told what an answer took, once it is complete.
pub(in crate::node) type OnUsed = Box<dyn FnOnce(Used) + Send>;

impl Core {
    /// Makes what a run uses an event of it.
    pub(in crate::node) fn on_used(self: &Arc<Self>, caller: &Caller) -> OnUsed {
        let run = match caller {
            Caller::Run { run, .. } => self.active(run),
            Caller::User(_) | Caller::Open => None,
        };
        let core = self.clone();
        Box::new(move |Used { provider, model, prompt_tokens, completion_tokens }| {
            let Some(run) = run else { return };
            tokio::spawn(async move {
                let used = EventPayload::Inference { provider, model, prompt_tokens, completion_tokens };
                core.record(&run, vec![(Timestamp::now(), used)]).await;
            });
        })
    }
}
