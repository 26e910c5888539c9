//! Other nodes: who they are, and what is asked of them. A peer is one that the operator named, whose key is learnt from
//! its own door at that URL; or one that the registry's directory has, of an owner whom the operator named.

use std::sync::{Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Method, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderValue},
};
use url::Url;

use super::{
    NodeError,
    addresses::{Addresses, Target},
    directory::Directory,
};
use crate::{
    config::NodeEntry,
    identity::PublicKey,
    wire::{NodeInfo, Problem, SignedEnvelope},
};

/// Digits of a public key that name a peer in an address.
const SHORT: usize = 16;

/// The header that carries a [`SignedEnvelope`].
pub(in crate::node) const ENVELOPE_HEADER: &str = "napt-envelope";

/// The part of a node's id that names it in an address.
pub(super) fn short(id: &str) -> &str {
    let key = id.trim_start_matches("node:");
    &key[..SHORT.min(key.len())]
}

/// A node that the operator trusts, both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Peer {
    /// `node:` and its public key.
    pub id: String,
    /// What the directory calls it.
    pub name: Option<String>,
    /// Where it is.
    pub url: Url,
}

impl Peer {
    fn short(&self) -> &str {
        short(&self.id)
    }

    /// How calls address it.
    pub(in crate::node) fn target(&self) -> Target {
        Target::Peer(self.short().to_owned())
    }

