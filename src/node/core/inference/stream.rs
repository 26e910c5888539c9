//! A provider's server-sent events, passed on as they come.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::{Response, header};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    NodeError, OnUsed, Provider, Used,
    provider::{MAX_ANSWER, unanswered},
};

/// The largest event.
const MAX_EVENT: usize = 1 << 20;

/// How long a stream may go on.
const MAX_TIME: Duration = Duration::from_secs(3600);

/// One event.
pub(super) fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// The event that ends a stream well.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Passes a provider's stream on. What goes wrong on the way is its last event, since the answer has begun; whoever drops
/// it hangs up on the provider.
pub(super) fn pass(
    provider: Arc<Provider>,
    mut response: Response,
    mut used: Used,
    on_used: OnUsed,
) -> Result<BoxStream<'static, Bytes>, NodeError> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Err(provider.failed(&format!("answered {status} without a stream")));
    }
    let deadline = Instant::now() + MAX_TIME;
    Ok(Box::pin(stream! {
        let (mut buffer, mut size) = (Vec::new(), 0);
        let problem = 'answer: loop {
            while let Some(end) = end_of_event(&buffer) {
                let rest = buffer.split_off(end);
                let whole = std::mem::replace(&mut buffer, rest);
                let text = String::from_utf8_lossy(&whole);
                let data = text.lines().find_map(|line| line.strip_prefix("data:")).map_or("", str::trim);
                if data == "[DONE]" {
                    break 'answer None;
                }
                if data.contains("\"usage\"") {
                    count(data, &mut used);
                }
                // As it came, unless it holds the key.
                let holds_key = provider.key.as_ref().is_some_and(|key| text.contains(key.reveal()));
                yield if holds_key { Bytes::from(provider.redact(&text)) } else { Bytes::from(whole) };
            }
            let chunk = match tokio::time::timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) if buffer.trim_ascii().is_empty() => break None,
                Ok(Ok(None)) => break Some(provider.failed("broke its answer off")),
                Ok(Err(error)) => break Some(provider.failed(unanswered(&error))),
                Err(_) => break Some(provider.failed("did not come to an end in time")),
            };
            size += chunk.len();
            buffer.extend_from_slice(&chunk);
            if size > MAX_ANSWER || buffer.len() > MAX_EVENT + chunk.len() {
                break Some(provider.failed(&format!("answered more than {} MiB", MAX_ANSWER >> 20)));
            }
        };
        match problem {
            None => yield Bytes::from_static(DONE),
            Some(problem) => yield event(&json!({ "error": {
                "message": problem.to_string(), "type": "upstream_error", "code": problem.status(),
            } })),
        }
        on_used(used);
    }))
}

/// Where the first event ends, after its empty line.
fn end_of_event(buffer: &[u8]) -> Option<usize> {
    let newlines = buffer.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let mut last = None;
    for at in newlines {
        if last.is_some_and(|last| buffer[last + 1..at].iter().all(|byte| *byte == b'\r')) {
            return Some(at + 1);
        }
        last = Some(at);
    }
    None
}

fn count(data: &str, used: &mut Used) {
    let Ok(chunk) = serde_json::from_str::<Value>(data) else { return };
    let tokens = |key: &str| chunk["usage"][key].as_u64();
    used.prompt_tokens = tokens("prompt_tokens").or(used.prompt_tokens);
    used.completion_tokens = tokens("completion_tokens").or(used.completion_tokens);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line() {
        for (text, end) in [
            ("data: 1\n\ndata", Some(9)),
            ("data: 1\r\n\r\n", Some(11)),
            ("data: 1\n", None),
            ("data: 1", None),
            (": alive\nevent: x\n\n", Some(18)),
        ] {
            assert_eq!(end_of_event(text.as_bytes()), end, "{text:?}");
        }
    }
}
