//! Server-sent events, as far as a node uses them: `data` lines, one JSON value an event.

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::{ClientError, NodeClient};
use crate::wire::RunEvent;

/// The largest event.
const MAX_EVENT: usize = 64 << 20;

/// The events of a response, until it ends. A whole line, if only one that keeps the connection alive, must come now and
/// then.
pub(super) fn parse<T: DeserializeOwned + Send + 'static>(
    node: NodeClient,
    response: Response,
) -> impl Stream<Item = Result<T, ClientError>> + use<T> {
    stream! {
        let mut body = response.bytes_stream();
        let mut buffer: Vec<u8> = Vec::new();
        let patience = node.policy.call_timeout * 3;
        let mut last_line = tokio::time::Instant::now();
        loop {
            match tokio::time::timeout_at(last_line + patience, body.next()).await {
                Ok(Some(Ok(chunk))) => buffer.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => {
                    yield Err(node.unreachable(error));
                    return;
                }
                Ok(None) if buffer.is_empty() => return,
                Ok(None) => {
                    yield Err(ClientError::Broken { url: node.url().clone() });
                    return;
                }
                Err(_) => {
                    yield Err(node.timeout());
                    return;
                }
            }
            if buffer.len() > MAX_EVENT {
                yield Err(node.garbage("an endless event".to_owned()));
                return;
            }
            let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = buffer.split_off(end + 1);
            for line in std::mem::replace(&mut buffer, rest).split(|byte| *byte == b'\n') {
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                // How streams of models end.
                if data.trim_ascii() == b"[DONE]" {
                    return;
                }
                yield serde_json::from_slice(data).map_err(|error| node.garbage(error.to_string()));
            }
            // Not counted: what whoever reads the events has done with them.
            last_line = tokio::time::Instant::now();
        }
    }
}

/// A run's events. When the connection breaks, the node is asked again for those after the last one; it is given up when
/// that brings nothing new again and again.
pub(super) fn resuming(
    node: NodeClient,
    run: String,
    mut after: u64,
    follow: bool,
    first: Response,
) -> impl Stream<Item = Result<RunEvent, ClientError>> {
    stream! {
        let mut events = Box::pin(parse::<RunEvent>(node.clone(), first));
        let mut in_vain = 0;
        loop {
            let error = match events.next().await {
                Some(Ok(event)) => {
                    (after, in_vain) = (event.seq, 0);
                    yield Ok(event);
                    continue;
                }
                Some(Err(error)) if error.is_passing() => error,
                Some(Err(error)) => {
                    yield Err(error);
                    return;
                }
                None => return,
            };
            in_vain += 1;
            let Some(wait) = node.policy.wait(in_vain, None) else {
                yield Err(error);
                return;
            };
            tokio::time::sleep(wait).await;
            match node.events_after(&run, after, follow).await {
                Ok(response) => events = Box::pin(parse(node.clone(), response)),
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
        }
    }
}
