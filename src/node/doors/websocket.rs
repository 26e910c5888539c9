//! Naptha's WebSocket door: one connection a call, one message each way. Modules call each other by it.

use std::time::Duration;

use axum::{
    extract::{
        FromRequestParts, Path, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::{HeaderMap, header::USER_AGENT},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Refusal,
    naptha::{runnable, user_check, user_register},
    request::{authenticate, parse_json},
};
use crate::node::{NodeError, Shared, core::Caller};

/// The largest message: a run's inputs or its record.
const MAX_MESSAGE: usize = 64 << 20;

/// The largest message that Python's `websockets` takes unless its caller asks for more.
const PYTHON_MESSAGE: usize = 1 << 20;

/// Says how large a message the client takes, in bytes.
const MAX_MESSAGE_HEADER: &str = "napt-max-message";

/// The largest message that a client takes, as far as that is known. Python's `websockets` closes the connection without
/// a reason when one is larger.
fn takes(headers: &HeaderMap) -> Option<usize> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let said = text(MAX_MESSAGE_HEADER).and_then(|bytes| bytes.parse().ok());
    let is_python = text(USER_AGENT.as_str()).is_some_and(|agent| agent.contains("websockets/"));
    said.or_else(|| is_python.then_some(PYTHON_MESSAGE))
}

/// Opens the socket once its sender has been judged: a wrong credential is refused with 401, before anything is read.
async fn open(core: &Shared, request: Request) -> Result<(Caller, WebSocketUpgrade), Refusal> {
    let (mut parts, _) = request.into_parts();
    let caller = authenticate(core, &parts, b"").await?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, core)
        .await
        .map_err(|_| NodeError::Invalid("this is a WebSocket".to_owned()))?;
    Ok((caller, upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE)))
}

/// How long a client may take to send its message.
const FIRST_MESSAGE: Duration = Duration::from_secs(60);

/// How long a client may take to close its side.
const CLOSING: Duration = Duration::from_secs(5);

/// The client's one message; `None` when it left, or says nothing.
async fn receive(socket: &mut WebSocket) -> Option<Result<Vec<u8>, NodeError>> {
    tokio::time::timeout(FIRST_MESSAGE, message(socket)).await.ok()?
}

async fn message(socket: &mut WebSocket) -> Option<Result<Vec<u8>, NodeError>> {
    loop {
        return match socket.recv().await? {
            Ok(Message::Text(text)) => Some(Ok(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => Some(Ok(bytes.to_vec())),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(_)) => None,
            Err(_) => Some(Err(NodeError::TooLarge(format!(
                "the message is not readable, or larger than {} MiB",
                MAX_MESSAGE >> 20
            )))),
        };
    }
}

async fn reply(socket: WebSocket, value: &Value) {
    send(socket, value.to_string()).await;
}

async fn send(mut socket: WebSocket, text: String) {
    // A client that has left gets no answer.
    let _ = socket.send(Message::text(text)).await;
    let done = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    let _ = socket.send(Message::Close(Some(done))).await;
    // Closing with something unread (a ping, say) resets the connection, and the answer may be lost with it.
    let _ = tokio::time::timeout(CLOSING, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}

fn refused(error: &NodeError) -> Value {
    json!({ "status": "error", "message": error.problem().detail })
}

/// The client gets no more than this text: what to do is in it.
fn too_large(run: &str, bytes: usize, limit: usize) -> NodeError {
    NodeError::TooLarge(format!(
        "the result has {bytes} bytes, more than the {limit} that this client takes by WebSocket; get it over HTTP \
         (`run_agent_and_poll` of the SDK), start the program with `napt exec`, or read it with `napt status {run}`; \
         a client with a larger limit sends the header `{MAX_MESSAGE_HEADER}: BYTES`"
    ))
}

/// Runs a module and answers when it has ended, also when it ended badly. A caller that leaves cancels it; pings are
/// answered meanwhile.
pub(super) async fn run(
    State(core): State<Shared>,
    Path((module_type, _client)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let takes = takes(request.headers());
    let (caller, upgrade) = open(&core, request).await?;
    // Runs take what their node sends: it has set them up.
    let takes = takes.filter(|_| !matches!(caller, Caller::Run { .. }));
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let Some(message) = receive(&mut socket).await else { return };
        let call = async {
            let module_type = runnable(&module_type)?;
            core.call(&caller, module_type, parse_json(&message?)?).await
        };
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                // Reading answers pings, and shows when the caller leaves; dropping the call then cancels the run.
                message = socket.recv() => match message {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
            }
        };
        let text = match answer {
            Ok(record) => {
                let text = json!({ "status": "success", "data": record }).to_string();
                match takes.filter(|limit| text.len() > *limit) {
                    Some(limit) => refused(&too_large(&record.id, text.len(), limit)).to_string(),
                    None => text,
                }
            }
            Err(error) => refused(&error).to_string(),
        };
        send(socket, text).await;
    }))
}

/// Whether a user is known.
pub(super) async fn check_user(State(core): State<Shared>, request: Request) -> Result<Response, Refusal> {
    let (_, upgrade) = open(&core, request).await?;
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let Some(message) = receive(&mut socket).await else { return };
        let answer = async { user_check(&core, &parse_json(&message?)?).await }.await;
        reply(socket, &answer.map_or_else(|error| refused(&error), |user| json!(user))).await;
    }))
}

/// Makes a user known.
pub(super) async fn register_user(State(core): State<Shared>, request: Request) -> Result<Response, Refusal> {
    let (caller, upgrade) = open(&core, request).await?;
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let Some(message) = receive(&mut socket).await else { return };
        let answer = async { user_register(&core, &caller, &parse_json(&message?)?).await }.await;
        reply(socket, &answer.map_or_else(|error| refused(&error), |user| json!(user))).await;
    }))
}
