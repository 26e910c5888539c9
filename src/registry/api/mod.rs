//! HTTP. Each route turns a request into one call of [`Registry`] and its answer into a response.

mod accounts;
mod index;
mod modules;
mod nodes;
mod rpc;
mod upload;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{self, FromRequest, FromRequestParts, OriginalUri, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use semver::Version;
use serde::de::DeserializeOwned;
use serde_json::json;
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};

use super::{Registry, accounts::Caller, refusal::Refusal};
use crate::module::ModuleId;

type Shared = Arc<Registry>;

/// All routes.
pub(super) fn router(registry: Shared) -> Router {
    let version = "/api/v1/modules/{type}/{name}/{version}";
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/index/config.json", get(index::config))
        .route("/index/{type}/{name}", get(index::module))
        .route("/api/v1/modules", get(modules::search))
        .route("/api/v1/modules/{type}/{name}", get(modules::details))
        .route(version, put(upload::publish))
        .route(&format!("{version}/download"), get(index::download))
        .route(&format!("{version}/yank"), put(modules::yank).delete(modules::unyank))
        .route("/api/v1/accounts/challenge", post(accounts::challenge))
        .route("/api/v1/accounts", post(accounts::sign_up))
        .route("/api/v1/accounts/password", put(accounts::set_password))
        .route("/api/v1/me", get(accounts::me))
        .route("/api/v1/nodes", get(nodes::nodes))
        .route("/api/v1/nodes/{id}", put(nodes::announce).delete(nodes::withdraw))
        .route("/api/v1/tokens", get(accounts::tokens).post(accounts::create_token))
        .route("/api/v1/tokens/{id}", axum::routing::delete(accounts::revoke_token))
        .route("/rpc", get(rpc::open))
        .fallback(async |OriginalUri(uri): OriginalUri| Refusal::NoRoute(uri.path().to_owned()))
        .method_not_allowed_fallback(async |OriginalUri(uri): OriginalUri| Refusal::Method(uri.path().to_owned()))
        .layer(middleware::from_fn(headers))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Refusal::Internal("a panic".into()).into_response()
        }))
        .layer(TraceLayer::new_for_http())
        .with_state(registry)
}

/// What every answer carries: nothing here is a page, and nothing is to be guessed from its content.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Refusal::Internal(error) = &self {
            let causes = std::iter::successors(error.source(), |error| error.source());
            let causes = causes.map(|cause| format!(": {cause}")).collect::<String>();
            tracing::error!("{error}{causes}");
        }
        if matches!(self, Refusal::Full) {
            tracing::error!("{self}");
        }
        let problem = self.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after() {
            // Rounded up: a second too early would be refused again.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, registry: &Shared) -> Result<Self, Refusal> {
        let header = parts.headers.get(header::AUTHORIZATION);
        registry.authenticate(header.map(HeaderValue::as_bytes)).await
    }
}

fn module_id(module_type: &str, name: &str) -> Result<ModuleId, Refusal> {
    let name = name.parse().map_err(crate::module::IdError::Name)?;
    Ok(ModuleId { module_type: module_type.parse()?, name })
}

/// A version as it stands in a URL: strict, in the one way to write it, without build metadata.
fn version(text: &str) -> Result<Version, Refusal> {
    let bad = |reason: &str| Refusal::Version(text.chars().take(80).collect(), reason.to_owned());
    if text.len() > 64 {
        return Err(bad("it is longer than 64 characters"));
    }
    let version = Version::parse(text).map_err(|error| bad(&error.to_string()))?;
    if version.build.is_empty() { Ok(version) } else { Err(bad("build metadata is not part of a module's version")) }
}

/// What a path holds, or what is wrong with it as a problem.
struct Path<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, registry: &Shared) -> Result<Self, Refusal> {
        let path = extract::Path::from_request_parts(parts, registry).await;
        path.map(|extract::Path(value)| Path(value)).map_err(|rejection| Refusal::Request(rejection.body_text()))
    }
}

/// A JSON body that comes in time, or what is wrong with it as a problem.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, registry: &Shared) -> Result<Self, Refusal> {
        let RawBody(body) = RawBody::from_request(request, registry).await?;
        let text = if body.is_empty() { b"null" } else { &*body };
        serde_json::from_slice(text).map(Body).map_err(|error| Refusal::Request(error.to_string()))
    }
}

/// The bytes of a body that comes in time.
struct RawBody(Bytes);

impl FromRequest<Shared> for RawBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, registry: &Shared) -> Result<Self, Refusal> {
        let body = tokio::time::timeout(registry.limits.body_window, Bytes::from_request(request, registry));
        let body = body.await.map_err(|_| Refusal::Slow)?;
        body.map(RawBody).map_err(|rejection| Refusal::Request(rejection.body_text()))
    }
}
