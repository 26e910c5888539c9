//! The doors as modules have them inside of their walls: on sockets that listen there, for callers who say who they are.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::Listener,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{super::core::Proof, answer::Refusal, request::authorization};
use crate::node::NodeError;

/// Connections of one parent's runs at a time: what they hold open are the node's descriptors, too.
const CONNECTIONS: usize = 512;

/// The doors for whoever has a credential, on an open node too: a module that leaves its own out is nobody else.
pub(in crate::node) fn router(doors: Router) -> Router {
    doors.layer(middleware::from_fn(with_credential))
}

async fn with_credential(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_public = matches!(parts.uri.path(), "/health" | "/v1/node" | "/.well-known/jwks.json");
    match Proof::parse(authorization(&parts)) {
        Ok(Proof::None) if !is_public => {
            let reason = "a module's requests need its credential, which is in the address of its node";
            Refusal::from(NodeError::Unauthorised(reason.to_owned())).into_response()
        }
        // Others are judged by the doors.
        _ => next.run(Request::from_parts(parts, body)).await,
    }
}

/// Accepts so many connections and no more; further ones wait.
pub(in crate::node) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Bounded {
    /// For one parent.
    pub(in crate::node) fn new(listener: TcpListener) -> Self {
        Bounded { listener, places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.expect("it is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // An answer in two pieces would wait for its first one's receipt.
        let _ = stream.set_nodelay(true);
        (Connection { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that has a place.
pub(in crate::node) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
