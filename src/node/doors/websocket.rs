//! Naptha's WebSocket door: one connection a call, one message each way. Modules call each other by it.

use std::time::Duration;

use axum::{
    extract::{
        FromRequestParts, Path, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
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

async fn reply(mut socket: WebSocket, value: &Value) {
    // A client that has left gets no answer.
    let _ = socket.send(Message::text(value.to_string())).await;
    let done = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    let _ = socket.send(Message::Close(Some(done))).await;
    // Closing with something unread (a ping, say) resets the connection, and the answer may be lost with it.
    let _ = tokio::time::timeout(CLOSING, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}

fn refused(error: &NodeError) -> Value {
    json!({ "status": "error", "message": error.problem().detail })
}

/// Runs a module and answers when it has ended, also when it ended badly. A caller that leaves cancels it; pings are
/// answered meanwhile.
pub(super) async fn run(
    State(core): State<Shared>,
    Path((module_type, _client)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let (caller, upgrade) = open(&core, request).await?;
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
        let value = match answer {
            Ok(record) => json!({ "status": "success", "data": record }),
            Err(error) => refused(&error),
        };
        reply(socket, &value).await;
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
