//! A client of a node: deploy, run, follow, cancel. Every request is signed with the user's key, or carries the token
//! in the node's URL.

mod deploy;
mod error;
mod events;

pub use deploy::{DeployOptions, Deployed, What, deploy, rollback, undeploy};
pub use error::ClientError;
use futures_util::Stream;
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    identity::{RequestSignature, SecretKey, Token, body_digest},
    wire::{
        DeployEvent, DeploymentStatus, NewToken, NodeInfo, RevisionStatus, RunEvent, RunRequest, RunView, TokenView,
    },
};

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
        NodeClient { url, http, credential }
    }

    /// The node's URL, without credentials.
    pub fn url(&self) -> &Url {
        &self.url
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<RequestBuilder, ClientError> {
        let url = self.url.join(path).map_err(|error| self.garbage(error.to_string()))?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let request = self.http.request(method.clone(), url);
        let request = match &self.credential {
            Credential::Token(token) => request.bearer_auth(token.reveal()),
            Credential::Key(key) => {
                let now = Timestamp::now().as_second();
                let signature = RequestSignature::sign(key, method.as_str(), &host, &target, &body_digest(&body), now);
                request.header(header::AUTHORIZATION, signature.to_string())
            }
        };
        Ok(request.header(header::CONTENT_TYPE, "application/json").body(body))
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response, ClientError> {
        let response = self.request(method, path, body)?.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let problem = response.json().await.map_err(|_| self.garbage(format!("{status} without an explanation")))?;
        Err(ClientError::Refused { url: self.url.clone(), problem: Box::new(problem) })
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, ClientError> {
        let response = self.send(method, path, body).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.garbage(error.to_string()))
    }

    fn encode(&self, value: &impl Serialize) -> Result<Vec<u8>, ClientError> {
        serde_json::to_vec(value).map_err(|error| self.garbage(error.to_string()))
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable { url: self.url.clone(), error: error.without_url() }
    }

    fn garbage(&self, what: String) -> ClientError {
        ClientError::Garbage { url: self.url.clone(), what }
    }

    /// Who the node is.
    pub async fn node(&self) -> Result<NodeInfo, ClientError> {
        self.json(Method::GET, "/v1/node", Vec::new()).await
    }

    /// Makes a token for clients that cannot sign.
    pub async fn new_token(&self, token: &NewToken) -> Result<TokenView, ClientError> {
        self.json(Method::POST, "/v1/tokens", self.encode(token)?).await
    }

    /// Whether the node has an archive.
    pub async fn has_archive(&self, sha256: &str) -> Result<bool, ClientError> {
        match self.send(Method::GET, &format!("/v1/archives/{sha256}"), Vec::new()).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { problem, .. }) if problem.status == StatusCode::NOT_FOUND.as_u16() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads an archive.
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
    ) -> Result<impl Stream<Item = Result<DeployEvent, ClientError>> + use<>, ClientError> {
        let response = self.send(method, path, body).await?;
        Ok(events::parse(self.url.clone(), response))
    }

    /// Starts a run.
    pub async fn run(&self, request: &RunRequest) -> Result<RunView, ClientError> {
        self.json(Method::POST, "/v1/runs", self.encode(request)?).await
    }

    /// One run.
    pub async fn run_view(&self, id: &str) -> Result<RunView, ClientError> {
        self.json(Method::GET, &format!("/v1/runs/{}", Self::segment(id)), Vec::new()).await
    }

    /// The user's runs, newest first; with `all` also those that modules called for.
    pub async fn runs(&self, all: bool, limit: u32) -> Result<Vec<RunView>, ClientError> {
        self.json(Method::GET, &format!("/v1/runs?all={all}&limit={limit}"), Vec::new()).await
    }

    /// A run and all that it called for, oldest first.
    pub async fn tree(&self, root: &str) -> Result<Vec<RunView>, ClientError> {
        self.json(Method::GET, &format!("/v1/runs?root={}", Self::segment(root)), Vec::new()).await
    }

    /// A run's events after a number: those that are there, or with `follow` until its end.
    pub async fn events(
        &self,
        id: &str,
        after: u64,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<RunEvent, ClientError>> + use<>, ClientError> {
        let path = format!("/v1/runs/{}/events?after={after}&follow={follow}", Self::segment(id));
        let response = self.send(Method::GET, &path, Vec::new()).await?;
        Ok(events::parse(self.url.clone(), response))
    }

    /// Asks a run to end.
    pub async fn cancel(&self, id: &str) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/v1/runs/{}/cancel", Self::segment(id)), Vec::new()).await.map(|_| ())
    }

    fn segment(text: &str) -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }
}
