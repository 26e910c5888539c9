//! Finding modules, and yanking their versions.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use napt_registry_client::{ModuleDetails, ModuleSummary, Page, Verb, YankRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, Path, Shared, module_id, version};
use crate::registry::{accounts::Caller, refusal::Refusal, store::Yanked};

/// The longest reason of a yank, in characters.
const MAX_REASON: usize = 500;

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(rename = "type")]
    module_type: Option<String>,
    page: Option<u32>,
}

pub(super) async fn search(
    State(registry): State<Shared>,
    query: Result<Query<Search>, QueryRejection>,
) -> Result<Json<Page<ModuleSummary>>, Refusal> {
    let Query(Search { q, module_type, page }) = query.map_err(|error| Refusal::Request(error.body_text()))?;
    let module_type = module_type.map(|text| text.parse()).transpose()?;
    let words: Vec<String> = q.split_whitespace().take(10).map(str::to_owned).collect();
    Ok(Json(registry.store.search(&words, module_type, page.unwrap_or(1).max(1)).await?))
}

pub(super) async fn details(
    State(registry): State<Shared>,
    Path((module_type, name)): Path<(String, String)>,
) -> Result<Json<ModuleDetails>, Refusal> {
    let id = module_id(&module_type, &name)?;
    registry.store.module(&id).await?.map(Json).ok_or(Refusal::NoModule(id))
}

pub(super) async fn yank(
    state: State<Shared>,
    caller: Caller,
    path: Path<(String, String, String)>,
    Body(request): Body<Option<YankRequest>>,
) -> Result<Json<Value>, Refusal> {
    let reason = request.and_then(|request| request.reason);
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
        return Err(Refusal::Request(format!("`reason` must be at most {MAX_REASON} characters")));
    }
    set_yanked(state, caller, path, true, reason).await
}

pub(super) async fn unyank(
    state: State<Shared>,
    caller: Caller,
    path: Path<(String, String, String)>,
) -> Result<Json<Value>, Refusal> {
    set_yanked(state, caller, path, false, None).await
}

async fn set_yanked(
    State(registry): State<Shared>,
    caller: Caller,
    Path((module_type, name, given)): Path<(String, String, String)>,
    yanked: bool,
    reason: Option<String>,
) -> Result<Json<Value>, Refusal> {
    let (id, version) = (module_id(&module_type, &name)?, version(&given)?);
    caller.may_for(Verb::Yank, &id)?;
    let (store, now) = (Arc::clone(&registry.store), registry.now());
    let (of, which) = (id.clone(), version.clone());
    let change = async move { store.set_yanked(&of, &which, yanked, reason.as_deref(), &caller.user, now).await };
    match registry.change(&id, change).await? {
        Yanked::Done => Ok(Json(json!({ "yanked": yanked }))),
        Yanked::Missing => Err(Refusal::NoVersion(id, version)),
        Yanked::NotOwner => Err(Refusal::NotOwner(id)),
    }
}
