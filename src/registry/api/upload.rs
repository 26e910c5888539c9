//! The publish call.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use napt_registry_client::{PublishStatus, Published};
use semver::Version;

use super::{Path, Shared, module_id, version};
use crate::{
    module::ModuleId,
    registry::{accounts::Caller, refusal::Refusal},
};

/// How long a refused upload is still read, so that its sender gets to the answer instead of a broken connection.
const DRAIN: Duration = Duration::from_secs(5);

pub(super) async fn publish(
    State(registry): State<Shared>,
    caller: Result<Caller, Refusal>,
    Path((module_type, name, given)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Published>), Refusal> {
    let body = body.into_data_stream();
    let checked = async {
        let (id, version) = (module_id(&module_type, &name)?, version(&given)?);
        let caller = caller?;
        registry.may_publish(&caller, &id).await?;
        let limit = registry.limits.package.packed;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge { limit });
        }
        Ok((caller, id, version, promised_digest(&headers)?))
    };
    let (caller, id, version, digest): (Caller, ModuleId, Version, Option<String>) = match checked.await {
        Ok(checked) => checked,
        Err(refusal) => {
            drain(body, registry.limits.package.packed).await;
            return Err(refusal);
        }
    };
    let published = registry.publish(&caller, &id, &version, digest, body).await?;
    let status = match published.status {
        PublishStatus::Created => StatusCode::CREATED,
        PublishStatus::AlreadyPublished => StatusCode::OK,
    };
    Ok((status, Json(published)))
}

async fn drain(mut body: BodyDataStream, limit: u64) {
    let read = async {
        let mut size = 0;
        while let Some(Ok(chunk)) = body.next().await {
            size += chunk.len() as u64;
            if size > limit {
                break;
            }
        }
    };
    // Whoever sends for longer than that may miss the answer.
    let _ = tokio::time::timeout(DRAIN, read).await;
}

/// The SHA-256 in `Content-Digest` (RFC 9530: `sha-256=:BASE64:`) or `Digest` (RFC 3230: `SHA-256=BASE64`), as hex.
fn promised_digest(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    for name in ["content-digest", "digest"] {
        for value in headers.get_all(name) {
            let bad = || Refusal::Request(format!("the header `{name}` does not hold a SHA-256"));
            let text = value.to_str().map_err(|_| bad())?;
            for part in text.split(',') {
                let Some((algorithm, digest)) = part.trim().split_once('=') else { return Err(bad()) };
                if !algorithm.eq_ignore_ascii_case("sha-256") {
                    continue;
                }
                let bytes = BASE64_STANDARD.decode(digest.trim_matches(':')).map_err(|_| bad())?;
                if bytes.len() != 32 {
                    return Err(bad());
                }
                return Ok(Some(hex::encode(bytes)));
            }
        }
    }
    Ok(None)
}
