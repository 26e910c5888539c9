//! An OpenAI-compatible API that remembers what it was asked, and misbehaves by the model's name.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use super::http::runtime;

/// One request: its `Authorization` header and its body.
pub type Asked = (String, Value);

/// The server; it ends with the test process.
pub struct Provider {
    /// Its base URL.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    pub fn start() -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = Arc::clone(&asked);
        let app = Router::new().route(
            "/v1/chat/completions",
            post(async move |headers: HeaderMap, Json(body): Json<Value>| {
                let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
                let answer = answer(body["model"].as_str().unwrap_or_default(), &key);
                kept.lock().expect("no panic").push((key, body));
                answer
            }),
        );
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        runtime().spawn(async move { axum::serve(listener, app).await });
        Provider { url, asked }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn answer(model: &str, key: &str) -> Response {
    match model {
        "refused" => {
            let message = format!("Incorrect API key provided: {}", key.trim_start_matches("Bearer "));
            (StatusCode::UNAUTHORIZED, Json(json!({ "error": { "message": message } }))).into_response()
        }
        "busy" => (StatusCode::TOO_MANY_REQUESTS, Json(json!({ "error": "later" }))).into_response(),
        "garbage" => "<html>".into_response(),
        "odd" => Json(json!([1, 2])).into_response(),
        "cut" => {
            let parts = [Ok("{"), Err(std::io::Error::other("cut"))];
            Response::new(Body::from_stream(futures_util::stream::iter(parts)))
        }
        "elsewhere" => (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
        _ => Json(json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{ "index": 0, "finish_reason": "stop",
                          "message": { "role": "assistant", "content": format!("I am {model}") } }],
        }))
        .into_response(),
    }
}