    /// Whether its URL is of this host, and of this port if there is one.
    fn is_at(&self, host: &str, port: Option<u16>) -> bool {
        let own = self.url.host_str().unwrap_or_default();
        let same = own.eq_ignore_ascii_case(host) || (is_loopback_name(own) && is_loopback_name(host));
        same && port.is_none_or(|port| self.url.port_or_known_default() == Some(port))
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}` at `{}`", self.url),
            None => write!(f, "`{}`", self.url),
        }
    }
}

/// Names of this very machine.
fn is_loopback_name(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

/// The node's peers: those that the operator names, and those of the directory whose owners the operator names.
#[derive(Debug)]
pub(in crate::node) struct Peers {
    urls: Vec<Url>,
    named: Mutex<Vec<Peer>>,
    directory: Directory,
    http: reqwest::Client,
}

impl Peers {
    pub(super) fn new(urls: Vec<Url>, directory: Directory, http: reqwest::Client) -> Self {
        Peers { urls, named: Mutex::default(), directory, http }
    }

    fn named(&self) -> Vec<Peer> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that are known now, each once.
    fn known(&self) -> Vec<Peer> {
        let mut all = self.named();
        for peer in self.directory.known() {
            match all.iter_mut().find(|known| known.id == peer.id) {
                Some(known) => known.name = peer.name,
                None => all.push(peer),
            }
        }
        all
    }

    /// Those that are meant. When none is known, all are asked: some may have been down before, or be new.
    async fn all(&self, is_it: impl Fn(&Peer) -> bool) -> Vec<Peer> {
        self.directory.refresh(false).await;
        let find = || self.known().into_iter().filter(|peer| is_it(peer)).collect::<Vec<_>>();
        let found = find();
        if !found.is_empty() {
            return found;
        }
        self.introduce().await;
        self.directory.refresh(true).await;
        find()
    }

    async fn find(&self, is_it: impl Fn(&Peer) -> bool) -> Option<Peer> {
        self.all(is_it).await.into_iter().next()
    }

    /// Reads the target of an address; `None` for one that is not a peer.
    pub(super) async fn target(&self, text: &str) -> Option<Target> {
        if text == "local" {
            return Some(Target::Local);
        }
        self.find(|peer| peer.short() == text).await.map(|peer| peer.target())
    }

    /// Where a peer is that has answered before.
    pub(super) fn url(&self, short: &str) -> Option<Url> {
        self.answered(short).map(|peer| peer.url)
    }

    /// A peer that has answered before.
    pub(super) fn answered(&self, short: &str) -> Option<Peer> {
        self.known().into_iter().find(|peer| peer.short() == short)
    }

    /// The peer of a target.
    pub(super) async fn peer(&self, short: &str) -> Result<Peer, NodeError> {
        let peer = self.find(|peer| peer.short() == short).await;
        peer.ok_or_else(|| NodeError::missing(format!("node `{short}` is not a peer of this node, or does not answer")))
    }

    /// Asks those peers who they are that have not been asked with success yet.
    async fn introduce(&self) {
        for url in &self.urls {
            if self.named().iter().any(|peer| peer.url == *url) {
                continue;
            }
            let asked = async {
                let response = self.http.get(url.join("v1/node").ok()?).send().await.ok()?;
                response.json::<NodeInfo>().await.ok()
            };
            if let Some(info) = asked.await
                && PublicKey::from_id(&info.id).is_ok()
            {
                let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
                // Somebody else may have asked meanwhile.
                if !named.iter().any(|peer| peer.url == *url) {
                    named.push(Peer { id: info.id, name: None, url: url.clone() });
                }
            }
        }
    }

    /// Whether envelopes of this node are accepted.
    pub(super) async fn trusts(&self, id: &str) -> bool {
        self.find(|peer| peer.id == id).await.is_some()
    }

    /// Which node an entry of a deployment means: by its id, else its name, else its address. `own` are this node's.
    pub(super) async fn locate(&self, entry: &NodeEntry, own: &Addresses) -> Result<Target, NodeError> {
        if let Some(text) = super::addresses::target_text(entry) {
            return self
                .target(text)
                .await
                .ok_or_else(|| NodeError::missing(format!("node `{text}` is not a peer of this node")));
        }
        let id = entry.extra.get("id").and_then(|id| id.as_str()).filter(|id| id.starts_with("node:"));
        let Some(given) = id.or(entry.name.as_deref()).or(entry.ip.as_deref()) else { return Ok(Target::Local) };
        // A client's credential for this node may stand before the address.
        let given = given.rsplit_once('@').map_or(given, |(_, address)| address);
        if own.is_called(given) {
            return Ok(Target::Local);
        }
        // Records tell the first digits of a peer's key.
        let is_named = |peer: &Peer| {
            let id = given.strip_prefix("node:");
            peer.id == given || id == Some(peer.short()) || peer.name.as_deref() == Some(given)
        };
        let (host, port) = match Url::parse(given).ok().filter(Url::has_host) {
            Some(url) => (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default()),
            None => match given.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (given.to_owned(), entry.user_communication_port),
            },
        };
        if own.is_at(&host, port) {
            return Ok(Target::Local);
        }
        let found = self.all(|peer| is_named(peer) || peer.is_at(&host, port)).await;
        // A name is one node's, an address may be several ones'.
        match found.iter().find(|peer| is_named(peer)).map_or(found.as_slice(), std::slice::from_ref) {
            [peer] => Ok(peer.target()),
            [] => Err(NodeError::NotFound {
                what: format!("node `{given}` is not known to this node"),
                hint: Some(format!(
                    "its operator can add it with `napt node --peer URL`, or its owner with `--peer-owner`; the peers \
                     that are there now are {}",
                    list(&self.known())
                )),
            }),
            several => Err(NodeError::NotFound {
                what: format!("several nodes are at `{given}`"),
                hint: Some(format!("name one, or give its port: {}", list(several))),
            }),
        }
    }

    /// Sends a signed call to a peer, whatever it answers.
    pub(super) async fn request(
        &self,
        http: &reqwest::Client,
        peer: &Peer,
        method: Method,
        path: &str,
        envelope: &SignedEnvelope,
        body: Vec<u8>,
    ) -> Result<Response, NodeError> {
        self.call(http, peer, method, path, envelope, |request| request.body(body)).await
    }

    /// The same, for what is in a file.
    pub(super) async fn upload(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        envelope: &SignedEnvelope,
        kind: Option<&HeaderValue>,
        file: tokio::fs::File,
    ) -> Result<Response, NodeError> {
        self.call(&self.http, peer, method, path, envelope, |request| match kind {
            Some(kind) => request.header(CONTENT_TYPE, kind).body(file),
            None => request.body(file),
        })
        .await
    }

    async fn call(
        &self,
        http: &reqwest::Client,
        peer: &Peer,
        method: Method,
        path: &str,
        envelope: &SignedEnvelope,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, NodeError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            NodeError::Upstream(format!("node `{}` does not answer: {error}", peer.url))
        };
        let url = peer.url.join(path).map_err(|error| unreachable(&error))?;
        let header = serde_json::to_vec(envelope).map_err(NodeError::internal("write an envelope"))?;
        let request = http.request(method, url).header(ENVELOPE_HEADER, URL_SAFE_NO_PAD.encode(header));
        fill(request).send().await.map_err(|error| unreachable(&cause(&error)))
    }

    /// The same, for a call that must succeed.
    pub(super) async fn send(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        envelope: &SignedEnvelope,
        body: Vec<u8>,
    ) -> Result<Response, NodeError> {
        let response = self.request(&self.http, peer, method, path, envelope, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let mut problem = response.json::<Problem>().await.unwrap_or_else(|_| Problem {
            problem_type: "about:blank".to_owned(),
            title: String::new(),
            status: status.as_u16(),
            detail: format!("{status} without an explanation"),
            hint: None,
            extra: serde_json::Map::new(),
        });
        if matches!(status.as_u16(), 401 | 403) {
            problem.hint.get_or_insert_with(|| {
                "its operator can admit this node with `napt node --peer URL`, or its owner with `--peer-owner`"
                    .to_owned()
            });
        }
        Err(NodeError::Peer { url: peer.url.clone(), did: "refused a call", problem: problem.into() })
    }
}

/// Peers in words.
fn list(peers: &[Peer]) -> String {
    match peers {
        [] => "none".to_owned(),
        peers => peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The innermost cause, which says what happened (`connection refused`); the outer ones repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The lines of an answer as they come, without the empty ones that only keep it alive.
pub(super) struct Lines {
    response: Response,
    buffer: Vec<u8>,
    limit: u64,
}

impl Lines {
    pub(super) fn new(response: Response, limit: u64) -> Self {
        Lines { response, buffer: Vec::new(), limit }
    }

    /// The next one; `None` at the end, also at an untimely one. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            let Ok(Some(chunk)) = self.response.chunk().await else { return Ok(None) };
            self.buffer.extend_from_slice(&chunk);
            if self.buffer.len() as u64 > self.limit {
                return Err("sent more than an answer may have");
            }
        }
    }
}
