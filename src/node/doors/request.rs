//! What a request carries: who sends it, and its body.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{header, request::Parts, uri::Authority},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::{MAX_BODY, Refusal, forward::Forwarded};
pub(super) use crate::node::error::reason;
use crate::{
    identity::body_digest,
    node::{
        NodeError, Shared,
        core::{Caller, Proof},
    },
};

/// Marks the routes that peers may use for their modules' users.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromPeer;

/// How much of a request that is too large is read before its client is cut off.
pub(super) const MAX_IGNORED: usize = 4 * MAX_BODY;

/// How long a client may be silent within its request.
const NEXT_CHUNK: Duration = Duration::from_secs(60);

/// A request whose sender has been judged, with its body.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) caller: Caller,
    /// Whether it is signed with the caller's key, and not only with a token.
    pub(super) signed: bool,
    pub(super) body: Bytes,
}

impl Authenticated {
    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, NodeError> {
        parse_json(&self.body)
    }

    /// The caller, if it is a user and not a module.
    pub(super) fn user(&self) -> Result<String, NodeError> {
        match &self.caller {
            Caller::Run { .. } => Err(NodeError::Forbidden("a module cannot do this".to_owned())),
            caller => caller.consumer(None),
        }
    }
}

/// JSON of a body; the error says where it is wrong, and does not repeat it.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, NodeError> {
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        NodeError::Invalid(format!("the request is not as expected at `{path}`: {}", reason(error.inner())))
    })
}

pub(super) fn authorization(parts: &Parts) -> Option<&str> {
    // Bytes that are not text are not a credential either; `Proof::parse` refuses the empty one.
    parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""))
}

/// Reads a body up to the limit. What is beyond is read and thrown away, since a client that cannot send its request to
/// the end does not see the answer.
pub(super) async fn read_body(body: Body) -> Result<Bytes, NodeError> {
    let mut kept = Vec::new();
    let mut size = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = tokio::time::timeout(NEXT_CHUNK, chunks.next())
        .await
        .map_err(|_| NodeError::Invalid("the request did not come to its end in time".to_owned()))?
    {
        let chunk = chunk.map_err(|_| NodeError::Invalid("the request is incomplete".to_owned()))?;
        size += chunk.len();
        if size <= MAX_BODY {
            kept.extend_from_slice(&chunk);
        } else {
            kept = Vec::new();
        }
        if size > MAX_IGNORED {
            break;
        }
    }
    if size > MAX_BODY {
        return Err(NodeError::TooLarge(format!("the request is larger than {} MiB", MAX_BODY >> 20)));
    }
    Ok(kept.into())
}

/// Judges the sender of a request with this body.
pub(super) async fn authenticate(core: &Shared, parts: &Parts, body: &[u8]) -> Result<Caller, NodeError> {
    authenticate_digest(core, parts, &body_digest(body)).await
}

/// Judges the sender of a request whose body has this digest, and may not have been read yet.
pub(super) async fn authenticate_digest(core: &Shared, parts: &Parts, digest: &str) -> Result<Caller, NodeError> {
    let proof = Proof::parse(authorization(parts))?;
    // HTTP/2 has it in the request's own line.
    let authority = parts.uri.authority().map(Authority::as_str);
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(authority).unwrap_or_default();
    // A web page must not use an open node behind its visitor's back, also not under a name that leads here.
    if matches!(proof, Proof::None) && (parts.headers.contains_key(header::ORIGIN) || !is_loopback(host)) {
        return Err(NodeError::Unauthorised(
            "requests of web pages, and to other names than `localhost`, need a credential".to_owned(),
        ));
    }
    if matches!(proof, Proof::None) && parts.uri.path().starts_with("/v1/") {
        return Err(NodeError::Unauthorised(
            "napt's own API needs a credential, on an open node too: sign the request, or send a token".to_owned(),
        ));
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    core.authenticate(proof, (parts.method.as_str(), host, target), digest).await
}

/// Whether a `Host` header names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl FromRequest<Shared> for Authenticated {
    type Rejection = Refusal;

    async fn from_request(request: Request, core: &Shared) -> Result<Self, Refusal> {
        if request.extensions().get::<FromPeer>().is_some() {
            let Forwarded { envelope, body } = Forwarded::from_request(request, core).await?;
            return Ok(Authenticated { caller: Caller::User(envelope.consumer), signed: false, body });
        }
        let (parts, body) = request.into_parts();
        // Only a signature needs the body to be judged: everybody else is before anything large is read.
        if let Proof::Signature(signature) = Proof::parse(authorization(&parts))? {
            core.admits_signer(&signature)?;
            let body = read_body(body).await?;
            let caller = authenticate(core, &parts, &body).await?;
            return Ok(Authenticated { caller, signed: true, body });
        }
        let caller = authenticate(core, &parts, b"").await?;
        Ok(Authenticated { caller, signed: false, body: read_body(body).await? })
    }
}
