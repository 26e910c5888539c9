//! A user's tables, files and contents on a node.

use std::{
    fmt,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Method, Response, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::{ClientError, NodeClient};
use crate::{files::UNFINISHED, identity::random_hex};

/// What is read of a file at once.
const CHUNK: usize = 64 << 10;

/// A kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Tables.
    Db,
    /// Files by names.
    Fs,
    /// Files by their content.
    Ipfs,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storage::Db => "db",
            Storage::Fs => "fs",
            Storage::Ipfs => "ipfs",
        })
    }
}

/// A file that was fetched.
#[derive(Debug)]
pub struct Saved {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// Text as a part of a URL.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The path of a call, with JSON in its query.
fn target(storage: Storage, operation: &str, path: &str, query: &[(&str, &Value)]) -> String {
    let path = path.split('/').map(encoded).collect::<Vec<_>>().join("/");
    let mut target = format!("/storage/{storage}/{operation}/{path}");
    for (index, (name, value)) in query.iter().filter(|(_, value)| !value.is_null()).enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(&format!("{name}={}", encoded(&value.to_string())));
    }
    target
}

/// A form with the field `data`.
fn form(data: &Value) -> Vec<u8> {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &data.to_string()).finish().into_bytes()
}

/// The name that the sender of a file has for it, if it is one.
fn attached_name(response: &Response) -> Option<String> {
    let header = response.headers().get(header::CONTENT_DISPOSITION)?.to_str().ok()?;
    let (_, encoded) = header.split_once("filename*=UTF-8''")?;
    let name = url::form_urlencoded::parse(format!("n={encoded}").as_bytes()).next()?.1.into_owned();
    // Only a name: never a way to somewhere else.
    (!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])).then_some(name)
}

impl NodeClient {
    /// Makes a table, or adds rows to it.
    pub async fn create_rows(&self, table: &str, data: &Value) -> Result<Value, ClientError> {
        self.json(Method::POST, &target(Storage::Db, "create", table, &[]), form(data)).await
    }

    /// Changes the rows of a table that meet a condition.
    pub async fn update_rows(&self, table: &str, condition: &Value, data: &Value) -> Result<Value, ClientError> {
        let target = target(Storage::Db, "update", table, &[("condition", condition)]);
        self.json(Method::PUT, &target, form(data)).await
    }

    /// The rows of a table.
    pub async fn read_rows(&self, table: &str, options: &Value) -> Result<Value, ClientError> {
        let target = target(Storage::Db, "read", table, &[("options", options)]);
        self.json(Method::GET, &target, Vec::new()).await
    }

    /// What there is: tables, the rows of one, files, contents.
    pub async fn list_storage(&self, storage: Storage, path: &str, options: &Value) -> Result<Value, ClientError> {
        self.json(Method::GET, &target(storage, "list", path, &[("options", options)]), Vec::new()).await
    }

    /// Deletes rows, a table, a file, a folder or a content.
    pub async fn delete_storage(
        &self,
        storage: Storage,
        path: &str,
        condition: &Value,
        options: &Value,
    ) -> Result<Value, ClientError> {
        let target = target(storage, "delete", path, &[("condition", condition), ("options", options)]);
        self.json(Method::DELETE, &target, Vec::new()).await
    }

    /// Searches by words or by a vector.
    pub async fn search_storage(
        &self,
        storage: Storage,
        path: &str,
        query: &Value,
        limit: Option<u32>,
    ) -> Result<Value, ClientError> {
        let body = self.encode(&json!({ "query": query, "limit": limit }))?;
        self.json(Method::POST, &target(storage, "search", path, &[]), body).await
    }

    /// Sends a file. It is read twice: its digest is signed before it goes.
    pub async fn send_file(
        &self,
        storage: Storage,
        path: &str,
        file: &Path,
        options: &Value,
    ) -> Result<Value, ClientError> {
        let boundary = random_hex(16);
        let name = file.file_name().unwrap_or_default().to_string_lossy().replace('"', "%22");
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{options}\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let mut digest = Sha256::new();
        digest.update(&head);
        let mut content = fs_err::File::open(file)?;
        let mut buffer = vec![0; CHUNK];
        let mut size = (head.len() + tail.len()) as u64;
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            size += count as u64;
            digest.update(&buffer[..count]);
        }
        digest.update(&tail);
        let digest = digest.finalize();

        let content = ReaderStream::with_capacity(fs_err::tokio::File::open(file).await?.into_parts().0, CHUNK);
        let edge = |text: String| futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]);
        let body = reqwest::Body::wrap_stream(edge(head).chain(content).chain(edge(tail)));
        let request = self
            .proven(Method::POST, &target(storage, "create", path, &[]), &hex::encode(digest))?
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header("content-digest", format!("sha-256=:{}:", STANDARD.encode(digest)))
            .body(body);
        self.read_json(self.send_request(request, size).await?).await
    }

    /// Fetches a file, or a folder as a zip file, to `to`; without that, into a folder under its own name, where nothing
    /// is replaced.
    pub async fn fetch_file(
        &self,
        storage: Storage,
        path: &str,
        folder: &Path,
        to: Option<&Path>,
    ) -> Result<Saved, ClientError> {
        self.retrying(Method::GET, &target(storage, "read", path, &[]), Bytes::new(), None, async |mut response| {
            let name = attached_name(&response).ok_or_else(|| self.garbage("it sends no file".to_owned()))?;
            let path = to.map_or_else(|| folder.join(name), Path::to_owned);
            let beside = path.parent().unwrap_or(folder);
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(beside)?;
            let size = self.read_chunks(&mut response, |chunk| Ok(file.write_all(chunk)?)).await?;
            file.as_file().sync_all()?;
            let kept = if to.is_some() { file.persist(&path) } else { file.persist_noclobber(&path) };
            kept.map_err(|error| {
                std::io::Error::new(error.error.kind(), format!("cannot write `{}`: {}", path.display(), error.error))
            })?;
            Ok(Saved { path, size })
        })
        .await
    }
}
