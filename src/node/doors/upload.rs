//! Files on their way in: judged before they are read, and written to the disk as they come.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{HeaderValue, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{Stream, StreamExt};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{
    Refusal,
    forward::envelope_before_body,
    request::{FromPeer, MAX_IGNORED, authenticate, authenticate_digest, authorization, read_body, reason},
};
use crate::node::{
    NodeError, Shared,
    core::{Caller, Proof, Received},
};

/// The header with a body's digest (RFC 9530), so that a signature can be judged before the body is there.
const CONTENT_DIGEST: &str = "content-digest";

/// What a form may have beside its file.
const MAX_FORM: u64 = 1 << 20;

/// A form of Naptha's storage, from a sender who has been judged.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) caller: Caller,
    /// The field `data`.
    pub(super) data: Map<String, Value>,
    /// The field `file`.
    pub(super) file: Received,
}

/// Whether a body is a form that may hold files.
pub(super) fn is_form_with_files(kind: &HeaderValue) -> bool {
    kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart/form-data")
}

impl FromRequest<Shared> for Upload {
    type Rejection = Refusal;

    async fn from_request(request: Request, core: &Shared) -> Result<Self, Refusal> {
        let is_peer = request.extensions().get::<FromPeer>().is_some();
        let (parts, mut body) = request.into_parts();
        let (caller, digest) = if is_peer {
            let envelope = envelope_before_body(core, &parts).await?;
            (Caller::User(envelope.consumer), Some(envelope.digest))
        } else if !matches!(Proof::parse(authorization(&parts))?, Proof::Signature(_)) {
            (authenticate(core, &parts, b"").await?, None)
        } else if let Some(digest) = promised(&parts) {
            (authenticate_digest(core, &parts, &digest).await?, Some(digest))
        } else {
            let bytes = read_body(body).await?;
            let caller = authenticate(core, &parts, &bytes).await?;
            body = Body::from(bytes);
            (caller, None)
        };
        if !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form_with_files) {
            // It is read to its end, so that its sender sees the answer.
            read_body(body).await?;
            return Err(no_file().into());
        }
        let tap = Tap::new(body, core.files.quota().saturating_add(MAX_FORM));
        // With the parts comes that no other limit holds.
        let form = Multipart::from_request(Request::from_parts(parts, Body::from_stream(tap.clone())), &()).await;
        let form = form.map_err(|error| NodeError::Invalid(error.body_text()))?;
        let read = read_form(core, form).await;
        let found = tap.finish().await;
        // What broke off is told as that, and not as a form without end.
        let found = found?;
        let (data, file) = read?;
        if digest.is_some_and(|digest| digest != found) {
            return Err(NodeError::Unauthorised("the body is not the one that was signed".to_owned()).into());
        }
        Ok(Upload { caller, data, file: file.ok_or_else(no_file)? })
    }
}

fn no_file() -> NodeError {
    NodeError::Invalid("a file is needed: send a multipart form with the field `file`".to_owned())
}

/// The body's digest as its sender promises it.
fn promised(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(CONTENT_DIGEST)?.to_str().ok()?;
    let encoded = header.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    Some(hex::encode(STANDARD.decode(encoded).ok()?))
}

type Form = (Map<String, Value>, Option<Received>);

async fn read_form(core: &Shared, mut form: Multipart) -> Result<Form, NodeError> {
    let invalid = |error: MultipartError| NodeError::Invalid(error.body_text());
    let (mut data, mut file) = (Map::new(), None);
    while let Some(field) = form.next_field().await.map_err(invalid)? {
        match field.name() {
            Some("data") => {
                let text = read_text(field).await?;
                data = serde_json::from_slice(&text).map_err(|error| {
                    NodeError::Invalid(format!("the field `data` is not as expected: {}", reason(&error)))
                })?;
            }
            Some("file") if file.is_none() => file = Some(receive(core, field).await?),
            Some("file") => return Err(NodeError::Invalid("one file is stored at a time".to_owned())),
            _ => {}
        }
    }
    Ok((data, file))
}

