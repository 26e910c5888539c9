//! Raw requests, as an attacker or another program would send them.

use std::sync::OnceLock;

use napt::identity::{RequestSignature, SecretKey, body_digest};
use reqwest::Method;
use tokio::runtime::Runtime;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text))
    }
}

/// A runtime for tests that need one.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

/// Sends one request. Credentials in the URL go as HTTP Basic.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = reqwest::Client::new().request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    runtime().block_on(async {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("a text") }
    })
}

/// The `Authorization` header of a request that is signed now.
pub fn signed(key: &SecretKey, method: &str, url: &str, body: &str) -> String {
    signed_at(key, method, url, body, jiff::Timestamp::now().as_second())
}

/// The same, at another time.
pub fn signed_at(key: &SecretKey, method: &str, url: &str, body: &str, time: i64) -> String {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let digest = body_digest(body.as_bytes());
    RequestSignature::sign(key, method, host, &format!("/{path}"), &digest, time).to_string()
}
