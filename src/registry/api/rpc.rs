//! The WebSocket of Naptha's hub protocol.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade},
    http::header,
    response::Response,
};

use super::Shared;
use crate::registry::{
    hub::{self, MAX_FRAME},
    refusal::Refusal,
};

pub(super) async fn open(
    State(registry): State<Shared>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    let (mut parts, _) = request.into_parts();
    if parts.headers.contains_key(header::ORIGIN) {
        // Naptha's clients send none. Any page that a browser shows could open it, and read what only this machine sees.
        return Err(Refusal::Request("web pages cannot use the hub: no header `Origin` is taken".to_owned()));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &registry)
        .await
        .map_err(|_| Refusal::Request("this is a WebSocket: set `HUB_URL` to `ws://HOST:PORT/rpc`".to_owned()))?;
    let room = registry.hub.connection(address.ip()).ok_or(Refusal::Busy)?;
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(async move |socket| {
        hub::serve(registry, address.ip(), socket).await;
        drop(room);
    }))
}
