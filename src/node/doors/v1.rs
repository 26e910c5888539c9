//! napt's own API.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use url::Url;

use super::{Refusal, request::Authenticated};
use crate::{
    crash,
    identity::Token,
    node::{
        NodeError, Shared,
        core::{Caller, Deployed, ECHO, Follower, Proof},
        store::RunFilter,
    },
    wire::{
        DeployEvent, DeployRequest, DeploymentStatus, NewToken, NodeInfo, RevisionStatus, RollbackRequest, RunRequest,
        RunView, TokenView,
    },
};

/// Longest life of a token, in seconds.
const MAX_TOKEN_LIFE: u64 = 365 * 24 * 3600;

/// Who this node is.
pub(super) async fn node(State(core): State<Shared>) -> Json<NodeInfo> {
    Json(NodeInfo {
        id: core.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        open: core.options.open,
        models: vec![ECHO.to_owned()],
        registry: without_credentials(&core.options.registry),
    })
}

/// A URL that may be shown to everybody.
fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have a user name has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Makes a token for clients that cannot sign requests.
pub(super) async fn new_token(
    State(core): State<Shared>,
    request: Authenticated,
) -> Result<(StatusCode, Json<TokenView>), Refusal> {
    let user = request.user()?;
    // Else a token that leaked could outlive itself.
    if !request.signed {
        return Err(
            NodeError::Forbidden("only a request signed with the user's key can make a token".to_owned()).into()
        );
    }
    let wanted: NewToken = request.json()?;
    let seconds = i64::try_from(wanted.expires_in.clamp(1, MAX_TOKEN_LIFE)).unwrap_or(i64::MAX);
    let expires = Timestamp::now() + SignedDuration::from_secs(seconds);
    let token = Token::generate();
    core.store
        .put_token(&token.hash(), &wanted.name, &user, expires)
        .await
        .map_err(NodeError::internal("keep a token"))?;
    Ok((StatusCode::CREATED, Json(TokenView { name: wanted.name, token: token.reveal().to_owned(), expires })))
}

/// Ends a token: who holds it may.
pub(super) async fn end_token(
    State(core): State<Shared>,
    headers: HeaderMap,
    _request: Authenticated,
) -> Result<StatusCode, Refusal> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Proof::Token(token) = Proof::parse(header)? else {
        return Err(NodeError::Forbidden("a token is ended by a request with that token".to_owned()).into());
    };
    core.store.end_token(&token.hash()).await.map_err(NodeError::internal("end a token"))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an archive is here.
pub(super) async fn has_archive(
    State(core): State<Shared>,
    Path(sha256): Path<String>,
    request: Authenticated,
) -> Result<StatusCode, Refusal> {
    request.user()?;
    if core.installs.has_archive(&sha256) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(NodeError::missing("the archive is not here").into())
    }
}

/// Keeps an archive for a deployment.
pub(super) async fn put_archive(
    State(core): State<Shared>,
    Path(sha256): Path<String>,
    request: Authenticated,
) -> Result<StatusCode, Refusal> {
    request.user()?;
    core.installs.keep_archive(&sha256, request.body).await?;
    Ok(StatusCode::CREATED)
}

/// The live revisions.
pub(super) async fn deployments(
    State(core): State<Shared>,
    request: Authenticated,
) -> Result<Json<Vec<DeploymentStatus>>, Refusal> {
    let user = request.user()?;
    Ok(Json(core.deployments(&user).await?))
}

/// All revisions of one deployment.
pub(super) async fn revisions(
    State(core): State<Shared>,
    Path(name): Path<String>,
    request: Authenticated,
) -> Result<Json<Vec<RevisionStatus>>, Refusal> {
    let user = request.user()?;
    Ok(Json(core.revisions(&name, &user).await?))
}

/// Deploys, telling each step. It goes on when the client leaves; asking again gives the same deployment.
pub(super) async fn deploy(
    State(core): State<Shared>,
    request: Authenticated,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let owner = request.user()?;
    let wanted: DeployRequest = request.json()?;
    if let Some(name) = &wanted.name {
        check_name(name)?;
    }
    Ok(as_stream(start(move |progress| async move {
        let deployed = core.deploy(wanted, owner, &progress).await?;
        Ok(Deployed { view: core.shown(deployed.view), ..deployed })
    })))
}

/// Deploys an earlier revision again.
pub(super) async fn rollback(
    State(core): State<Shared>,
    Path(name): Path<String>,
    request: Authenticated,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let owner = request.user()?;
    let wanted: RollbackRequest = request.json()?;
    Ok(as_stream(start(move |progress| async move {
        let deployed = core.rollback(&name, wanted, owner, &progress).await?;
        Ok(Deployed { view: core.shown(deployed.view), ..deployed })
    })))
}

