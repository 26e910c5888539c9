//! Server-sent events, as far as a node uses them: `data` lines, one JSON value an event.

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use serde::de::DeserializeOwned;
use url::Url;

use super::ClientError;

/// The largest event.
const MAX_EVENT: usize = 64 << 20;

/// The events of a response, until it ends.
pub(super) fn parse<T: DeserializeOwned + Send + 'static>(
    url: Url,
    response: Response,
) -> impl Stream<Item = Result<T, ClientError>> + use<T> {
    stream! {
        let mut body = response.bytes_stream();
        let mut buffer: Vec<u8> = Vec::new();
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => buffer.extend_from_slice(&chunk),
                Err(error) => {
                    yield Err(ClientError::Unreachable { url: url.clone(), error: error.without_url() });
                    return;
                }
            }
            if buffer.len() > MAX_EVENT {
                yield Err(ClientError::Garbage { url: url.clone(), what: "an endless event".to_owned() });
                return;
            }
            let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = buffer.split_off(end + 1);
            for line in std::mem::replace(&mut buffer, rest).split(|byte| *byte == b'\n') {
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                yield serde_json::from_slice(data)
                    .map_err(|error| ClientError::Garbage { url: url.clone(), what: error.to_string() });
            }
        }
    }
}
