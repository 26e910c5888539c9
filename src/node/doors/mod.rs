//! The doors: each a thin adapter from a protocol to the core.

mod answer;
pub(super) mod egress;
mod forward;
mod grpc;
mod inference;
pub(super) mod inside;
mod naptha;
mod request;
mod secrets;
mod storage;
mod upload;
mod v1;
mod websocket;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use tower_http::catch_panic::CatchPanicLayer;

use self::{answer::Refusal, request::FromPeer};
use super::{NodeError, Shared};

/// The largest request: an archive.
const MAX_BODY: usize = 64 << 20;

/// All doors of a node, on one port.
pub(super) fn router(core: Shared) -> Router {
    Router::new()
        .route("/health", get(naptha::health))
        .route("/v1/node", get(v1::node))
        .route("/v1/tokens", post(v1::new_token).delete(v1::end_token))
        .route("/v1/archives/{sha256}", get(v1::has_archive).put(v1::put_archive))
        .route("/v1/deployments", get(v1::deployments).post(v1::deploy))
        .route("/v1/deployments/{name}", get(v1::revisions).delete(v1::undeploy))
        .route("/v1/deployments/{name}/rollback", post(v1::rollback))
        .route("/v1/secrets", get(secrets::list).put(secrets::put))
        .route("/v1/secrets/{name}", axum::routing::delete(secrets::remove))
        .route("/.well-known/jwks.json", get(secrets::jwks))
        .route("/user/secret/create", post(secrets::create))
        .route("/v1/runs", get(v1::runs).post(v1::run))
        .route("/v1/runs/{id}", get(v1::run_view))
        .route("/v1/runs/{id}/events", get(v1::events))
        .route("/v1/runs/{id}/cancel", post(v1::cancel))
        .route("/v1/forward/run/{module_type}", post(forward::run))
        .route("/v1/forward/deploy", post(forward::deploy))
        .route("/v1/forward/deployments/{name}", axum::routing::delete(forward::undeploy))
        .route("/v1/forward/archives/{sha256}", get(forward::has_archive).put(forward::put_archive))
        .route("/user/check", post(naptha::check_user))
        .route("/user/register", post(naptha::register_user))
        .merge(providers().route_layer(middleware::from_fn_with_state(core.clone(), forward::to_peer)))
        .nest("/v1/forward", providers().layer(Extension(FromPeer)))
        .route("/ws/user/check/{client}", get(websocket::check_user))
        .route("/ws/user/register/{client}", get(websocket::register_user))
        .route("/ws/{module_type}/run/{client}", get(websocket::run))
        .route("/{module_type}/create", post(naptha::create))
        .route("/{module_type}/run", post(naptha::run))
        .route("/{module_type}/check", post(naptha::check))
        .merge(grpc::router(core.clone()))
        .fallback(missing)
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| -> Response {
            (StatusCode::INTERNAL_SERVER_ERROR, "the node has a defect and could not answer").into_response()
        }))
        .with_state(core)
}

/// What a module uses of the node that its address means: models and storage.
fn providers() -> Router<Shared> {
    Router::new()
        .route("/inference/models", get(inference::models))
        .route("/inference/chat/completions", post(inference::chat))
        // As SDK 0.2 calls it.
        .route("/inference/chat", post(inference::chat))
        .route("/inference/completions", post(inference::completions))
        .route("/inference/embeddings", post(inference::embeddings))
        .route("/storage/db/create/{table}", post(storage::create))
        .route("/storage/db/read/{table}", get(storage::read))
        .route("/storage/db/list/{table}", get(storage::list))
        .route("/storage/db/update/{table}", put(storage::update))
        .route("/storage/db/delete/{table}", axum::routing::delete(storage::delete))
        .route("/storage/db/search/{table}", post(storage::search))
        .route("/storage/db/list/", get(storage::tables))
        .merge(storage::files())
}

async fn missing(uri: axum::http::Uri) -> Refusal {
    NodeError::missing(format!("this node has no `{}`", uri.path())).into()
}
