//! Naptha's hub protocol on the registry's own records: JSON frames over a WebSocket, as Naptha's SDK and nodes send them.
//!
//! It looks like a database and is none: a handful of methods and query texts are known, each is one call of the store,
//! and everything else is refused. Who signs in does so for one connection; the server says who owns what.
//!
//! | file | what |
//! | --- | --- |
//! | `frames.rs` | requests in, replies out, and each reason to refuse |
//! | `queries.rs` | the query texts that are known |
//! | `session.rs` | one connection: who is signed in, which frame does what |
//! | `accounts.rs` | names, passwords, tokens |
//! | `records.rs` | modules, nodes and servers in Naptha's shape |

mod accounts;
mod frames;
mod queries;
mod records;
mod session;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use jsonwebtoken::EncodingKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use url::Url;

use super::{Registry, rate};
use crate::identity::random_hex;

/// The largest frame.
pub(super) const MAX_FRAME: usize = 1 << 20;
/// How many connections there may be at a time.
const MAX_CONNECTIONS: usize = 1024;
/// How many of them may be one client's.
const MAX_OF_CLIENT: usize = 128;
/// How many passwords are hashed at a time: each takes 19 MiB and a core.
const MAX_HASHING: usize = 2;

/// What the hub needs besides the records.
pub(super) struct Hub {
    /// The URL that users reach the registry by.
    base: Url,
    /// Signs tokens. They are never taken back, so no key needs to outlive the process.
    key: EncodingKey,
    hashing: Semaphore,
    connections: Arc<Semaphore>,
    /// The same by client, of those that have any.
    clients: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    stopping: watch::Receiver<bool>,
}

impl Hub {
    pub(super) fn new(base: Url, stopping: watch::Receiver<bool>) -> Self {
        Hub {
            base,
            key: EncodingKey::from_secret(random_hex(32).as_bytes()),
            hashing: Semaphore::new(MAX_HASHING),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            clients: Mutex::default(),
            stopping,
        }
    }

    /// Room for one more connection of this address, if there is.
    pub(super) fn connection(&self, address: IpAddr) -> Option<[OwnedSemaphorePermit; 2]> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, room| room.available_permits() < MAX_OF_CLIENT);
        let room = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let of_client = clients.entry(rate::client(address)).or_insert_with(|| Arc::new(Semaphore::new(MAX_OF_CLIENT)));
        Some([room, Arc::clone(of_client).try_acquire_owned().ok()?])
    }
}

/// Serves a connection to its end: a reply a request, in their order, and nothing that was not asked for.
pub(super) async fn serve(registry: Arc<Registry>, address: IpAddr, mut socket: WebSocket) {
    let mut session = session::Session::new(Arc::clone(&registry), address);
    let mut stopping = registry.hub.stopping.clone();
    let close = loop {
        let message = tokio::select! {
            message = tokio::time::timeout(registry.limits.hub_idle, socket.recv()) => message,
            _ = stopping.wait_for(|stop| *stop) => break (close_code::AWAY, "the registry stops"),
        };
        let reply = match message {
            Ok(Some(Ok(Message::Text(text)))) => session.answer(&text).await,
            // The client's pings are answered by the socket itself.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Ok(Message::Binary(_)))) => break (close_code::UNSUPPORTED, "requests are JSON text"),
            Ok(Some(Err(_))) => break (close_code::SIZE, "the frame is not readable, or larger than 1 MiB"),
            Ok(None | Some(Ok(Message::Close(_)))) => return,
            Err(_) => break (close_code::AWAY, "nothing was sent for too long"),
        };
        if socket.send(Message::text(reply)).await.is_err() {
            return;
        }
    };
    let frame = CloseFrame { code: close.0, reason: Utf8Bytes::from_static(close.1) };
    // A client that has left needs no farewell.
    let _ = socket.send(Message::Close(Some(frame))).await;
}
