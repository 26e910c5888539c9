//! The calls.

mod transport;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION},
};
use semver::Version;
use serde_json::Value;
use tokio_util::io::ReaderStream;
use url::Url;

use self::transport::is_json;

use crate::{
    INDEX_FORMAT,
    error::{ClientError, shown},
    retry::Policy,
    transfer,
    types::{
        Challenge, IndexConfig, IndexEntry, Me, ModuleDetails, ModuleSummary, NewToken, NodeAnnounced,
        NodeAnnouncement, NodeList, NodeRecord, Page, PasswordAccount, PasswordRequest, PublishStatus, Published,
        SignUp, SignedUp, TokenInfo, TokenRequest, YankRequest,
    },
};

/// How often a download may be sent elsewhere.
const MAX_REDIRECTS: usize = 5;

/// The text whose signature proves a key to a registry. `host` is the registry's host, with its port unless that is the
/// scheme's own, as the *client* dials it: an answer that was made for one registry is worth nothing at another.
pub fn account_challenge_text(host: &str, challenge: &str) -> String {
    format!("napt-account-challenge-1\n{host}\n{challenge}")
}

/// The text whose signature says that a node, under this name and at this URL, is its owner's. It holds everywhere: who
/// asks a directory need not believe it.
pub fn node_owner_text(id: &str, name: &str, url: &str) -> String {
    format!("napt-node-1\n{id}\n{name}\n{url}")
}

/// What the index says of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexAnswer {
    /// The same as under the given ETag.
    NotModified,
    /// There is no such module.
    Missing,
    /// Its versions, in the order in which they were published.
    Found {
        /// One entry a version.
        entries: Vec<IndexEntry>,
        /// What the entries were read from, for [`RegistryClient::read_index`] to read again.
        body: Vec<u8>,
        /// To ask again with.
        etag: Option<String>,
    },
}

/// A registry, seen from outside.
#[derive(Clone)]
pub struct RegistryClient {
    base: Url,
    http: reqwest::Client,
    token: Option<String>,
    policy: Policy,
    watch: Watch,
    on_wait: OnWait,
}

/// Who is told how many bytes of an archive have moved, from its start, and how many there are, if that is known.
pub(crate) type Watch = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// Who is told that a call is made again: why, and how long the client waits first.
type OnWait = Arc<dyn Fn(&ClientError, Duration) + Send + Sync>;

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("RegistryClient").field("base", &shown(&self.base)).field("token", &token).finish()
    }
}

