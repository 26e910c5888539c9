//! Calls that come over a run's own channel: what `compat.py` takes off the WebSocket door.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    super::runtime::{Answered, Call, Calls},
    Caller, Core, NodeError,
    calls::runnable,
    runs::ActiveRun,
};
use crate::{node::error::reason, wire::RunInput};

/// The calls of one run. The channel is the proof that a call is its own.
#[derive(Debug)]
pub(super) struct RunCalls {
    core: Arc<Core>,
    run: Arc<ActiveRun>,
}

impl RunCalls {
    pub(super) fn of(core: &Arc<Core>, run: &Arc<ActiveRun>) -> Arc<dyn Calls> {
        Arc::new(RunCalls { core: core.clone(), run: run.clone() })
    }

    async fn bring(&self, call: Call) -> Result<Result<Answered, String>, NodeError> {
        let module_type = runnable(&call.module_type)?;
        let target = self.core.peers.target(&call.target).await;
        let target = target.ok_or_else(|| NodeError::missing(format!("there is no node `{}`", call.target)))?;
        let input: RunInput = serde_json::from_value(call.input)
            .map_err(|error| NodeError::Invalid(format!("the call is not as expected: {}", reason(&error))))?;
        let (run, consumer) = (self.run.id.clone(), self.run.consumer.clone());
        let caller = Caller::Run { run, consumer, target };
        if call.brief {
            return Ok(self.core.result_of_call(&caller, module_type, input).await?.map(Answered::Result));
        }
        let record = self.core.call(&caller, module_type, input).await?;
        Ok(Ok(Answered::Record(Box::new(record))))
    }
}

#[async_trait]
impl Calls for RunCalls {
    async fn call(&self, call: Call) -> Result<Answered, String> {
        self.bring(call).await.unwrap_or_else(|error| Err(error.problem().detail))
    }
}
