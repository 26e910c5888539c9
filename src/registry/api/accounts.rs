//! Signing in, and tokens.

use std::net::SocketAddr;

use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use napt_registry_client::{
    Challenge, Me, NewToken, PasswordAccount, PasswordRequest, SignUp, SignedUp, TokenInfo, TokenRequest, Verb,
};
use serde_json::{Value, json};

use super::{Body, Path, Shared};
use crate::registry::{accounts::Caller, refusal::Refusal};

pub(super) async fn challenge(
    State(registry): State<Shared>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
) -> Result<Json<Challenge>, Refusal> {
    Ok(Json(registry.challenge(address.ip()).await?))
}

pub(super) async fn sign_up(
    State(registry): State<Shared>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Body(proof): Body<SignUp>,
) -> Result<(StatusCode, Json<SignedUp>), Refusal> {
    let signed_up = registry.sign_up(address.ip(), &proof).await?;
    let status = if signed_up.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(signed_up)))
}

pub(super) async fn set_password(
    State(registry): State<Shared>,
    caller: Caller,
    Body(wanted): Body<PasswordRequest>,
) -> Result<Json<PasswordAccount>, Refusal> {
    // Only a login gives this verb, and only the key's holder logs in.
    caller.may(Verb::Account)?;
    registry.set_password(&caller.user, &wanted).await?;
    Ok(Json(PasswordAccount { username: wanted.username, confirmed: true }))
}

pub(super) async fn me(caller: Caller) -> Json<Me> {
    Json(Me { user: caller.user, token: caller.token })
}

pub(super) async fn tokens(State(registry): State<Shared>, caller: Caller) -> Result<Json<Vec<TokenInfo>>, Refusal> {
    caller.may(Verb::Account)?;
    Ok(Json(registry.store.tokens(&caller.user).await?))
}

pub(super) async fn create_token(
    State(registry): State<Shared>,
    caller: Caller,
    Body(wanted): Body<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>), Refusal> {
    Ok((StatusCode::CREATED, Json(registry.create_token(&caller, wanted).await?)))
}

pub(super) async fn revoke_token(
    State(registry): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    // Any token may end itself: that is what its finder should do.
    let id = if id == "current" { caller.token.id.clone() } else { id };
    if id != caller.token.id {
        caller.may(Verb::Account)?;
    }
    if registry.store.remove_token(&caller.user, &id).await? {
        Ok(Json(json!({ "revoked": id })))
    } else {
        Err(Refusal::NoSuchToken(id))
    }
}
