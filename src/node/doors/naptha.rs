//! Naptha's HTTP door, as `naptha-sdk` 1.0.5 uses it.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Refusal,
    request::{Authenticated, reason},
};
pub(super) use crate::node::core::runnable;
use crate::{
    config::Deployment,
    identity::PublicKey,
    module::ModuleType,
    node::{NodeError, Shared, core::Caller},
    wire::{RunInput, RunRecord, SecretRow, UserReply},
};

/// That the node is there.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok!!!", "communication_protocol": "http" }))
}

/// The resolved deployment of a module that is deployed here.
pub(super) async fn create(
    State(core): State<Shared>,
    Path(module_type): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let module_type = runnable(&module_type)?;
    let given: Deployment = request.json()?;
    Ok(Json(core.create(&request.caller, module_type, given).await?))
}

/// Starts a run; the body wraps its input as `<type>_run_input`.
pub(super) async fn run(
    State(core): State<Shared>,
    Path(module_type): Path<String>,
    request: Authenticated,
) -> Result<Json<RunRecord>, Refusal> {
    let module_type = runnable(&module_type)?;
    let mut body: Map<String, Value> = request.json()?;
    let wrapper = format!("{module_type}_run_input");
    let input = body.remove(&wrapper).ok_or_else(|| NodeError::Invalid(format!("the request has no `{wrapper}`")))?;
    // With nothing in it, some send null.
    let secrets: Option<Vec<SecretRow>> = serde_json::from_value(body.remove("secrets").unwrap_or_default())
        .map_err(|error| NodeError::Invalid(format!("the `secrets` are not as expected: {}", reason(&error))))?;
    let input: RunInput = serde_json::from_value(input)
        .map_err(|error| NodeError::Invalid(format!("the `{wrapper}` is not as expected: {}", reason(&error))))?;
    let stored = core.run_naptha(&request.caller, module_type, input, secrets.unwrap_or_default()).await?;
    Ok(Json(core.record_for(&request.caller, &stored)?))
}

#[derive(Debug, Deserialize)]
struct CheckRequest {
    id: Option<String>,
}

/// Where a run stands. Only `id` of the record that is sent matters.
pub(super) async fn check(
    State(core): State<Shared>,
    Path(module_type): Path<String>,
    request: Authenticated,
) -> Result<Json<RunRecord>, Refusal> {
    let module_type = runnable(&module_type)?;
    let asked: CheckRequest = request.json()?;
    let id = asked.id.ok_or_else(|| NodeError::Invalid("the run record has no `id`".to_owned()))?;
    Ok(Json(seen(&core, &request.caller, module_type, &id).await?))
}

/// The record of a run that the caller may see.
pub(super) async fn seen(
    core: &Shared,
    caller: &Caller,
    module_type: ModuleType,
    id: &str,
) -> Result<RunRecord, NodeError> {
    let stored = core.stored_run(id).await?;
    let theirs = core.may_see(caller, &stored.view).await?;
    if !theirs || stored.view.module.module_type != module_type {
        return Err(NodeError::missing(format!("there is no {module_type} run `{id}`")));
    }
    core.record_for(caller, &stored)
}

#[derive(Debug, Deserialize)]
pub(super) struct UserRequest {
    pub(super) public_key: String,
}

impl UserRequest {
    fn key(&self) -> Result<PublicKey, NodeError> {
        self.public_key.parse().map_err(|error: crate::identity::KeyError| NodeError::Invalid(error.to_string()))
    }
}

/// Whether a user is known.
pub(super) async fn user_check(core: &Shared, request: &UserRequest) -> Result<UserReply, NodeError> {
    let key = request.key()?;
    let known = core.store.knows_user(&key.user_id()).await.map_err(NodeError::internal("look up a user"))?;
    Ok(UserReply { public_key: key.to_string(), id: known.then(|| key.user_id()), is_registered: Some(known) })
}

/// Makes a user known: oneself with a credential, anybody on an open node.
pub(super) async fn user_register(
    core: &Shared,
    caller: &Caller,
    request: &UserRequest,
) -> Result<UserReply, NodeError> {
    let key = request.key()?;
    let reply = UserReply { public_key: key.to_string(), id: Some(key.user_id()), is_registered: None };
    // A module registers its delegate key, as older ones do: that is nobody, and its consumer is known already.
    if matches!(caller, Caller::Run { .. }) {
        return Ok(reply);
    }
    caller.consumer(Some(&key.user_id()))?;
    core.store.put_user(&key.user_id()).await.map_err(NodeError::internal("register a user"))?;
    Ok(reply)
}

/// Whether a user is known, over HTTP.
pub(super) async fn check_user(State(core): State<Shared>, request: Authenticated) -> Result<Json<UserReply>, Refusal> {
    Ok(Json(user_check(&core, &request.json()?).await?))
}

/// Makes a user known, over HTTP.
pub(super) async fn register_user(
    State(core): State<Shared>,
    request: Authenticated,
) -> Result<Json<UserReply>, Refusal> {
    Ok(Json(user_register(&core, &request.caller, &request.json()?).await?))
}
