//! Inference: the built-in model `napt/echo`, and a proxy to OpenAI-compatible providers. Providers' keys stay here.

mod echo;
mod provider;
mod stream;
mod usage;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{future::join_all, stream::BoxStream};
use serde_json::{Map, Value, json};

pub use self::provider::Provider;
use self::{
    provider::Models,
    usage::{OnUsed, Used},
};
use super::NodeError;

/// The built-in model: it answers with the last user message.
pub(in crate::node) const ECHO: &str = "napt/echo";

/// How long a provider may be silent; the SDK's own clients wait for 300 s.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many models an error lists.
const LISTED: usize = 20;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Endpoint {
    /// `/chat/completions`.
    Chat,
    /// `/completions`.
    Completions,
    /// `/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// Its path at a provider.
    fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "chat/completions",
            Endpoint::Completions => "completions",
            Endpoint::Embeddings => "embeddings",
        }
    }

    /// The key of an answer that holds what was asked for, and what such an answer is called.
    fn expected(self) -> (&'static str, &'static str) {
        match self {
            Endpoint::Chat | Endpoint::Completions => ("choices", "completion"),
            Endpoint::Embeddings => ("data", "embedding"),
        }
    }
}

/// A model's answer.
pub(in crate::node) enum Answer {
    /// As a whole.
    Whole(Value),
    /// As server-sent events.
    Stream(BoxStream<'static, Bytes>),
}

/// A provider with what it said of its models.
#[derive(Debug)]
struct Source {
    provider: Arc<Provider>,
    models: Models,
}

/// The node's models.
#[derive(Debug)]
pub(in crate::node) struct Inference {
    sources: Vec<Source>,
    http: reqwest::Client,
}

impl Inference {
    pub(super) fn new(providers: Vec<Provider>) -> Self {
        Self::with_patience(providers, PATIENCE)
    }

