//! `fs` and `ipfs`: files, by the user's own names and by their digests.

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::header,
    response::Response,
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

use super::{OptionsQuery, hit, object};
use crate::node::{
    NodeError, Shared,
    core::{DeleteOptions, Entry, FilesError, Found, ListOptions, PinOptions, Search, Wanted, pack},
    doors::{
        Refusal,
        request::{Authenticated, reason},
        upload::Upload,
    },
};

/// The doors of `fs` and `ipfs`.
pub(in crate::node::doors) fn files() -> Router<Shared> {
    Router::new()
        .route("/storage/fs/create/{*path}", post(create))
        .route("/storage/fs/read/{*path}", get(read))
        .route("/storage/fs/list/", get(list_all))
        .route("/storage/fs/list/{*path}", get(list))
        .route("/storage/fs/update/{*path}", put(update))
        .route("/storage/fs/delete/{*path}", delete(remove))
        .route("/storage/fs/search/{*path}", post(search))
        .route("/storage/ipfs/create/{*path}", post(pin))
        .route("/storage/ipfs/read/{*hash}", get(read_pinned))
        .route("/storage/ipfs/list/", get(list_all_pinned))
        .route("/storage/ipfs/list/{*hash}", get(list_pinned))
        .route("/storage/ipfs/update/{*hash}", put(update))
        .route("/storage/ipfs/delete/{*hash}", delete(unpin))
        .route("/storage/ipfs/search/{*path}", post(search_pinned))
}

impl From<FilesError> for NodeError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Missing(_) => NodeError::missing(error.to_string()),
            FilesError::NotEmpty(_) | FilesError::InTheWay(_) => NodeError::Conflict(error.to_string()),
            FilesError::Quota(_) | FilesError::TooMany(_) => NodeError::TooLarge(error.to_string()),
            FilesError::Io(error) => NodeError::internal("use a user's files")(error),
            FilesError::Path { .. } | FilesError::Archive { .. } | FilesError::Invalid(_) => {
                NodeError::Invalid(error.to_string())
            }
        }
    }
}

impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Self {
        NodeError::from(error).into()
    }
}

/// Options that came in the form, where Naptha's clients put them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreateOptions {
    /// Whether a zip file is unpacked, as on Naptha's nodes.
    unpack: Option<bool>,
}

fn options<T: serde::de::DeserializeOwned>(data: Map<String, Value>) -> Result<T, NodeError> {
    serde_json::from_value(Value::Object(data))
        .map_err(|error| NodeError::Invalid(format!("the field `data` is not as expected: {}", reason(&error))))
}

/// Puts a file, or what a zip file holds, into a folder.
async fn create(State(core): State<Shared>, Path(path): Path<String>, upload: Upload) -> Result<Json<Value>, Refusal> {
    let user = upload.caller.consumer(None)?;
    let options: CreateOptions = options(upload.data)?;
    let is_zip = upload.file.name.to_ascii_lowercase().ends_with(".zip");
    core.files.write(&user, &path, upload.file, is_zip && options.unpack.unwrap_or(true)).await?;
    let folder = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let done = json!({ "message": "Files written to storage", "folder_id": folder });
    Ok(Json(object("fs", &path, done, &json!({}))))
}

/// An answer that is saved, not shown.
fn attachment(kind: &str, name: &str, body: Body) -> Result<Response, NodeError> {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '_' }).collect();
    let full: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
    let response = Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(header::CONTENT_DISPOSITION, disposition)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response.body(body).map_err(NodeError::internal("answer with a file"))
}

fn file(file: tokio::fs::File, size: u64, name: &str) -> Result<Response, NodeError> {
    let mut response = attachment("application/octet-stream", name, Body::from_stream(ReaderStream::new(file)))?;
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    Ok(response)
}

/// A file, or a folder as a zip file.
async fn read(
    State(core): State<Shared>,
    Path(path): Path<String>,
    request: Authenticated,
) -> Result<Response, Refusal> {
    let user = request.caller.consumer(None)?;
    Ok(match core.files.read(&user, &path).await? {
        Found::File(found, size, name) => file(found, size, &name)?,
        Found::Folder(files, name) => {
            let body = Body::from_stream(ReceiverStream::new(pack(files)));
            attachment("application/zip", &format!("{name}.zip"), body)?
        }
    })
}

