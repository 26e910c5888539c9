//! An OpenAI-compatible API that answers for models, and what it says of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{RequestBuilder, Response};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::{Endpoint, NodeError};
use crate::identity::Secret;

/// The largest answer that is no stream.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// The largest list of models, and the most of them.
const MAX_LIST: usize = 4 << 20;
const MAX_MODELS: usize = 10_000;

/// How long a provider may take to list its models, and how long its list, or that there is none, is kept.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_KEPT: Duration = Duration::from_secs(60);
const NO_LIST_KEPT: Duration = Duration::from_secs(10);

/// An OpenAI-compatible API.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What it is called here.
    pub name: String,
    /// Its base, up to and without `/chat/completions`.
    pub url: Url,
    /// The models that it serves, with `*` for anything; none: all that no other does.
    pub models: Vec<String>,
    /// Its key.
    pub key: Option<Secret>,
}

impl Provider {
    /// The name of one that was given none.
    pub const UNNAMED: &'static str = "provider";

    /// Whether it serves a model.
    pub(super) fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| matches(pattern, model))
    }

    fn with_key(&self, call: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => call.bearer_auth(key.reveal()),
            None => call,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// A text of the provider's without its key, which some repeat in their errors.
    pub(super) fn redact(&self, text: &str) -> String {
        let text = self.key.as_ref().map_or(text.to_owned(), |key| text.replace(key.reveal(), "…"));
        crate::secrets::redact(&text)
    }

    /// That it failed, without its URL.
    pub(super) fn failed(&self, what: &str) -> NodeError {
        let name = if self.name == Self::UNNAMED { String::new() } else { format!(" `{}`", self.name) };
        NodeError::Upstream(format!("the model provider{name} {}", self.redact(what)))
    }

    /// Asks it; the answer is good as far as its head says.
    pub(super) async fn ask(
        &self,
        http: &reqwest::Client,
        endpoint: Endpoint,
        request: &Map<String, Value>,
    ) -> Result<Response, NodeError> {
        let call = self.with_key(http.post(self.url(endpoint.path())).json(request));
        let response = call.send().await.map_err(|error| self.failed(unanswered(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.read(response, MAX_LIST).await?;
        let body: Value =
            serde_json::from_slice(&bytes).map_err(|_| self.failed(&format!("answered {status} without JSON")))?;
        let message = body.pointer("/error/message").or_else(|| body.get("message")).and_then(Value::as_str);
        Err(self.failed(&format!("answered {status}: {}", message.unwrap_or("no reason given"))))
    }

    async fn read(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, NodeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(unanswered(&error)))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > limit {
                return Err(self.failed(&format!("answered more than {} MiB", limit >> 20)));
            }
        }
        Ok(bytes)
    }

    /// Reads an answer that is no stream.
    pub(super) async fn whole(
        &self,
        endpoint: Endpoint,
        response: Response,
        patience: Duration,
    ) -> Result<Value, NodeError> {
        let status = response.status();
        let reading = tokio::time::timeout(patience, self.read(response, MAX_ANSWER));
        let bytes = reading.await.map_err(|_| self.failed("did not answer in time"))??;
        let body: Value =
            serde_json::from_slice(&bytes).map_err(|_| self.failed(&format!("answered {status} without JSON")))?;
        let (key, what) = endpoint.expected();
        if !body[key].is_array() {
            return Err(self.failed(&format!("answered {status} with JSON that is no {what}")));
        }
        Ok(body)
    }

    /// Asks for the ids of its models.
    async fn list(&self, http: &reqwest::Client) -> Option<Vec<String>> {
        let asked = async {
            let response = self.with_key(http.get(self.url("models"))).send().await.ok()?.error_for_status().ok()?;
            let bytes = self.read(response, MAX_LIST).await.ok()?;
            let body: Value = serde_json::from_slice(&bytes).ok()?;
            let ids = body["data"].as_array()?.iter().filter_map(|model| model["id"].as_str());
            Some(ids.take(MAX_MODELS).map(str::to_owned).collect())
        };
        tokio::time::timeout(LIST_TIMEOUT, asked).await.ok().flatten()
    }
}

/// What a provider said of its models, as long as that is kept.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<Option<(Instant, Arc<Vec<String>>)>>);

impl Models {
    /// The ids of its models: those that it lists, and those that its patterns name in full.
    pub(super) async fn ids(&self, provider: &Provider, http: &reqwest::Client) -> Arc<Vec<String>> {
        // Held while it is asked, so that many who want to know ask once.
        let mut kept = self.0.lock().await;
        if let Some((until, ids)) = &*kept
            && *until > Instant::now()
        {
            return ids.clone();
        }
        let listed = provider.list(http).await;
        let until = Instant::now() + if listed.is_some() { LIST_KEPT } else { NO_LIST_KEPT };
        let mut ids = listed.unwrap_or_default();
        for named in provider.models.iter().filter(|pattern| !pattern.contains('*')) {
            if !ids.contains(named) {
                ids.push(named.clone());
            }
        }
        let ids = Arc::new(ids);
        *kept = Some((until, ids.clone()));
        ids
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

/// Why there is no answer, without the provider's URL.
pub(super) fn unanswered(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "did not answer in time";
    }
    if error.is_connect() {
        return "cannot be reached";
    }
    "broke its answer off"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*b", "ab", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
