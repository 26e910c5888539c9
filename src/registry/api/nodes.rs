//! The directory of nodes.

use std::net::SocketAddr;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, Method, Uri, header},
};
use napt_registry_client::{NodeAnnounced, NodeList};
use serde_json::{Value, json};

use super::{Path, RawBody, Shared};
use crate::registry::{nodes::NodeCall, refusal::Refusal};

pub(super) async fn nodes(State(registry): State<Shared>) -> Result<Json<NodeList>, Refusal> {
    Ok(Json(NodeList { nodes: registry.nodes().await? }))
}

/// What a signature is judged by.
fn call<'a>(
    (address, method, uri, headers): (SocketAddr, &'a Method, &'a Uri, &'a HeaderMap),
    body: &'a Bytes,
) -> NodeCall<'a> {
    NodeCall {
        address: address.ip(),
        method: method.as_str(),
        target: uri.path_and_query().map_or("/", |target| target.as_str()),
        authorization: headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()),
        body,
    }
}

pub(super) async fn announce(
    State(registry): State<Shared>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<NodeAnnounced>, Refusal> {
    Ok(Json(registry.announce(&id, call((address, &method, &uri, &headers), &body)).await?))
}

pub(super) async fn withdraw(
    State(registry): State<Shared>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<Value>, Refusal> {
    let removed = registry.withdraw(&id, call((address, &method, &uri, &headers), &body)).await?;
    Ok(Json(json!({ "removed": removed })))
}
