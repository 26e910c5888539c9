//! A node's models.

use futures_util::Stream;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ClientError, NodeClient, events, transport::Repeat};

/// A model that a node serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    /// What it is asked for by.
    pub id: String,
    /// The provider that answers for it.
    #[serde(rename(deserialize = "owned_by"))]
    pub provider: String,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f64>,
}

impl NodeClient {
    /// The models that a node serves.
    pub async fn models(&self) -> Result<Vec<Model>, ClientError> {
        let list: List<Model> = self.json(Method::GET, "/inference/models", Vec::new()).await?;
        Ok(list.data)
    }

    /// A chat completion as it comes: `chat.completion.chunk`s, as OpenAI's API calls them. `request` asks for a stream.
    pub async fn chat(
        &self,
        request: &Value,
    ) -> Result<impl Stream<Item = Result<Value, ClientError>> + use<>, ClientError> {
        let body = self.encode(request)?;
        let repeat = Some(Repeat::Untouched);
        let response = self.stream(Method::POST, "/inference/chat/completions", body, repeat).await?;
        Ok(events::parse(self.clone(), response))
    }

    /// Texts as vectors.
    pub async fn embed(&self, request: &Value) -> Result<Vec<Vec<f64>>, ClientError> {
        let list: List<Embedding> = self.json(Method::POST, "/inference/embeddings", self.encode(request)?).await?;
        Ok(list.data.into_iter().map(|item| item.embedding).collect())
    }
}
