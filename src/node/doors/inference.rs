//! Models, as OpenAI's API and Naptha's SDK ask for them.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use serde_json::Value;

use super::{Refusal, request::Authenticated};
use crate::node::{
    Shared,
    core::{Answer, Endpoint},
};

/// The models that there are.
pub(super) async fn models(State(core): State<Shared>, _request: Authenticated) -> Json<Value> {
    Json(core.inference.models().await)
}

/// A chat completion.
pub(super) async fn chat(State(core): State<Shared>, request: Authenticated) -> Result<Response, Refusal> {
    answer(&core, Endpoint::Chat, &request).await
}

/// A completion of a text.
pub(super) async fn completions(State(core): State<Shared>, request: Authenticated) -> Result<Response, Refusal> {
    answer(&core, Endpoint::Completions, &request).await
}

/// Texts as vectors.
pub(super) async fn embeddings(State(core): State<Shared>, request: Authenticated) -> Result<Response, Refusal> {
    answer(&core, Endpoint::Embeddings, &request).await
}

async fn answer(core: &Shared, endpoint: Endpoint, request: &Authenticated) -> Result<Response, Refusal> {
    let on_used = core.on_used(&request.caller);
    Ok(match core.inference.answer(endpoint, request.json()?, on_used).await? {
        Answer::Whole(value) => Json(value).into_response(),
        Answer::Stream(events) => {
            let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
            ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
        }
    })
}
