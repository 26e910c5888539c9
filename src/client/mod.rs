//! A client of a node: deploy, run, follow, cancel. Every request is signed with the user's key, or carries the token
//! in the node's URL.

mod archives;
mod deploy;
mod error;
mod events;
mod inference;
mod run;
mod secrets;
mod storage;
mod transport;

pub use archives::Archives;
pub use deploy::{DeployOptions, Deployed, What, deploy, rollback, undeploy};
pub use error::ClientError;
use futures_util::Stream;
pub use inference::Model;
use napt_registry_client::Policy;
use reqwest::{Method, Response, StatusCode};
pub use run::{follow, yanked_of};
use serde::Serialize;
pub use storage::{Saved, Storage};
use transport::Repeat;
use url::Url;

use crate::{
    identity::{SecretKey, Token},
    report::Progress,
    wire::{
        DeployEvent, DeploymentStatus, NewToken, NodeInfo, RevisionStatus, RunEvent, RunRequest, RunView, TokenView,
    },
};

/// Letters of a run's id.
const RUN_ID: usize = 32;

/// Among how many of the newest runs one is looked for by the beginning of its id.
const SEARCHED_RUNS: u32 = 1000;

/// How a request shows who sends it.
#[derive(Debug, Clone)]
enum Credential {
    Key(SecretKey),
    Token(Token),
}

/// A client of one node.
#[derive(Debug, Clone)]
pub struct NodeClient {
    url: Url,
    http: reqwest::Client,
    credential: Credential,
    policy: Policy,
    progress: Option<Progress>,
}

impl NodeClient {
    /// A client of the node at `url`. A token in the URL (`http://napt_…@host`) is used instead of the key.
    pub fn new(mut url: Url, http: reqwest::Client, key: SecretKey) -> Self {
        let credential = match url.username().parse() {
            Ok(token) => Credential::Token(token),
            Err(_) => Credential::Key(key),
        };
        // An http URL always has a host, and so can be without a user name.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        NodeClient { url, http, credential, policy: Policy::default(), progress: None }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The same, showing how much of what it sends has gone.
    #[must_use]
    pub fn watched(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The node's URL, without credentials.
    pub fn url(&self) -> &Url {
        &self.url
    }

    fn encode(&self, value: &impl Serialize) -> Result<Vec<u8>, ClientError> {
        serde_json::to_vec(value).map_err(|error| self.garbage(error.to_string()))
    }

    /// Who the node is.
    pub async fn node(&self) -> Result<NodeInfo, ClientError> {
        self.json(Method::GET, "/v1/node", Vec::new()).await
    }

    /// Makes a token for clients that cannot sign.
    pub async fn new_token(&self, token: &NewToken) -> Result<TokenView, ClientError> {
        self.json(Method::POST, "/v1/tokens", self.encode(token)?).await
    }

    /// Ends the token in a URL of the node, with nothing but itself as proof.
    pub async fn end_token(&self, url: &Url) -> Result<(), ClientError> {
        let Ok(token) = url.username().parse() else { return Ok(()) };
        let holder = NodeClient { credential: Credential::Token(token), ..self.clone() };
        holder.send_as(Method::DELETE, "/v1/tokens", Vec::new(), Some(Repeat::Untouched)).await
    }

    /// Whether the node has an archive.
    async fn has_archive(&self, sha256: &str) -> Result<bool, ClientError> {
        match self.send(Method::GET, &format!("/v1/archives/{sha256}"), Vec::new()).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { problem, .. }) if problem.status == StatusCode::NOT_FOUND.as_u16() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads an archive; one that the node has is the same.
    pub async fn give_archive(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), ClientError> {
        self.send(Method::PUT, &format!("/v1/archives/{sha256}"), bytes).await.map(|_| ())
    }

    /// The live deployments.
    pub async fn deployments(&self) -> Result<Vec<DeploymentStatus>, ClientError> {
        self.json(Method::GET, "/v1/deployments", Vec::new()).await
    }

    /// All revisions of a deployment, newest first.
    pub async fn revisions(&self, name: &str) -> Result<Vec<RevisionStatus>, ClientError> {
        self.json(Method::GET, &format!("/v1/deployments/{}", Self::segment(name)), Vec::new()).await
    }

    /// Changes a deployment; the stream ends with `ready` or `failed`.
    async fn change(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        repeat: Repeat,
    ) -> Result<impl Stream<Item = Result<DeployEvent, ClientError>> + use<>, ClientError> {
        let response = self.stream(method, path, body, Some(repeat)).await?;
        Ok(events::parse(self.clone(), response))
    }

    /// Starts a run.
    pub async fn run(&self, request: &RunRequest) -> Result<RunView, ClientError> {
        self.json(Method::POST, "/v1/runs", self.encode(request)?).await
    }

    /// One run.
    pub async fn run_view(&self, id: &str) -> Result<RunView, ClientError> {
        self.json(Method::GET, &format!("/v1/runs/{}", Self::segment(id)), Vec::new()).await
    }

    /// The id of the run that `given` is, or is the beginning of. What is neither stays as it is, for the node to judge.
    pub async fn find_run(&self, given: &str) -> Result<String, ClientError> {
        if given.len() >= RUN_ID {
            return Ok(given.to_owned());
        }
        let runs = self.runs(true, SEARCHED_RUNS).await?;
        let mut ids: Vec<String> = runs.into_iter().map(|run| run.id).filter(|id| id.starts_with(given)).collect();
        match ids.len() {
            0 => Ok(given.to_owned()),
            1 => Ok(ids.remove(0)),
            _ => Err(ClientError::AmbiguousRun { given: given.to_owned(), ids }),
        }
    }

    /// The user's runs, newest first; with `all` also those that modules called for.
    pub async fn runs(&self, all: bool, limit: u32) -> Result<Vec<RunView>, ClientError> {
        self.json(Method::GET, &format!("/v1/runs?all={all}&limit={limit}"), Vec::new()).await
    }

    /// A run and all that it called for, oldest first.
    pub async fn tree(&self, root: &str) -> Result<Vec<RunView>, ClientError> {
        self.json(Method::GET, &format!("/v1/runs?root={}", Self::segment(root)), Vec::new()).await
    }

    /// A run's events after a number: those that are there, or with `follow` until its end. A connection that breaks is
    /// taken up again where it was.
    pub async fn events(
        &self,
        id: &str,
        after: u64,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<RunEvent, ClientError>> + use<>, ClientError> {
        let response = self.events_after(id, after, follow).await?;
        Ok(events::resuming(self.clone(), id.to_owned(), after, follow, response))
    }

    async fn events_after(&self, id: &str, after: u64, follow: bool) -> Result<Response, ClientError> {
        let path = format!("/v1/runs/{}/events?after={after}&follow={follow}", Self::segment(id));
        self.stream(Method::GET, &path, Vec::new(), None).await
    }

    /// Asks a run to end.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/v1/runs/{}/cancel", Self::segment(id));
        self.send_as(Method::POST, &path, Vec::new(), Some(Repeat::Harmless)).await
    }

    fn segment(text: &str) -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }
}
