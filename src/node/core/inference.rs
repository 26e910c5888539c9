//! Inference: the built-in model `napt/echo`, and a proxy to one OpenAI-compatible provider. Providers' keys stay here.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

use super::NodeError;
use crate::identity::{Secret, random_hex};

/// The built-in model: it answers with the last user message.
pub(in crate::node) const ECHO: &str = "napt/echo";

/// The largest completion.
const MAX_ANSWER: usize = 64 << 20;

/// How long a completion may take; the SDK's own clients wait for 300 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// An OpenAI-compatible API.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its base, up to and without `/chat/completions`.
    pub url: Url,
    /// Its key.
    pub key: Option<Secret>,
}

/// The node's models.
#[derive(Debug)]
pub(in crate::node) struct Inference {
    provider: Option<Provider>,
    http: reqwest::Client,
}

impl Inference {
    pub(super) fn new(provider: Option<Provider>) -> Self {
        Self::with_timeout(provider, ANSWER_TIMEOUT)
    }

    fn with_timeout(provider: Option<Provider>, timeout: Duration) -> Self {
        // Of its own: a model may think for longer than any other server may be silent.
        let http = reqwest::Client::builder()
            .user_agent(concat!("napt/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(timeout)
            .build()
            .expect("a client without custom certificates can be built");
        Inference { provider, http }
    }

    /// Answers a chat completion, as OpenAI's API does.
    pub(in crate::node) async fn chat(&self, mut request: Map<String, Value>) -> Result<Value, NodeError> {
        // The SDK sends every field that it knows; providers refuse nulls.
        request.retain(|_, value| !value.is_null());
        let model = request
            .get("model")
            .and_then(Value::as_str)
            .ok_or_else(|| NodeError::Invalid("`model` is missing".to_owned()))?
            .to_owned();
        if model == ECHO {
            return echo(&request);
        }
        let Some(provider) = &self.provider else {
            return Err(NodeError::NotFound {
                what: format!("model `{model}` is not served by this node"),
                hint: Some(format!(
                    "use `{ECHO}`, or have its operator name a provider with `napt node --provider URL`"
                )),
            });
        };
        if request.get("stream").and_then(Value::as_bool) == Some(true) {
            return Err(NodeError::Invalid("streamed completions are not served yet; leave `stream` out".to_owned()));
        }
        let key = provider.key.as_ref().map(Secret::reveal);
        // Some providers repeat the key in their errors.
        let failed = |what: String| {
            let what = key.map_or(what.clone(), |key| what.replace(key, "…"));
            NodeError::Upstream(format!("the model provider {}", crate::secrets::redact(&what)))
        };
        let url = format!("{}/chat/completions", provider.url.as_str().trim_end_matches('/'));
        let mut call = self.http.post(url).json(&request);
        if let Some(key) = key {
            call = call.bearer_auth(key);
        }
        let mut response = call.send().await.map_err(|error| failed(unanswered(&error)))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(unanswered(&error)))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                return Err(failed(format!("answered more than {} MiB", MAX_ANSWER >> 20)));
            }
        }
        let body: Value =
            serde_json::from_slice(&bytes).map_err(|_| failed(format!("answered {status} without JSON")))?;
        if !status.is_success() {
            let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(failed(format!("answered {status}: {message}")));
        }
        if !body["choices"].is_array() {
            return Err(failed(format!("answered {status} with JSON that is no completion")));
        }
        Ok(body)
    }

    /// Lists the models that are certainly there.
    pub(in crate::node) fn models(&self) -> Value {
        json!({ "object": "list", "data": [{ "id": ECHO, "object": "model", "created": 0, "owned_by": "napt" }] })
    }
}

/// Why there is no answer, without the provider's URL.
fn unanswered(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    if error.is_connect() {
        return "cannot be reached".to_owned();
    }
    "broke its answer off".to_owned()
}

fn echo(request: &Map<String, Value>) -> Result<Value, NodeError> {
    let messages = request.get("messages").and_then(Value::as_array);
    let messages = messages.ok_or_else(|| NodeError::Invalid("`messages` is missing".to_owned()))?;
    let said = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user")
        .map_or("", |message| message["content"].as_str().unwrap_or_default());
    Ok(json!({
        "id": format!("chatcmpl-{}", random_hex(12)),
        "object": "chat.completion",
        "created": Timestamp::now().as_second(),
        "model": ECHO,
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": { "role": "assistant", "content": said },
        }],
        "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_provider_that_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", silent.local_addr().expect("an address")).parse().expect("a URL");
        let provider = Provider { url, key: Some(Secret::new("sk-secret")) };
        let inference = Inference::with_timeout(Some(provider), Duration::from_millis(100));
        let request = json!({ "model": "m", "messages": [] }).as_object().expect("an object").clone();
        let error = inference.chat(request).await.expect_err("a timeout");
        assert_eq!(error.to_string(), "the model provider did not answer in time");
    }
}
