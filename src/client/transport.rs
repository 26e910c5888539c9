//! One call to a node: signed, bounded in time and memory, and made again where that can do no harm.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use napt_registry_client::retry_after;
use reqwest::{Method, RequestBuilder, Response, header};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{ClientError, Credential, NodeClient};
use crate::{
    identity::{RequestSignature, body_digest},
    report::Progress,
    wire::Problem,
};

/// The largest answer: a run's inputs and its result, as JSON.
const MAX_ANSWER: u64 = 256 << 20;

/// The largest explanation of a refusal.
const MAX_PROBLEM: u64 = 1 << 20;

/// What every connection may be trusted to move in a second.
const BYTES_A_SECOND: u64 = 16 << 10;

/// Bytes that are sent at once where somebody watches.
const CHUNK: usize = 64 << 10;

/// Whether a call may be made again although the node may have acted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is as good as once.
    Harmless,
    /// Only when the node surely has not acted.
    Untouched,
}

/// A body that shows how much of it has gone.
fn watched(body: Bytes, progress: &Progress) -> reqwest::Body {
    let progress = progress.clone();
    let chunks = (0..body.len()).step_by(CHUNK).map(move |from| {
        progress.set(from as u64);
        Ok::<_, std::convert::Infallible>(body.slice(from..body.len().min(from + CHUNK)))
    });
    reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))
}

impl NodeClient {
    /// A request with what proves who sends it, for a body of this digest.
    pub(super) fn proven(&self, method: Method, path: &str, digest: &str) -> Result<RequestBuilder, ClientError> {
        let url = self.url.join(path).map_err(|error| self.garbage(error.to_string()))?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let request = self.http.request(method.clone(), url);
        Ok(match &self.credential {
            Credential::Token(token) => request.bearer_auth(token.reveal()),
            Credential::Key(key) => {
                let now = Timestamp::now().as_second();
                let signature = RequestSignature::sign(key, method.as_str(), &host, &target, digest, now);
                request.header(header::AUTHORIZATION, signature.to_string())
            }
        })
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<RequestBuilder, ClientError> {
        let request = self.proven(method, path, &body_digest(&body))?;
        let request = request.header(header::CONTENT_TYPE, "application/json");
        Ok(match &self.progress {
            Some(progress) => request.header(header::CONTENT_LENGTH, body.len()).body(watched(body, progress)),
            None => request.body(body),
        })
    }

    /// A call whose answer does not matter, beyond that it is a good one.
    pub(super) async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(), ClientError> {
        self.send_as(method, path, body, None).await
    }

    pub(super) async fn send_as(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        repeat: Option<Repeat>,
    ) -> Result<(), ClientError> {
        self.retrying(method, path, body.into(), repeat, async |mut response| {
            // What says nothing is a node's answer; a web page is somebody else's.
            if response.headers().contains_key(header::CONTENT_TYPE) {
                self.expect_kind(&response, "application/json")?;
            }
            self.read(&mut response, MAX_PROBLEM).await.map(|_| ())
        })
        .await
    }

    /// A call that is answered by JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.retrying(method, path, body.into(), None, async |response| self.read_json(response).await).await
    }