impl RegistryClient {
    /// The registry at `url`. `http` must follow no redirects by itself.
    pub fn new(mut url: Url, http: reqwest::Client, token: Option<String>) -> Self {
        url.set_query(None);
        url.set_fragment(None);
        let (watch, on_wait): (Watch, OnWait) = (Arc::new(|_, _| ()), Arc::new(|_, _| ()));
        RegistryClient { base: url, http, token, policy: Policy::default(), watch, on_wait }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The same, telling `watch` how many bytes of an archive have moved, and of how many if that is known. Another try
    /// begins at 0 again.
    #[must_use]
    pub fn watched(mut self, watch: impl Fn(u64, Option<u64>) + Send + Sync + 'static) -> Self {
        self.watch = Arc::new(watch);
        self
    }

    /// The same, telling `tell` when it waits before it calls again.
    #[must_use]
    pub fn on_wait(mut self, tell: impl Fn(&ClientError, Duration) + Send + Sync + 'static) -> Self {
        self.on_wait = Arc::new(tell);
        self
    }

    /// The registry's host as it goes into [`account_challenge_text`].
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// `GET /index/config.json`: whether this is a registry at all.
    pub async fn config(&self) -> Result<IndexConfig, ClientError> {
        let url = self.url(&["index", "config.json"]);
        self.get(url, "the index's configuration").await
    }

    /// All versions of a module; `None` when there is no such module.
    pub async fn index(&self, module_type: &str, name: &str) -> Result<Option<Vec<IndexEntry>>, ClientError> {
        Ok(match self.index_if_changed(module_type, name, None).await? {
            IndexAnswer::Found { entries, .. } => Some(entries),
            IndexAnswer::Missing | IndexAnswer::NotModified => None,
        })
    }

    /// The same, for a caller that keeps what it got last time.
    pub async fn index_if_changed(
        &self,
        module_type: &str,
        name: &str,
        etag: Option<&str>,
    ) -> Result<IndexAnswer, ClientError> {
        self.retrying(true, || self.index_once(module_type, name, etag)).await
    }

    async fn index_once(&self, module_type: &str, name: &str, etag: Option<&str>) -> Result<IndexAnswer, ClientError> {
        let url = self.url(&["index", module_type, name]);
        let mut request = self.request(Method::GET, url.clone());
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let what = format!("the index of `{module_type}:{name}`");
        let call = async {
            let mut response = request.send().await.map_err(|error| ClientError::of_transport(&self.base, error))?;
            match response.status() {
                StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(IndexAnswer::NotModified),
                // A proxy's 404 is not the registry's: only problem JSON says that there is no such module.
                StatusCode::NOT_FOUND if is_json(&response) => return Ok(IndexAnswer::Missing),
                StatusCode::OK => {}
                _ => return Err(self.refusal(response, &what).await),
            }
            self.is_plain(&response, &what)?;
            let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = transfer::answer(&mut response, &self.base, &what, &self.policy).await?;
            let entries = self.read_index(module_type, name, &body)?;
            Ok(IndexAnswer::Found { entries, body, etag })
        };
        self.in_time(call).await
    }

    /// Reads the index of a module as it was answered. No call is made.
    pub fn read_index(&self, module_type: &str, name: &str, body: &[u8]) -> Result<Vec<IndexEntry>, ClientError> {
        let what = format!("the index of `{module_type}:{name}`");
        let entries = self.index_lines(body, &what)?;
        if entries.iter().any(|entry| !is_digest(&entry.sha256)) {
            return Err(self.garbage(format!("{what} has a sha256 that is not 64 hex digits")));
        }
        if entries.iter().any(|entry| entry.module_type != module_type || entry.name != name) {
            return Err(self.garbage(format!("{what} is about another module")));
        }
        Ok(entries)
    }

    fn index_lines(&self, body: &[u8], what: &str) -> Result<Vec<IndexEntry>, ClientError> {
        let text = std::str::from_utf8(body).map_err(|_| self.garbage(format!("{what} is not UTF-8")))?;
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |error: serde_json::Error| self.garbage(format!("line {} of {what}: {error}", number + 1));
            let value: Value = serde_json::from_str(line).map_err(bad)?;
            // Lines of a later format are for later clients.
            if value.get("format").and_then(Value::as_u64).is_some_and(|format| format > u64::from(INDEX_FORMAT)) {
                continue;
            }
            entries.push(serde_json::from_value(value).map_err(bad)?);
        }
        Ok(entries)
    }

    /// Downloads an archive to `into`: through a temporary file beside it, checked against `sha256`.
    pub async fn download(
        &self,
        module_type: &str,
        name: &str,
        version: &Version,
        sha256: &str,
        into: &Path,
    ) -> Result<(), ClientError> {
        let url = self.url(&["api", "v1", "modules", module_type, name, &version.to_string(), "download"]);
        let what = format!("{module_type}:{name}@{version}");
        let once = || async {
            let response = self.in_time(self.follow(url.clone(), &what)).await?;
            transfer::archive(response, &self.base, &what, sha256, into, &self.policy, &self.watch).await
        };
        self.retrying(true, once).await
    }

