//! Inference: the built-in model `napt/echo`, and a proxy to one OpenAI-compatible provider. Providers' keys stay here.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

use super::NodeError;
use crate::identity::{Secret, random_hex};

/// The built-in model: it answers with the last user message.
pub(in crate::node) const ECHO: &str = "napt/echo";

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
    pub(super) fn new(provider: Option<Provider>, http: reqwest::Client) -> Self {
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
        let failed = |what: String| NodeError::Upstream(format!("the model provider {what}"));
        let url = format!("{}/chat/completions", provider.url.as_str().trim_end_matches('/'));
        let mut call = self.http.post(url).json(&request);
        if let Some(key) = &provider.key {
            call = call.bearer_auth(key.reveal());
        }
        let response = call.send().await.map_err(|error| failed(format!("did not answer: {}", error.without_url())))?;
        let status = response.status();
        let body: Value = response.json().await.map_err(|_| failed(format!("answered {status} without JSON")))?;
        if !status.is_success() {
            let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(failed(format!("answered {status}: {}", crate::shell::redact(message))));
        }
        Ok(body)
    }

    /// Lists the models that are certainly there.
    pub(in crate::node) fn models(&self) -> Value {
        json!({ "object": "list", "data": [{ "id": ECHO, "object": "model", "created": 0, "owned_by": "napt" }] })
    }
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
