//! The conversation with a run's process: its calls of other modules, many at a time, and its result.

use std::{collections::HashMap, convert::Infallible, fmt, io, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    messages::{Call, FromChild, ResultFrame},
    worker::{Channel, Outgoing},
};
use crate::wire::RunRecord;

/// The largest call, as large as at the other doors.
pub(super) const MAX_CALL: usize = 64 << 20;

/// Calls that one run may have in flight; further ones wait unread, or in their interpreter when that is shared.
pub(super) const MAX_IN_FLIGHT: usize = 16 * 1024;

/// Who brings a run's calls to the modules that they are for.
#[async_trait]
pub(in crate::node) trait Calls: fmt::Debug + Send + Sync {
    /// What has become of the run, or why there was none. Dropping it cancels the run.
    async fn call(&self, call: Call) -> Result<Answered, String>;
}

/// What a call is answered with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::node) enum Answered {
    /// The record of the ended run.
    Record(Box<RunRecord>),
    /// Its result alone.
    Result(String),
}

/// Sees to a run's calls until its result is there; `None` when the process closed its side before that. `started` is cancelled once the module's function is called.
pub(super) async fn converse(
    channel: &mut Channel,
    calls: Option<&Arc<dyn Calls>>,
    limit: usize,
    started: &CancellationToken,
) -> io::Result<Option<ResultFrame>> {
    let (mut reader, writer) = channel.split();
    // Boxed, since a channel has room for 32 from the beginning.
    let (requests, received) = mpsc::channel::<Box<Request>>(64);
    let reading = async {
        loop {
            match reader.next(limit.max(MAX_CALL)).await? {
                Some(FromChild::Started) => started.cancel(),
                Some(FromChild::Call(call)) => drop(requests.send(Box::new(Request::Call(call))).await),
                Some(FromChild::Cancel { id }) => drop(requests.send(Box::new(Request::Cancel(id))).await),
                // Comes another way, or has come.
                Some(FromChild::Output { .. } | FromChild::Here) => {}
                Some(FromChild::Result(frame)) if frame.result.len().max(frame.message.len()) > limit => {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                Some(FromChild::Result(frame)) => return Ok(Some(frame)),
                None => return Ok(None),
            }
        }
    };
    tokio::select! {
        ended = reading => ended,
        never = answer(received, writer, calls) => match never {},
    }
}

/// What a run asks for.
enum Request {
    Call(Call),
    Cancel(u64),
}

/// What it is answered.
#[derive(Serialize)]
struct Answer {
    op: &'static str,
    id: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Answered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Answer {
    fn new(id: u64, ended: Result<Answered, String>) -> Self {
        let (status, data, message) = match ended {
            Ok(answered) => ("success", Some(answered), None),
            Err(message) => ("error", None, Some(message)),
        };
        Answer { op: "answer", id, status, data, message }
    }
}

/// Brings calls on their way and writes their answers. What is in flight when this is dropped is cancelled.
async fn answer(
    mut requests: mpsc::Receiver<Box<Request>>,
    mut writer: Outgoing<'_>,
    calls: Option<&Arc<dyn Calls>>,
) -> Infallible {
    let mut in_flight = JoinSet::new();
    let mut handles: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        let answer = tokio::select! {
            Some(request) = requests.recv(), if in_flight.len() < MAX_IN_FLIGHT => {
                match (*request, calls) {
                    (Request::Call(call), Some(calls)) => {
                        let (id, calls) = (call.id, calls.clone());
                        handles.insert(id, in_flight.spawn(async move { (id, calls.call(call).await) }));
                        continue;
                    }
                    (Request::Call(call), None) => {
                        Answer::new(call.id, Err("nothing can be called while a module is imported".to_owned()))
                    }
                    (Request::Cancel(id), _) => {
                        handles.remove(&id).inspect(AbortHandle::abort);
                        continue;
                    }
                }
            }
            Some(ended) = in_flight.join_next() => match ended {
                Ok((id, ended)) => {
                    handles.remove(&id);
                    Answer::new(id, ended)
                }
                Err(error) => {
                    let id = handles.iter().find(|(_, handle)| handle.id() == error.id()).map(|(id, _)| *id);
                    // One that was given up is not there any more.
                    let Some(id) = id.inspect(|id| drop(handles.remove(id))) else { continue };
                    Answer::new(id, Err("the node has a defect and could not answer".to_owned()))
                }
            },
            else => std::future::pending().await,
        };
        // A process that does not read any more is about to end, which its reader finds out.
        let _ = writer.send(&answer).await;
    }
}
