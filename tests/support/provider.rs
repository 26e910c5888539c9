//! An OpenAI-compatible API that remembers what it was asked, and misbehaves by the model's name.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_stream::stream;
use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::http::runtime;

/// One request: its `Authorization` header and its body.
pub type Asked = (String, Value);

/// The server; it ends with the test process.
pub struct Provider {
    /// Its base URL.
    pub url: String,
    state: Arc<State>,
}

/// What its answers and the test share.
struct State {
    asked: Mutex<Vec<Asked>>,
    /// How often its models were listed.
    listed: AtomicUsize,
    /// How many streams of `held` may go on.
    released: Semaphore,
    /// Streams that nobody reads any more, before their end.
    hung_up: AtomicUsize,
}

impl Provider {
    pub fn start() -> Self {
        Self::with_models(&["good", "other"])
    }

    /// One that lists these models.
    pub fn with_models(models: &[&str]) -> Self {
        let state = Arc::new(State {
            asked: Mutex::default(),
            listed: AtomicUsize::new(0),
            released: Semaphore::new(0),
            hung_up: AtomicUsize::new(0),
        });
        let listed: Vec<Value> =
            models.iter().map(|id| json!({ "id": id, "object": "model", "created": 1, "owned_by": "x" })).collect();
        let list = {
            let state = state.clone();
            get(async move || {
                state.listed.fetch_add(1, Ordering::Relaxed);
                Json(json!({ "object": "list", "data": listed }))
            })
        };
        let asked = |answer: fn(&Arc<State>, &Value, &str) -> Response| {
            let state = state.clone();
            post(async move |headers: HeaderMap, Json(body): Json<Value>| {
                let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
                let answer = answer(&state, &body, &key);
                state.asked.lock().expect("no panic").push((key, body));
                answer
            })
        };
        let app = Router::new()
            .route("/v1/models", list)
            .route("/v1/chat/completions", asked(chat))
            .route("/v1/completions", asked(completion))
            .route("/v1/embeddings", asked(embeddings));
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        runtime().spawn(async move { axum::serve(listener, app).await });
        Provider { url, state }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no panic").clone()
    }

    /// How often its models were listed.
    pub fn listed(&self) -> usize {
        self.state.listed.load(Ordering::Relaxed)
    }

    /// Lets one stream of the model `held` go on after its first word.
    pub fn release(&self) {
        self.state.released.add_permits(1);
    }

    /// How many of its streams were given up.
    pub fn hung_up(&self) -> usize {
        self.state.hung_up.load(Ordering::Relaxed)
    }
}

fn completion(_: &Arc<State>, body: &Value, _: &str) -> Response {
    let text = format!("after {}", body["prompt"].as_str().unwrap_or_default());
    let choice = json!({ "index": 0, "finish_reason": "stop", "text": text });
    Json(json!({ "id": "1", "object": "text_completion", "created": 1, "model": body["model"], "choices": [choice] }))
        .into_response()
}

fn embeddings(_: &Arc<State>, body: &Value, _: &str) -> Response {
    let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.5, 0.25] }]);
    Json(json!({ "object": "list", "model": body["model"], "data": data })).into_response()
}

fn chat(state: &Arc<State>, body: &Value, key: &str) -> Response {
    let model = body["model"].as_str().unwrap_or_default();
    let key = key.trim_start_matches("Bearer ").to_owned();
    match model {
        "refused" => {
            let message = format!("Incorrect API key provided: {key}");
            (StatusCode::UNAUTHORIZED, Json(json!({ "error": { "message": message } }))).into_response()
        }
        "busy" => (StatusCode::TOO_MANY_REQUESTS, Json(json!({ "error": "later" }))).into_response(),
        "garbage" => "<html>".into_response(),
        "odd" => Json(json!([1, 2])).into_response(),
        "elsewhere" => (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
        _ if body["stream"] == true => {
            ([("content-type", "text/event-stream")], Body::from_stream(pieces(state.clone(), model.to_owned(), key)))
                .into_response()
        }
        "cut" => {
            let parts = [Ok("{"), Err(std::io::Error::other("cut"))];
            Response::new(Body::from_stream(futures_util::stream::iter(parts)))
        }
        // As a model that calls a tool answers.
        "tools" => Json(json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": null,
                "tool_calls": [{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } }],
            } }],
        }))
        .into_response(),
        _ => Json(json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{ "index": 0, "finish_reason": "stop",
                          "message": { "role": "assistant", "content": format!("I am {model}") } }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
        }))
        .into_response(),
    }
}

/// Counts itself when it is dropped before its end.
struct Watched(Arc<State>, bool);

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.1 {
            self.0.hung_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `I am MODEL`, word by word.
fn pieces(
    state: Arc<State>,
    model: String,
    key: String,
) -> impl futures_util::Stream<Item = std::io::Result<String>> + Send + 'static {
    let chunk = {
        let model = model.clone();
        move |choices: Value, usage: Value| {
            let chunk = json!({
                "id": "1", "object": "chat.completion.chunk", "created": 1, "model": model,
                "choices": choices, "usage": usage,
            });
            format!("data: {chunk}\n\n")
        }
    };
    let word = {
        let chunk = chunk.clone();
        move |word: &str| {
            let delta = json!({ "role": "assistant", "content": word });
            chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null)
        }
    };
    stream! {
        let mut watched = Watched(state.clone(), false);
        yield Ok::<_, std::io::Error>(": on its way\n\n".to_owned());
        yield Ok(word("I "));
        if model == "held" {
            state.released.acquire().await.expect("it stays open").forget();
        }
        if model == "tells" {
            yield Ok(format!("data: {}\n\n", json!({ "error": { "message": format!("{key} is worn out") } })));
        }
        // Two events at once, then one in two parts, with the other kind of line ends.
        yield Ok(format!("{}{}", word("am "), word(&model)));
        yield Ok("data: {\"choices\":[{\"index\":0,".to_owned());
        yield Ok("\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n".to_owned());
        yield Ok(chunk(json!([]), json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 })));
        watched.1 = true;
        if model != "unmarked" {
            yield Ok("data: [DONE]\n\n".to_owned());
        }
    }
}
