//! Calls that come over a run's own channel: what `compat.py` takes off the WebSocket door.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    super::runtime::{Answered, Call, Calls},
    Caller, Core, NodeError, Target,
    calls::runnable,
    runs::ActiveRun,
};
use crate::{node::error::reason, wire::RunInput};

/// How many calls of a run are accepted at a time. What that takes is not there for ten thousand at once.
const ACCEPTING: usize = 256;

/// The calls of one run. The channel is the proof that a call is its own.
#[derive(Debug)]
pub(super) struct RunCalls {
    core: Arc<Core>,
    run: Arc<ActiveRun>,
    /// Those that are being accepted.
    accepting: Semaphore,
}

impl RunCalls {
    pub(super) fn of(core: &Arc<Core>, run: &Arc<ActiveRun>) -> Arc<dyn Calls> {
        Arc::new(RunCalls { core: core.clone(), run: run.clone(), accepting: Semaphore::new(ACCEPTING) })
    }

    async fn bring(&self, call: Call) -> Result<Result<Answered, String>, NodeError> {
        let module_type = runnable(&call.module_type)?;
        let target = self.core.peers.target(&call.target).await;
        let target = target.ok_or_else(|| NodeError::missing(format!("there is no node `{}`", call.target)))?;
        let is_elsewhere = matches!(target, Target::Peer(_));
        let (run, consumer) = (self.run.id.clone(), self.run.consumer.clone());
        let caller = Caller::Run { run, consumer, target };
        let (brief, input) = (call.brief, call.input);
        if is_elsewhere {
            let mut record = Box::pin(self.core.call(&caller, module_type, read(input)?)).await?;
            if brief {
                let result = record.results.pop();
                return Ok(result.map(Answered::Result).ok_or_else(|| record.error_message.unwrap_or_default()));
            }
            return Ok(Ok(Answered::Record(Box::new(record))));
        }
        let waiting = {
            // It is never closed.
            let _turn = self.accepting.acquire().await;
            let accept = async { self.core.accept_call(&caller, module_type, read(input)?).await };
            Box::pin(accept).await?
        };
        if brief {
            return Ok(self.core.outcome(waiting.run()).await.map(Answered::Result));
        }
        let record = self.core.answer_of(&caller, &waiting).await?;
        Ok(Ok(Answered::Record(Box::new(record))))
    }
}

/// What a call asks for.
fn read(input: Value) -> Result<RunInput, NodeError> {
    serde_json::from_value(input)
        .map_err(|error| NodeError::Invalid(format!("the call is not as expected: {}", reason(&error))))
}

#[async_trait]
impl Calls for RunCalls {
    async fn call(&self, call: Call) -> Result<Answered, String> {
        self.bring(call).await.unwrap_or_else(|error| Err(error.problem().detail))
    }
}