    /// An answer of JSON.
    pub(super) async fn read_json<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, ClientError> {
        self.expect_kind(&response, "application/json")?;
        let bytes = self.read(&mut response, MAX_ANSWER).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.garbage(error.to_string()))
    }

    /// A call that is answered by a stream of events.
    pub(super) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        repeat: Option<Repeat>,
    ) -> Result<Response, ClientError> {
        self.retrying(method, path, body.into(), repeat, async |response| {
            self.expect_kind(&response, "text/event-stream")?;
            Ok(response)
        })
        .await
    }

    /// Makes a call until it is answered well, or there is no hope. HTTP says which methods may be repeated, unless the
    /// caller knows better.
    pub(super) async fn retrying<T>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        repeat: Option<Repeat>,
        read: impl AsyncFn(Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let repeat = repeat.unwrap_or(if method == Method::POST { Repeat::Untouched } else { Repeat::Harmless });
        let mut done = 0;
        loop {
            let result = match self.call(method.clone(), path, body.clone()).await {
                Ok(response) => read(response).await,
                Err(error) => Err(error),
            };
            done += 1;
            let error = match result {
                Err(error) if error.is_passing() && (repeat == Repeat::Harmless || error.is_untouched()) => error,
                result => return result,
            };
            let Some(wait) = self.policy.wait(done, error.retry_after()) else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    /// The head of a good answer.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Response, ClientError> {
        // A module may have to be installed again before a run of it is accepted.
        let size = body.len() as u64;
        self.send_request(self.request(method, path, body)?, size).await
    }

    /// The head of a good answer to a request with a body of this size.
    pub(super) async fn send_request(&self, request: RequestBuilder, size: u64) -> Result<Response, ClientError> {
        let patience = self.policy.call_timeout * 3 + Duration::from_secs(size / BYTES_A_SECOND);
        let sent = tokio::time::timeout(patience, request.send()).await;
        let mut response = sent.map_err(|_| self.timeout())?.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(self.garbage(format!("it redirects ({status}), and no credential follows a redirect")));
        }
        if let Some(coding) = response.headers().get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            let coding = coding.to_str().unwrap_or("?");
            return Err(self.garbage(format!("its answer has the content coding `{coding}`, which nobody asked for")));
        }
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        let bytes = self.read(&mut response, MAX_PROBLEM).await?;
        let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
        match problem {
            Some(problem) => {
                Err(ClientError::Refused { url: self.url.clone(), problem: Box::new(problem), retry_after })
            }
            None if ClientError::is_of_gateway(status.as_u16()) => {
                Err(ClientError::Failed { url: self.url.clone(), status: status.as_u16(), retry_after })
            }
            None => Err(self.garbage(format!("{status} without an explanation"))),
        }
    }

    fn expect_kind(&self, response: &Response, expected: &str) -> Result<(), ClientError> {
        let kind =
            response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
        if kind.starts_with(expected) {
            return Ok(());
        }
        Err(self.garbage(match kind.starts_with("text/html") {
            true => "it answers with a web page".to_owned(),
            false => format!("it answers with `{kind}` instead of `{expected}`"),
        }))
    }

    /// A body, as long as it keeps coming.
    async fn read(&self, response: &mut Response, limit: u64) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        let keep = |chunk: &[u8]| {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(self.garbage(format!("its answer is longer than {limit} bytes")));
            }
            body.extend_from_slice(chunk);
            Ok(())
        };
        self.read_chunks(response, keep).await?;
        Ok(body)
    }

    /// The same, wherever it is kept; gives its size.
    pub(super) async fn read_chunks(
        &self,
        response: &mut Response,
        mut keep: impl FnMut(&[u8]) -> Result<(), ClientError>,
    ) -> Result<u64, ClientError> {
        let started = Instant::now();
        let mut size = 0;
        loop {
            let patience = self.policy.call_timeout + Duration::from_secs(size / BYTES_A_SECOND);
            let next = tokio::time::timeout_at(started + patience, response.chunk()).await;
            match next.map_err(|_| self.timeout())?.map_err(|error| self.unreachable(error))? {
                None => return Ok(size),
                Some(chunk) => {
                    size += chunk.len() as u64;
                    keep(&chunk)?;
                }
            }
        }
    }

    /// What it answers by problem JSON.
    pub(super) fn refused(&self, problem: Problem) -> ClientError {
        ClientError::Refused { url: self.url.clone(), problem: Box::new(problem), retry_after: None }
    }

    pub(super) fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), error: error.without_url() }
    }

    pub(super) fn timeout(&self) -> ClientError {
        ClientError::Timeout { url: self.url.clone() }
    }

    pub(super) fn garbage(&self, what: String) -> ClientError {
        ClientError::Garbage { url: self.url.clone(), what }
    }
}