/// Naptha's times are seconds, as text.
fn shown(entry: &Entry, data: Value) -> Value {
    let mut shown = object("fs", &entry.path, data, &json!({}));
    let kind = if entry.size.is_none() { "directory" } else { "application/octet-stream" };
    shown["metadata"]["content_type"] = kind.into();
    shown["metadata"]["modified_at"] = entry.modified.to_string().into();
    shown["metadata"]["created_at"] = entry.modified.to_string().into();
    shown["metadata"]["size"] = entry.size.into();
    shown
}

async fn list_all(
    state: State<Shared>,
    query: Query<OptionsQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    list(state, Path(String::new()), query, request).await
}

/// What a folder holds.
async fn list(
    State(core): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<OptionsQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let options: ListOptions = query.parse()?;
    let found = core.files.list(&user, &path, options).await?;
    Ok(Json(found.iter().map(|entry| shown(entry, Value::Null)).collect()))
}

async fn update(_request: Authenticated) -> Refusal {
    let what = "only rows of `db` can be updated; create the file again to replace it";
    NodeError::Invalid(what.to_owned()).into()
}

/// Deletes a file or folder.
async fn remove(
    State(core): State<Shared>,
    Path(path): Path<String>,
    Query(query): Query<OptionsQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let options: DeleteOptions = query.parse()?;
    core.files.delete(&user, &path, options).await?;
    Ok(Json(Value::Bool(true)))
}

/// The words that files are searched for.
fn words(search: &Search) -> Result<Vec<String>, NodeError> {
    match search.wanted()? {
        Wanted::Words(words) => Ok(words),
        Wanted::Vector(..) => Err(NodeError::Invalid("files are searched by words; vectors are in `db`".to_owned())),
    }
}

/// Searches names and texts.
async fn search(
    State(core): State<Shared>,
    Path(path): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let wanted: Search = request.json()?;
    let found = core.files.search(&user, &path, words(&wanted)?, wanted.limit() as usize).await?;
    let hits = found.iter().map(|(entry, line)| {
        let mut hit = hit(&entry.path, line.clone().into(), &json!({}));
        hit["metadata"] = shown(entry, Value::Null)["metadata"].take();
        hit
    });
    Ok(Json(hits.collect()))
}

/// Stores a content.
async fn pin(State(core): State<Shared>, Path(path): Path<String>, upload: Upload) -> Result<Json<Value>, Refusal> {
    let user = upload.caller.consumer(None)?;
    let options: PinOptions = options(upload.data)?;
    let filename = upload.file.name.clone();
    let (cid, name) = core.contents.add(&user, upload.file, options).await?;
    let mut done = json!({ "message": "File written to IPFS", "ipfs_hash": cid, "filename": filename });
    if let Some(name) = name {
        done["ipns_hash"] = name.into();
    }
    Ok(Json(object("ipfs", &path, done, &json!({}))))
}

/// A content, by its CID or by a name that leads to it.
async fn read_pinned(
    State(core): State<Shared>,
    Path(hash): Path<String>,
    request: Authenticated,
) -> Result<Response, Refusal> {
    request.caller.consumer(None)?;
    let (found, size, cid) = core.contents.read(&hash).await?;
    Ok(file(found, size, &cid)?)
}

async fn list_all_pinned(state: State<Shared>, request: Authenticated) -> Result<Json<Value>, Refusal> {
    list_pinned(state, Path(String::new()), request).await
}

fn shown_pin(pin: &crate::node::core::Pin, data: Value) -> Value {
    let mut shown = object("ipfs", &pin.cid, data, &json!({ "filename": pin.filename }));
    shown["metadata"]["created_at"] = pin.created.to_string().into();
    shown["metadata"]["size"] = pin.size.into();
    shown
}

/// What the user has stored.
async fn list_pinned(
    State(core): State<Shared>,
    Path(hash): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let found = core.contents.list(&user, &hash)?;
    Ok(Json(found.iter().map(|pin| shown_pin(pin, Value::Null)).collect()))
}

/// Takes a content back.
async fn unpin(
    State(core): State<Shared>,
    Path(hash): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    core.contents.delete(&user, &hash).await?;
    Ok(Json(Value::Bool(true)))
}

/// Searches what the user has stored, wherever the path leads.
async fn search_pinned(
    State(core): State<Shared>,
    Path(_path): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let wanted: Search = request.json()?;
    let found = core.contents.search(&user, &words(&wanted)?, wanted.limit() as usize)?;
    let hits = found.iter().map(|(pin, line)| {
        let mut hit = hit(&pin.cid, line.clone().into(), &json!({}));
        hit["metadata"] = shown_pin(pin, Value::Null)["metadata"].take();
        hit
    });
    Ok(Json(hits.collect()))
}