    fn with_patience(mut providers: Vec<Provider>, patience: Duration) -> Self {
        // Those that serve whatever is left come last; the sort keeps the order of all others.
        providers.sort_by_key(|provider| provider.models.is_empty());
        let sources =
            providers.into_iter().map(|provider| Source { provider: provider.into(), models: Models::default() });
        // Of its own: a model may think for longer than any other server may be silent.
        let http = reqwest::Client::builder()
            .user_agent(concat!("napt/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(patience)
            .build()
            .expect("a client without custom certificates can be built");
        Inference { sources: sources.collect(), http }
    }

    /// A client that waits as long as models think.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Which provider serves a model, and what it calls it: `NAME/MODEL` names the provider, all else goes to the first
    /// whose patterns match.
    fn route<'a>(&self, model: &'a str) -> Option<(&Source, &'a str)> {
        let named = model.split_once('/').and_then(|(name, rest)| {
            let source = self.sources.iter().find(|source| source.provider.name == name)?;
            source.provider.serves(rest).then_some((source, rest))
        });
        named.or_else(|| Some((self.sources.iter().find(|source| source.provider.serves(model))?, model)))
    }

    /// Whether somebody here answers for a model.
    pub(super) fn serves(&self, model: &str) -> bool {
        model == ECHO || self.route(model).is_some()
    }

    /// Answers as OpenAI's API does.
    pub(in crate::node) async fn answer(
        &self,
        endpoint: Endpoint,
        mut request: Map<String, Value>,
        on_used: OnUsed,
    ) -> Result<Answer, NodeError> {
        // The SDK sends every field that it knows; providers refuse nulls.
        request.retain(|_, value| !value.is_null());
        let model = request.get("model").and_then(Value::as_str);
        let model = model.ok_or_else(|| NodeError::Invalid("`model` is missing".to_owned()))?.to_owned();
        if model == ECHO {
            return echo::answer(endpoint, &request, on_used);
        }
        let Some((source, model)) = self.route(&model) else { return Err(self.not_served(&model).await) };
        request.insert("model".to_owned(), model.into());
        let streamed = request.get("stream").and_then(Value::as_bool) == Some(true);
        if streamed && endpoint == Endpoint::Embeddings {
            return Err(NodeError::Invalid("embeddings are not streamed; leave `stream` out".to_owned()));
        }
        let response = source.provider.ask(&self.http, endpoint, &request).await?;
        let used = |usage: &Value| Used {
            provider: source.provider.name.clone(),
            model: model.to_owned(),
            prompt_tokens: usage["prompt_tokens"].as_u64(),
            completion_tokens: usage["completion_tokens"].as_u64(),
        };
        if streamed {
            return stream::pass(source.provider.clone(), response, used(&Value::Null), on_used).map(Answer::Stream);
        }
        let answer = source.provider.whole(endpoint, response, PATIENCE).await?;
        on_used(used(&answer["usage"]));
        Ok(Answer::Whole(answer))
    }

    /// What it is told to serve, without asking anybody: names, and patterns of names.
    pub(super) fn names(&self) -> Vec<String> {
        let told = self.sources.iter().flat_map(|source| source.provider.models.iter().cloned());
        std::iter::once(ECHO.to_owned()).chain(told).collect()
    }

    async fn not_served(&self, model: &str) -> NodeError {
        let mut known: Vec<String> = self.list().await.into_iter().map(|(id, _)| format!("`{id}`")).collect();
        let more = known.len().saturating_sub(LISTED);
        known.truncate(LISTED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let patterns: Vec<&str> = self
            .sources
            .iter()
            .flat_map(|source| &source.provider.models)
            .map(String::as_str)
            .filter(|pattern| pattern.contains('*'))
            .collect();
        let patterns =
            if patterns.is_empty() { String::new() } else { format!(", and all that fit `{}`", patterns.join("`, `")) };
        NodeError::NotFound {
            what: format!("model `{model}` is not served by this node"),
            hint: Some(format!(
                "it serves {}{more}{patterns}; its operator can add a provider with `napt node --provider`",
                known.join(", ")
            )),
        }
    }

    /// The ids of all models that are known by name, each with the provider that serves it.
    async fn list(&self) -> Vec<(String, String)> {
        let asked = self.sources.iter().map(|source| source.models.ids(&source.provider, &self.http));
        let answers = join_all(asked).await;
        let mut listed = vec![(ECHO.to_owned(), "napt".to_owned())];
        for (source, ids) in self.sources.iter().zip(answers) {
            let name = &source.provider.name;
            for id in ids.iter().filter(|id| source.provider.serves(id)) {
                // One that another provider would answer has to be asked for by the provider's name.
                let is_plain = self
                    .route(id)
                    .is_some_and(|(found, model)| model == id && Arc::ptr_eq(&found.provider, &source.provider));
                listed.push((if is_plain { id.clone() } else { format!("{name}/{id}") }, name.clone()));
            }
        }
        listed
    }

    /// Lists the models, as OpenAI's API does. A provider that does not answer is left out.
    pub(in crate::node) async fn models(&self) -> Value {
        let model = |(id, owner)| json!({ "id": id, "object": "model", "created": 0, "owned_by": owner });
        json!({ "object": "list", "data": self.list().await.into_iter().map(model).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Secret;

    fn provider(name: &str, models: &[&str]) -> Provider {
        Provider {
            name: name.to_owned(),
            url: "http://127.0.0.1:1/v1".parse().expect("a URL"),
            models: models.iter().map(|pattern| (*pattern).to_owned()).collect(),
            key: None,
        }
    }

    #[test]
    fn the_first_provider_whose_patterns_match_serves_a_model() {
        let inference = Inference::new(vec![
            provider("rest", &[]),
            provider("local", &["llama-*", "qwen"]),
            provider("other", &["llama-3*"]),
        ]);
        let routed = |model| inference.route(model).map(|(source, model)| (source.provider.name.as_str(), model));
        for (model, expected) in [
            ("llama-3", ("local", "llama-3")),
            ("qwen", ("local", "qwen")),
            ("qwen2", ("rest", "qwen2")),
            ("other/llama-3", ("other", "llama-3")),
            ("other/qwen", ("rest", "other/qwen")),
            ("rest/llama-3", ("rest", "llama-3")),
            ("meta/llama-3", ("rest", "meta/llama-3")),
        ] {
            assert_eq!(routed(model), Some(expected), "{model}");
        }
    }

    #[tokio::test]
    async fn a_provider_that_says_nothing_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", silent.local_addr().expect("an address")).parse().expect("a URL");
        let provider = Provider { url, key: Some(Secret::new("sk-secret")), ..provider("slow", &[]) };
        let inference = Inference::with_patience(vec![provider], Duration::from_millis(100));
        for stream in [false, true] {
            let request = json!({ "model": "m", "messages": [], "stream": stream });
            let request = request.as_object().expect("an object").clone();
            let Err(error) = inference.answer(Endpoint::Chat, request, Box::new(|_| {})).await else {
                panic!("no timeout");
            };
            assert_eq!(error.to_string(), "the model provider `slow` did not answer in time");
        }
    }
}
