//! Users' secrets: napt's own API, and Naptha's `deploy-secrets`.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{Refusal, request::Authenticated};
use crate::{
    identity::Jwks,
    module::ModuleId,
    node::{NodeError, Shared, core::Caller},
    wire::{NewSecret, SecretRow, SecretView},
};

/// The key that secrets for this node are sealed with.
pub(super) async fn jwks(State(core): State<Shared>) -> Result<Json<Jwks>, Refusal> {
    Ok(Json(core.jwks().await?))
}

/// The names of the user's secrets.
pub(super) async fn list(State(core): State<Shared>, request: Authenticated) -> Result<Json<Vec<SecretView>>, Refusal> {
    Ok(Json(core.secrets(&request.user()?).await?))
}

/// Keeps a secret of the user's.
pub(super) async fn put(State(core): State<Shared>, request: Authenticated) -> Result<StatusCode, Refusal> {
    let user = request.user()?;
    let new: NewSecret = request.json()?;
    core.put_secret(&user, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
pub(super) struct RemoveQuery {
    module: Option<ModuleId>,
}

/// Forgets a secret of the user's.
pub(super) async fn remove(
    State(core): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
    request: Authenticated,
) -> Result<StatusCode, Refusal> {
    core.remove_secret(&request.user()?, query.module.as_ref(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
pub(super) struct CreateQuery {
    signature: Option<String>,
    is_update: Option<String>,
}

/// What the SDK sends beside these, `existing_secrets`, is the client's word for what is here already.
#[derive(Debug, Deserialize)]
struct CreateRequest {
    #[serde(default)]
    secrets: Vec<SecretRow>,
}

/// Naptha's `deploy-secrets`.
pub(super) async fn create(
    State(core): State<Shared>,
    Query(query): Query<CreateQuery>,
    request: Authenticated,
) -> Result<Response, Refusal> {
    if matches!(request.caller, Caller::Run { .. }) {
        return Err(NodeError::Forbidden("a module cannot do this".to_owned()).into());
    }
    let CreateRequest { secrets } = request.json()?;
    if secrets.is_empty() {
        return Ok((StatusCode::BAD_REQUEST, Json(json!({ "detail": "Data cannot be empty" }))).into_response());
    }
    // As Python and as JavaScript write it.
    let replace = query.is_update.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let said = core.put_rows(&request.caller, query.signature.as_deref(), replace, secrets).await?;
    Ok(Json(said).into_response())
}