/// Removes a deployment.
pub(super) async fn undeploy(
    State(core): State<Shared>,
    Path(name): Path<String>,
    request: Authenticated,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let owner = request.user()?;
    Ok(as_stream(start(move |progress| async move { core.undeploy(&name, owner, &progress).await })))
}

fn as_stream(events: mpsc::UnboundedReceiver<DeployEvent>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = UnboundedReceiverStream::new(events).map(|event| Ok(as_event(None, &event)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// What a user may call a deployment. Parts of a peer's deployment have longer names, with `/` and `@`.
fn check_name(name: &str) -> Result<(), NodeError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(fine) {
        return Ok(());
    }
    Err(NodeError::Invalid("a deployment's name has letters, digits, `_`, `-` and `.`, at most 64".to_owned()))
}

/// Does it in a task of its own, which ends with `ready` or `failed` whoever listens.
pub(super) fn start<W: Future<Output = Result<Deployed, NodeError>> + Send + 'static>(
    work: impl FnOnce(Follower) -> W,
) -> mpsc::UnboundedReceiver<DeployEvent> {
    let (sender, events) = mpsc::unbounded_channel();
    let work = work(Follower::new(sender.clone()));
    tokio::spawn(async move {
        let last = match work.await {
            Ok(Deployed { view, unchanged }) => DeployEvent::Ready { deployment: Box::new(view), unchanged },
            Err(error) => DeployEvent::Failed { problem: error.problem() },
        };
        // The client may have left.
        let _ = sender.send(last);
    });
    events
}

fn as_event(id: Option<u64>, value: &impl serde::Serialize) -> Event {
    let event = Event::default().data(serde_json::to_string(value).unwrap_or_default());
    match id {
        Some(id) => event.id(id.to_string()),
        None => event,
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RunsQuery {
    #[serde(default)]
    all: bool,
    root: Option<String>,
    limit: Option<u32>,
}

/// The caller's runs: roots, all, or one tree.
pub(super) async fn runs(
    State(core): State<Shared>,
    Query(query): Query<RunsQuery>,
    request: Authenticated,
) -> Result<Json<Vec<RunView>>, Refusal> {
    let consumer = request.user()?;
    let read = NodeError::internal("read its runs");
    if let Some(root) = query.root {
        // The root itself may be a run of another node.
        let mut tree = core.store.tree(&root).await.map_err(read)?;
        tree.retain(|run| run.consumer == consumer);
        if tree.is_empty() {
            return Err(NodeError::no_run(&root).into());
        }
        return Ok(Json(tree));
    }
    let filter = RunFilter { consumer: Some(consumer), roots: !query.all, limit: query.limit.unwrap_or(50).min(1000) };
    Ok(Json(core.store.runs(filter).await.map_err(read)?))
}

/// Accepts a run.
pub(super) async fn run(
    State(core): State<Shared>,
    request: Authenticated,
) -> Result<(StatusCode, Json<RunView>), Refusal> {
    let wanted: RunRequest = request.json()?;
    let stored = core.run(&request.caller, wanted).await?;
    crash::point("run.answering").map_err(NodeError::internal("read a run"))?;
    Ok((StatusCode::CREATED, Json(stored.view.clone())))
}

/// Fails unless the caller may see the run.
async fn visible(core: &Shared, caller: &Caller, id: &str) -> Result<RunView, NodeError> {
    let view = core.stored_run(id).await?.view;
    if core.may_see(caller, &view).await? {
        Ok(view)
    } else {
        // As if it were not there, so that ids cannot be tried out.
        Err(NodeError::no_run(id))
    }
}

/// One run.
pub(super) async fn run_view(
    State(core): State<Shared>,
    Path(id): Path<String>,
    request: Authenticated,
) -> Result<Json<RunView>, Refusal> {
    Ok(Json(visible(&core, &request.caller, &id).await?))
}

/// Asks a run to end.
pub(super) async fn cancel(
    State(core): State<Shared>,
    Path(id): Path<String>,
    request: Authenticated,
) -> Result<StatusCode, Refusal> {
    visible(&core, &request.caller, &id).await?;
    core.cancel(&id);
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    after: Option<u64>,
    follow: Option<bool>,
}

/// A run's events, from the first or after a number, and unless told otherwise live until its end.
pub(super) async fn events(
    State(core): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
    request: Authenticated,
) -> Result<Response, Refusal> {
    if !core.is_active_of(&request.caller, &id) {
        visible(&core, &request.caller, &id).await?;
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let follow = query.follow.unwrap_or(true);
    let events = core.follow(id, query.after.or(last).unwrap_or(0), follow).flat_map(|event| match event {
        Ok(event) => stream::iter(Some(Ok::<_, Infallible>(as_event(Some(event.seq), &event)))),
        // The stream ends, and the client asks again from the last number.
        Err(_) => stream::iter(None),
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}
