//! What resolvers and installers read: the index and the archives.

use std::io::SeekFrom;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use napt_registry_client::{INDEX_FORMAT, IndexConfig};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{Path, Shared, module_id, version};
use crate::registry::{refusal::Refusal, rendered::Index};

pub(super) async fn config() -> Json<IndexConfig> {
    Json(IndexConfig { format: INDEX_FORMAT, api: "api/v1".to_owned() })
}

pub(super) async fn module(
    State(registry): State<Shared>,
    Path((module_type, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = module_id(&module_type, &name)?;
    let Index { lines, etag } = registry.index(&id).await?.ok_or(Refusal::NoModule(id))?;
    // Revalidated each time: a publish must be seen by the next reader.
    let cache = "no-cache";
    if is_known(&headers, &etag) {
        let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, cache)];
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let head = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::ETAG, &etag), (header::CACHE_CONTROL, cache)];
    Ok((head, lines).into_response())
}

pub(super) async fn download(
    State(registry): State<Shared>,
    Path((module_type, name, given)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (id, version) = (module_id(&module_type, &name)?, version(&given)?);
    let entry = registry.store.version(&id, &version).await?;
    let entry = entry.ok_or_else(|| Refusal::NoVersion(id.clone(), version.clone()))?;
    let etag = format!("\"{}\"", entry.sha256);
    let mut head = HeaderMap::new();
    let mut set = |name, value: &str| -> Result<(), Refusal> {
        head.insert(name, HeaderValue::from_str(value).map_err(|error| Refusal::Internal(error.into()))?);
        Ok(())
    };
    set(header::ETAG, &etag)?;
    set(header::CACHE_CONTROL, "public, max-age=31536000, immutable")?;
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    set(header::CONTENT_TYPE, "application/gzip")?;
    set(header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}-{version}.napt\"", id.name))?;
    set(header::ACCEPT_RANGES, "bytes")?;
    let mut file = fs_err::tokio::File::open(registry.blobs.path(&entry.sha256)).await?;
    let size = file.metadata().await?.len();
    if size != entry.size {
        return Err(Refusal::Internal(
            format!("the blob {} has {size} bytes, not {}", entry.sha256, entry.size).into(),
        ));
    }
    let (status, from, length) = match wanted_range(&headers, &etag, size) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { from, length } => {
            set(header::CONTENT_RANGE, &format!("bytes {from}-{}/{size}", from + length - 1))?;
            (StatusCode::PARTIAL_CONTENT, from, length)
        }
        Wanted::Nothing => {
            set(header::CONTENT_RANGE, &format!("bytes */{size}"))?;
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, head).into_response());
        }
    };
    set(header::CONTENT_LENGTH, &length.to_string())?;
    file.seek(SeekFrom::Start(from)).await?;
    Ok((status, head, Body::from_stream(ReaderStream::new(file.take(length)))).into_response())
}

/// Whether the client has this very thing already.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    })
}

/// How much of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part {
        from: u64,
        length: u64,
    },
    /// A range that lies outside.
    Nothing,
}

/// One range; several, or one that cannot be read, are answered with everything, as HTTP allows.
fn wanted_range(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Wanted::All;
    }
    let range =
        text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'));
    let (from, to) = match range.map(|(from, to)| (from.trim(), to.trim())) {
        None | Some(("", "")) => return Wanted::All,
        Some(("", last)) => match last.parse::<u64>() {
            Ok(0) => return Wanted::Nothing,
            Ok(last) => (size.saturating_sub(last), size),
            Err(_) => return Wanted::All,
        },
        Some((from, to)) => match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), _) if to.is_empty() => (from, size),
            (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(size)),
            _ => return Wanted::All,
        },
    };
    if from >= size { Wanted::Nothing } else { Wanted::Part { from, length: to - from } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |from, length| Wanted::Part { from, length };
        for (range, expected) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=4-", part(4, 6)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=8-99", part(8, 2)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-1", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("lines=0-3", Wanted::All),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            assert_eq!(wanted_range(&headers, "\"x\"", 10), expected, "{range}");
        }
    }
}
