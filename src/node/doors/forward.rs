//! The door that nodes call each other by: every call carries a signed envelope.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, OriginalUri, Path, Query, Request, State},
    http::{StatusCode, header, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    Refusal,
    naptha::runnable,
    request::{authenticate, authorization, parse_json, read_body},
    upload::{is_form_with_files, spooled},
};
use crate::{
    identity::body_digest,
    node::{
        NodeError, Shared,
        core::{Caller, ENVELOPE_HEADER, ForwardQuery, Proof, Target, part_suffix},
    },
    report::Silent,
    wire::{DeployRequest, Envelope, EnvelopeError, RunInput, SignedEnvelope},
};

/// How often a caller is told that its run goes on.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A peer's call whose envelope holds.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) envelope: Envelope,
    pub(super) body: Bytes,
}

impl FromRequest<Shared> for Forwarded {
    type Rejection = Refusal;

    async fn from_request(request: Request, core: &Shared) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let signed = signed_envelope(&parts)?;
        let envelope = core.open_envelope(&signed, full_target(&parts)).await?;
        let body = read_body(body).await?;
        if envelope.digest != body_digest(&body) {
            return Err(NodeError::Unauthorised(EnvelopeError::WrongCall.to_string()).into());
        }
        Ok(Forwarded { envelope, body })
    }
}

fn signed_envelope(parts: &Parts) -> Result<SignedEnvelope, NodeError> {
    let header = parts.headers.get(ENVELOPE_HEADER);
    header
        .and_then(|value| URL_SAFE_NO_PAD.decode(value.as_bytes()).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| NodeError::Unauthorised("a forwarded call needs an envelope".to_owned()))
}

/// A peer's envelope, before the body is read: that it has the envelope's digest is left to the caller.
pub(super) async fn envelope_before_body(core: &Shared, parts: &Parts) -> Result<Envelope, NodeError> {
    core.open_envelope(&signed_envelope(parts)?, full_target(parts)).await
}

/// Path and query as they were sent; a nested router sees only the rest.
fn full_target(parts: &Parts) -> &str {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// Brings a module's call to the node that its address means, if that is a peer: it is answered there, for the same
/// consumer.
pub(super) async fn to_peer(State(core): State<Shared>, request: Request, next: Next) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    if matches!(Proof::parse(authorization(&parts))?, Proof::Run(..))
        && let Caller::Run { run, target: Target::Peer(short), .. } = authenticate(&core, &parts, b"").await?
    {
        let (to, call) = ((run.as_str(), short.as_str()), (parts.method.clone(), full_target(&parts)));
        let answer = match parts.headers.get(header::CONTENT_TYPE).filter(|kind| is_form_with_files(kind)) {
            Some(kind) => core.forward_upload(to, call, Some(kind), spooled(&core, body).await?).await?,
            None => core.forward_request(to, call, read_body(body).await?.to_vec()).await?,
        };
        let mut response = Response::builder().status(answer.status());
        for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION] {
            if let Some(value) = answer.headers().get(&name) {
                response = response.header(name, value);
            }
        }
        let response = response.body(Body::from_stream(answer.bytes_stream()));
        return Ok(response.map_err(NodeError::internal("pass on an answer"))?);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Runs a module for a peer's run. One line when it is accepted, empty lines while it goes on, one when it has ended;
/// a peer that hangs up cancels it.
pub(super) async fn run(
    State(core): State<Shared>,
    Path(module_type): Path<String>,
    Query(query): Query<ForwardQuery>,
    call: Forwarded,
) -> Result<Response, Refusal> {
    let module_type = runnable(&module_type)?;
    let input: RunInput = parse_json(&call.body)?;
    let consumer = call.envelope.consumer.clone();
    let waiting = core.run_forwarded(call.envelope, module_type, query, input).await?;
    let lines = stream! {
        yield line(&json!({ "accepted": waiting.run().id() }));
        let ended = core.wait(waiting.run());
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

/// Deploys a part of a peer's deployment. One line a step, empty lines between.
pub(super) async fn deploy(State(core): State<Shared>, call: Forwarded) -> Result<Response, Refusal> {
    let request: DeployRequest = parse_json(&call.body)?;
    let Envelope { from, consumer, .. } = call.envelope;
    check_part(request.name.as_deref().unwrap_or_default(), &from)?;
    let mut events = super::v1::start(move |progress| async move { core.deploy(request, consumer, &progress).await });
    let lines = stream! {
        loop {
            match tokio::time::timeout(HEARTBEAT, events.recv()).await {
                Ok(Some(event)) => yield line(&json!(event)),
                Ok(None) => break,
                Err(_) => yield Ok(Bytes::from_static(b"\n")),
            }
        }
    };
    Ok(Response::new(Body::from_stream(lines)))
}

/// Removes a part of a peer's deployment; one that is not here is removed already.
pub(super) async fn undeploy(
    State(core): State<Shared>,
    Path(name): Path<String>,
    call: Forwarded,
) -> Result<StatusCode, Refusal> {
    check_part(&name, &call.envelope.from)?;
    match core.undeploy(&name, call.envelope.consumer, &Silent).await {
        Ok(_) | Err(NodeError::NotFound { .. }) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error.into()),
    }
}

/// A peer names only what is its own.
fn check_part(name: &str, from: &str) -> Result<(), NodeError> {
    if name.ends_with(&part_suffix(from)) {
        return Ok(());
    }
    Err(NodeError::Forbidden(format!("the deployment `{name}` is not a part of the calling node's")))
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
