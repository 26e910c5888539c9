//! The door that nodes call each other by: every call carries a signed envelope.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequest, Path, Request, State},
    http::StatusCode,
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    Refusal,
    request::{parse_json, read_body},
};
use crate::{
    module::ModuleType,
    node::{
        NodeError, Shared,
        core::{Caller, ENVELOPE_HEADER},
    },
    report::Silent,
    wire::{DeployRequest, DeploymentView, Envelope, RunInput, SignedEnvelope},
};

/// How often a caller is told that its run goes on.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A peer's call whose envelope holds.
#[derive(Debug)]
pub(super) struct Forwarded {
    envelope: Envelope,
    body: Bytes,
}

impl FromRequest<Shared> for Forwarded {
    type Rejection = Refusal;

    async fn from_request(request: Request, core: &Shared) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let signed: SignedEnvelope = parts
            .headers
            .get(ENVELOPE_HEADER)
            .and_then(|value| URL_SAFE_NO_PAD.decode(value.as_bytes()).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| NodeError::Unauthorised("a forwarded call needs an envelope".to_owned()))?;
        let body = read_body(body).await?;
        let envelope = core.open_envelope(&signed, parts.uri.path(), &body).await?;
        Ok(Forwarded { envelope, body })
    }
}

/// Runs a module for a peer's run. One line when it is accepted, empty lines while it goes on, one when it has ended;
/// a peer that hangs up cancels it.
pub(super) async fn run(
    State(core): State<Shared>,
    Path(module_type): Path<ModuleType>,
    call: Forwarded,
) -> Result<Response, Refusal> {
    let input: RunInput = parse_json(&call.body)?;
    let consumer = call.envelope.consumer.clone();
    let waiting = core.run_forwarded(call.envelope, module_type, input).await?;
    let lines = stream! {
        yield line(&json!({ "accepted": waiting.run.id() }));
        let ended = core.wait(&waiting.run);
        tokio::pin!(ended);
        let ended = loop {
            match tokio::time::timeout(HEARTBEAT, &mut ended).await {
                Ok(ended) => break ended,
                Err(_) => yield Ok(Bytes::from_static(b"\n")),
            }
        };
        match ended.and_then(|run| core.record_for(&Caller::User(consumer), &run)) {
            Ok(record) => yield line(&json!({ "record": record })),
            Err(error) => yield line(&json!({ "problem": error.problem() })),
        }
    };
    Ok(Response::new(Body::from_stream(lines)))
}

fn line(value: &serde_json::Value) -> Result<Bytes, Infallible> {
    Ok(Bytes::from(format!("{value}\n")))
}

/// Deploys a part of a peer's deployment.
pub(super) async fn deploy(State(core): State<Shared>, call: Forwarded) -> Result<Json<DeploymentView>, Refusal> {
    let request: DeployRequest = parse_json(&call.body)?;
    Ok(Json(core.deploy(request, call.envelope.consumer, &Silent).await?))
}

/// Whether an archive is here.
pub(super) async fn has_archive(
    State(core): State<Shared>,
    Path(sha256): Path<String>,
    _call: Forwarded,
) -> Result<StatusCode, Refusal> {
    if core.installs.has_archive(&sha256) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(NodeError::missing("the archive is not here").into())
    }
}

/// Keeps an archive for a peer's deployment.
pub(super) async fn put_archive(
    State(core): State<Shared>,
    Path(sha256): Path<String>,
    call: Forwarded,
) -> Result<StatusCode, Refusal> {
    core.installs.keep_archive(&sha256, call.body).await?;
    Ok(StatusCode::CREATED)
}