async fn read_text(mut field: Field<'_>) -> Result<Vec<u8>, NodeError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| NodeError::Invalid(error.body_text()))? {
        text.extend_from_slice(&chunk);
        if text.len() as u64 > MAX_FORM {
            return Err(NodeError::TooLarge(format!("the field `data` is larger than {} MiB", MAX_FORM >> 20)));
        }
    }
    Ok(text)
}

async fn receive(core: &Shared, mut field: Field<'_>) -> Result<Received, NodeError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let failed = || NodeError::internal::<std::io::Error>("receive a file");
    let file = core.files.incoming().map_err(failed())?;
    let mut to = tokio::fs::File::from_std(file.reopen().map_err(failed())?);
    let (mut size, mut digest) = (0, Sha256::new());
    while let Some(chunk) = field.chunk().await.map_err(|error| NodeError::Invalid(error.body_text()))? {
        size += chunk.len() as u64;
        digest.update(&chunk);
        to.write_all(&chunk).await.map_err(failed())?;
    }
    to.flush().await.map_err(failed())?;
    to.sync_all().await.map_err(failed())?;
    Ok(Received { file, name, size, sha256: digest.finalize().into() })
}

/// A body in a file of its own that nobody sees, with its digest.
pub(super) async fn spooled(core: &Shared, body: Body) -> Result<(tokio::fs::File, String), NodeError> {
    use tokio::io::AsyncSeekExt;
    let failed = || NodeError::internal::<std::io::Error>("pass on a file");
    let file = core.files.incoming().map_err(failed())?;
    let mut to = tokio::fs::File::from_std(file.into_file());
    let mut tap = Tap::new(body, core.files.quota().saturating_add(MAX_FORM));
    while let Some(Ok(chunk)) = tap.next().await {
        to.write_all(&chunk).await.map_err(failed())?;
    }
    let digest = tap.finish().await?;
    to.flush().await.map_err(failed())?;
    to.rewind().await.map_err(failed())?;
    Ok((to, digest))
}

/// A body as it is read, of which one can know the digest afterwards. Clones are the same one.
#[derive(Clone)]
struct Tap(Arc<Mutex<Tapped>>);

struct Tapped {
    body: BodyDataStream,
    digest: Sha256,
    size: u64,
    limit: u64,
    is_broken: bool,
}

impl Tap {
    fn new(body: Body, limit: u64) -> Self {
        let body = body.into_data_stream();
        Tap(Arc::new(Mutex::new(Tapped { body, digest: Sha256::new(), size: 0, limit, is_broken: false })))
    }

    /// Reads what is left, and gives the digest of all.
    async fn finish(mut self) -> Result<String, NodeError> {
        while let Some(Ok(_)) = self.next().await {}
        let limit = {
            let tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if tapped.is_broken {
                return Err(NodeError::Invalid("the request is incomplete".to_owned()));
            }
            if tapped.size <= tapped.limit {
                return Ok(hex::encode(tapped.digest.clone().finalize()));
            }
            tapped.limit
        };
        self.discard().await;
        Err(NodeError::TooLarge(format!("the request is larger than {}", bytesize::ByteSize(limit - MAX_FORM))))
    }

    /// Throws away what is too much, as far as is sensible: a client that cannot send its request to the end does not
    /// see the answer.
    async fn discard(&mut self) {
        let mut ignored = 0;
        while ignored <= MAX_IGNORED {
            let next = std::future::poll_fn(|context| {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).body.poll_next_unpin(context)
            });
            let Some(Ok(chunk)) = next.await else { return };
            ignored += chunk.len();
        }
    }
}

impl Stream for Tap {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut tapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tapped.is_broken || tapped.size > tapped.limit {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(match std::task::ready!(tapped.body.poll_next_unpin(context)) {
            None => None,
            Some(Err(error)) => {
                tapped.is_broken = true;
                Some(Err(std::io::Error::other(error)))
            }
            Some(Ok(chunk)) => {
                tapped.size += chunk.len() as u64;
                if tapped.size > tapped.limit {
                    Some(Err(std::io::ErrorKind::FileTooLarge.into()))
                } else {
                    tapped.digest.update(&chunk);
                    Some(Ok(chunk))
                }
            }
        })
    }
}
