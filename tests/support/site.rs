//! A site on the network, as far as modules can tell: it is on the loopback, which the operator has to allow.

use std::{
    io::Read,
    net::TcpListener,
    sync::{Arc, Mutex, mpsc},
};

use axum::{
    Json, Router,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Value, json};

use super::http::runtime;

/// The server; it ends with the test process.
pub struct Site {
    pub port: u16,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Site {
    /// Answers with the request's path and headers as JSON, and redirects from `/away?URL`.
    pub fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        let answer = async move |uri: Uri, headers: HeaderMap| -> Response {
            let headers: serde_json::Map<String, Value> = headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
                .collect();
            let request = json!({ "uri": uri.to_string(), "headers": headers });
            kept.lock().expect("no panic").push(request.clone());
            match uri.query().filter(|_| uri.path() == "/away") {
                Some(to) => Redirect::temporary(to).into_response(),
                None => Json(request).into_response(),
            }
        };
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        runtime().spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Site { port, asked }
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// A server that says nothing, and tells what it has got from each client when that has gone.
pub struct Silent {
    pub port: u16,
    ended: mpsc::Receiver<Vec<u8>>,
}

impl Silent {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (told, ended) = mpsc::channel();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let told = told.clone();
                std::thread::spawn(move || {
                    let mut bytes = Vec::new();
                    // One that breaks off has gone too.
                    let _ = client.read_to_end(&mut bytes);
                    let _ = told.send(bytes);
                });
            }
        });
        Silent { port, ended }
    }

    /// Waits until the next client has gone.
    #[track_caller]
    pub fn ended(&self) -> Vec<u8> {
        self.ended.recv_timeout(std::time::Duration::from_secs(60)).expect("a client that goes")
    }
}