    /// Follows redirects by hand: the token goes to the registry's own origin only, and https never becomes http.
    async fn follow(&self, mut url: Url, what: &str) -> Result<Response, ClientError> {
        for _ in 0..=MAX_REDIRECTS {
            let request = if url.origin() == self.base.origin() {
                self.request(Method::GET, url.clone())
            } else {
                self.http.get(url.clone())
            };
            let response = request.send().await.map_err(|error| ClientError::of_transport(&self.base, error))?;
            if response.status() == StatusCode::OK {
                self.is_plain(&response, what)?;
                return Ok(response);
            }
            if !response.status().is_redirection() {
                return Err(self.refusal(response, &format!("`{what}`")).await);
            }
            let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok()).filter(|to| matches!(to.scheme(), "http" | "https"));
            let Some(mut to) = to else { return Err(self.garbage("a redirect to nowhere".to_owned())) };
            if url.scheme() == "https" && to.scheme() == "http" {
                return Err(self.garbage("a redirect from https to http".to_owned()));
            }
            // A redirect cannot make us send credentials of its own choice.
            let _ = (to.set_username(""), to.set_password(None));
            url = to;
        }
        Err(self.garbage(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Publishes an archive. After a try whose end is unknown, the index is asked before the archive is sent again.
    pub async fn publish(
        &self,
        module_type: &str,
        name: &str,
        version: &Version,
        archive: &Path,
        sha256: &str,
    ) -> Result<Published, ClientError> {
        let url = self.url(&["api", "v1", "modules", module_type, name, &version.to_string()]);
        let digest = hex::decode(sha256).unwrap_or_default();
        let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(digest));
        let mut done = 0;
        loop {
            let result = self.publish_once(url.clone(), archive, &digest).await;
            done += 1;
            let error = match result {
                Err(error) if error.is_passing() => error,
                result => return result,
            };
            let Some(wait) = self.policy.wait(done, error.retry_after()) else { return Err(error) };
            self.wait(&error, wait).await;
            if let Ok(IndexAnswer::Found { entries, .. }) = self.index_once(module_type, name, None).await
                && entries.iter().any(|entry| entry.version == *version && entry.sha256 == sha256)
            {
                return Ok(Published { status: PublishStatus::AlreadyPublished });
            }
        }
    }

    async fn publish_once(&self, url: Url, archive: &Path, digest: &str) -> Result<Published, ClientError> {
        let file = fs_err::tokio::File::open(archive).await?;
        let size = file.metadata().await?.len();
        let watch = Arc::clone(&self.watch);
        let mut sent = 0;
        let chunks = ReaderStream::new(file.into_parts().0).inspect_ok(move |chunk| {
            sent += chunk.len() as u64;
            watch(sent, Some(size));
        });
        let body = reqwest::Body::wrap_stream(chunks);
        let request = self
            .request(Method::PUT, url)
            .header(CONTENT_TYPE, "application/gzip")
            .header(CONTENT_LENGTH, size)
            .header("Content-Digest", digest)
            .body(body);
        // The sending counts too: at least 16 KiB a second.
        let patience = self.policy.call_timeout + Duration::from_secs(size >> 14);
        match tokio::time::timeout(patience, self.receive(request, "the publish")).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout { url: shown(&self.base) }),
        }
    }

    /// Marks a version as not to be used any more.
    pub async fn yank(
        &self,
        module_type: &str,
        name: &str,
        version: &Version,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let url = self.url(&["api", "v1", "modules", module_type, name, &version.to_string(), "yank"]);
        let body = YankRequest { reason: reason.map(str::to_owned) };
        let _: Value = self.call(true, "the yank", || self.request(Method::PUT, url.clone()).json(&body)).await?;
        Ok(())
    }

    /// Takes a yank back.
    pub async fn unyank(&self, module_type: &str, name: &str, version: &Version) -> Result<(), ClientError> {
        let url = self.url(&["api", "v1", "modules", module_type, name, &version.to_string(), "yank"]);
        let _: Value = self.call(true, "the unyank", || self.request(Method::DELETE, url.clone())).await?;
        Ok(())
    }

    /// Modules whose name, description or keywords hold all words of `query`.
    pub async fn search(
        &self,
        query: &str,
        module_type: Option<&str>,
        page: u32,
    ) -> Result<Page<ModuleSummary>, ClientError> {
        let mut url = self.url(&["api", "v1", "modules"]);
        url.query_pairs_mut().append_pair("q", query).append_pair("page", &page.to_string());
        if let Some(module_type) = module_type {
            url.query_pairs_mut().append_pair("type", module_type);
        }
        self.get(url, "the search").await
    }

    /// One module; `None` when there is no such module.
    pub async fn module(&self, module_type: &str, name: &str) -> Result<Option<ModuleDetails>, ClientError> {
        let url = self.url(&["api", "v1", "modules", module_type, name]);
        match self.get(url, "the module").await {
            Ok(details) => Ok(Some(details)),
            Err(ClientError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a text to sign.
    pub async fn challenge(&self) -> Result<Challenge, ClientError> {
        let url = self.url(&["api", "v1", "accounts", "challenge"]);
        self.call(true, "the challenge", || self.request(Method::POST, url.clone())).await
    }

    /// Signs up, or logs in.
    pub async fn sign_up(&self, proof: &SignUp) -> Result<SignedUp, ClientError> {
        let url = self.url(&["api", "v1", "accounts"]);
        // A challenge works once, so a lost answer needs a new one: that is the caller's to get.
        self.call(false, "the account", || self.request(Method::POST, url.clone()).json(proof)).await
    }

    /// Sets the name and password by which Naptha's clients sign in to the account.
    pub async fn set_password(&self, wanted: &PasswordRequest) -> Result<PasswordAccount, ClientError> {
        let url = self.url(&["api", "v1", "accounts", "password"]);
        self.call(true, "the account", || self.request(Method::PUT, url.clone()).json(wanted)).await
    }

    /// Whose token the client has, and what it may do.
    pub async fn me(&self) -> Result<Me, ClientError> {
        let url = self.url(&["api", "v1", "me"]);
        self.get(url, "the account").await
    }

    /// Makes a token with fewer rights.
    pub async fn create_token(&self, wanted: &TokenRequest) -> Result<NewToken, ClientError> {
        let url = self.url(&["api", "v1", "tokens"]);
        self.call(false, "the token", || self.request(Method::POST, url.clone()).json(wanted)).await
    }

    /// The account's tokens.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ClientError> {
        let url = self.url(&["api", "v1", "tokens"]);
        self.get(url, "the tokens").await
    }

    /// Ends a token; `current` is the client's own.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        let url = self.url(&["api", "v1", "tokens", id]);
        let _: Value = self.call(true, "the token", || self.request(Method::DELETE, url.clone())).await?;
        Ok(())
    }

    /// The directory of nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeRecord>, ClientError> {
        let url = self.url(&["api", "v1", "nodes"]);
        self.get::<NodeList>(url, "the directory of nodes").await.map(|list| list.nodes)
    }

    /// Puts a node into the directory, or keeps it there. `sign` makes the `Authorization` header of a request from its
    /// method, host, target and body.
    pub async fn announce_node(
        &self,
        node: &NodeAnnouncement,
        sign: impl Fn(&str, &str, &str, &[u8]) -> String,
    ) -> Result<NodeAnnounced, ClientError> {
        let body = serde_json::to_vec(node).map_err(|error| self.garbage(error.to_string()))?;
        let request = || self.signed_by_node(Method::PUT, &node.id, body.clone(), &sign);
        self.call(true, "the announcement", request).await
    }

    /// Takes a node out of the directory.
    pub async fn remove_node(
        &self,
        id: &str,
        sign: impl Fn(&str, &str, &str, &[u8]) -> String,
    ) -> Result<(), ClientError> {
        let request = || self.signed_by_node(Method::DELETE, id, Vec::new(), &sign);
        self.call::<Value>(true, "the removal", request).await.map(|_| ())
    }

    /// Signed anew for each try: a signature is good once.
    fn signed_by_node(
        &self,
        method: Method,
        id: &str,
        body: Vec<u8>,
        sign: &impl Fn(&str, &str, &str, &[u8]) -> String,
    ) -> RequestBuilder {
        let url = self.url(&["api", "v1", "nodes", id]);
        let header = sign(method.as_str(), &self.host(), url.path(), &body);
        let request = self.http.request(method, url).header(AUTHORIZATION, header);
        request.header(CONTENT_TYPE, "application/json").body(body)
    }
}

/// Callers make file names and paths of it.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_can_be_spawned() {
        fn is_send<T: Send>(_: T) {}
        let client = RegistryClient::new("http://h/r".parse().expect("a URL"), reqwest::Client::new(), None);
        let version = Version::new(1, 0, 0);
        is_send(client.index("agent", "x"));
        is_send(client.download("agent", "x", &version, "", Path::new("x")));
        is_send(client.publish("agent", "x", &version, Path::new("x"), ""));
        is_send(client.search("x", None, 1));
    }

    #[test]
    fn urls_keep_the_registrys_path_and_escape_names() {
        let client = RegistryClient::new("https://h:1/r/?q#f".parse().expect("a URL"), reqwest::Client::new(), None);
        assert_eq!(client.url(&["index", "agent", "../x"]).as_str(), "https://h:1/r/index/agent/..%2Fx");
        assert_eq!(client.host(), "h:1");
    }

    #[test]
    fn the_token_is_not_shown() {
        let url = "https://user:word@h".parse().expect("a URL");
        let shown = format!("{:?}", RegistryClient::new(url, reqwest::Client::new(), Some("secret".to_owned())));
        assert!(!shown.contains("secret") && !shown.contains("word"), "{shown}");
    }
}
