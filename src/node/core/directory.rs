//! The registry's directory of nodes: this node's own record in it, and the records of others.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use napt_registry_client::{ClientError, NodeAnnouncement, NodeRecord, RegistryClient, node_owner_text};
use tokio::task::JoinHandle;
use url::Url;

use super::{Core, NodeError, peers::Peer};
use crate::identity::{PublicKey, RequestSignature, SecretKey, body_digest};

/// How often a node says that it is there: three times in the life of a record.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long the end of a node may wait for the registry.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// How long what was read is believed.
const FRESH: Duration = Duration::from_secs(60);

/// How often it is read at the most: a name that is not there may be asked for again and again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the registry may take: calls wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a node is to be found in its registry's directory.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What deployments call it.
    pub name: String,
    /// Where others reach it; where it listens when absent.
    pub url: Option<Url>,
    /// Whose it is. The key signs that once, and is not kept.
    pub owner: SecretKey,
}

impl Listing {
    /// What a node with this key says of itself.
    pub(in crate::node) fn announcement(&self, node: &SecretKey, url: &Url, models: Vec<String>) -> NodeAnnouncement {
        let (id, url) = (node.public().node_id(), url.as_str().trim_end_matches('/').to_owned());
        NodeAnnouncement {
            owner_signature: self.owner.sign(node_owner_text(&id, &self.name, &url).as_bytes()),
            owner: self.owner.public().user_id(),
            name: self.name.clone(),
            id,
            url,
            models,
            provider_types: ["models", "storage", "modules"].map(str::to_owned).to_vec(),
            arch: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The node's own record, kept alive.
#[derive(Debug)]
pub(in crate::node) struct Announcer {
    registry: RegistryClient,
    key: SecretKey,
    id: String,
    heart: JoinHandle<()>,
}

/// The `Authorization` header of a call that this key signs.
fn sign(key: &SecretKey, method: &str, host: &str, target: &str, body: &[u8]) -> String {
    let now = Timestamp::now().as_second();
    RequestSignature::sign(key, method, host, target, &body_digest(body), now).to_string()
}

impl Announcer {
    /// Puts the node into the directory and keeps it there. Fails where the registry refuses it; one that cannot be
    /// reached now is tried again.
    pub(in crate::node) async fn start(core: &Arc<Core>, node: NodeAnnouncement) -> Result<Self, NodeError> {
        let (registry, key) = (core.installs.registry().clone(), core.key.clone());
        let id = node.id.clone();
        match announce(&registry, &key, &node).await {
            Ok(()) => {}
            Err(ClientError::Status { problem, .. }) => {
                return Err(NodeError::NotListed { name: node.name, problem });
            }
            Err(error) => tracing::warn!(%error, "the node is not in the directory yet"),
        }
        let (with, by) = (registry.clone(), key.clone());
        let heart = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if let Err(error) = announce(&with, &by, &node).await {
                    tracing::warn!(%error, "the node could not tell the directory that it is there");
                }
            }
        });
        Ok(Announcer { registry, key, id, heart })
    }

    /// Takes the node out of the directory.
    pub(in crate::node) async fn withdraw(self) {
        self.heart.abort();
        let removal = self
            .registry
            .remove_node(&self.id, |method, host, target, body| sign(&self.key, method, host, target, body));
        // The record expires by itself when the registry cannot be told.
        let _ = tokio::time::timeout(WITHDRAWAL, removal).await;
    }
}

async fn announce(registry: &RegistryClient, key: &SecretKey, node: &NodeAnnouncement) -> Result<(), ClientError> {
    let sign = |method: &str, host: &str, target: &str, body: &[u8]| sign(key, method, host, target, body);
    registry.announce_node(node, sign).await.map(|_| ())
}

/// The nodes of the directory whose owners the operator trusts.
#[derive(Debug)]
pub(super) struct Directory {
    registry: RegistryClient,
    owners: Vec<String>,
    own_id: String,
    /// One reader at a time; when it was read.
    read: tokio::sync::Mutex<Option<Instant>>,
    peers: Mutex<Vec<Peer>>,
}

impl Directory {
    pub(super) fn new(registry: RegistryClient, owners: Vec<String>, own_id: String) -> Self {
        Directory { registry, owners, own_id, read: tokio::sync::Mutex::default(), peers: Mutex::default() }
    }

    /// Those that were found last.
    pub(super) fn known(&self) -> Vec<Peer> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the directory again where that is due: what is known may be out of date, or with `wanted` something is
    /// missing in it.
    pub(super) async fn refresh(&self, wanted: bool) {
        if self.owners.is_empty() {
            return;
        }
        // Who knows enough does not wait for somebody else who reads.
        let mut read = match self.read.try_lock() {
            Ok(read) => read,
            Err(_) if wanted => self.read.lock().await,
            Err(_) => return,
        };
        if read.is_some_and(|at| at.elapsed() < if wanted { PAUSE } else { FRESH }) {
            return;
        }
        *read = Some(Instant::now());
        let answer = tokio::time::timeout(PATIENCE, self.registry.nodes()).await;
        let Ok(answer) = answer else {
            tracing::warn!("the directory of nodes could not be read in time");
            return;
        };
        match answer {
            Ok(records) => {
                let peers = records.into_iter().filter_map(|record| self.trusted(record)).collect();
                *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = peers;
            }
            // Those that are known stay so: a registry that is down must not part nodes.
            Err(error) => tracing::warn!(%error, "the directory of nodes could not be read"),
        }
    }

    /// A record as a peer, if its owner is trusted and really says so: the registry's word is not enough.
    fn trusted(&self, NodeRecord { node, .. }: NodeRecord) -> Option<Peer> {
        if node.id == self.own_id || !self.owners.contains(&node.owner) || !node.id.starts_with("node:") {
            return None;
        }
        PublicKey::from_id(&node.id).ok()?;
        let owner = PublicKey::from_id(&node.owner).ok()?;
        let text = node_owner_text(&node.id, &node.name, &node.url);
        owner.verify(text.as_bytes(), &node.owner_signature).ok()?;
        let url =
            Url::parse(&node.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
        Some(Peer { id: node.id, name: Some(node.name), url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_trusted_owner_signed_is_a_peer() {
        let (owner, stranger, node) = (SecretKey::generate(), SecretKey::generate(), SecretKey::generate());
        let url = Url::parse("http://one.example:7001").expect("a URL");
        let client = RegistryClient::new(url.clone(), reqwest::Client::new(), None);
        let directory = Directory::new(client, vec![owner.public().user_id()], "node:self".to_owned());
        let record = |by: &SecretKey, change: &dyn Fn(&mut NodeAnnouncement)| {
            let listing = Listing { name: "one.example".to_owned(), url: None, owner: by.clone() };
            let mut node = listing.announcement(&node, &url, Vec::new());
            change(&mut node);
            NodeRecord { node, seen: Timestamp::UNIX_EPOCH }
        };
        let good = directory.trusted(record(&owner, &|_| ())).expect("a peer");
        assert_eq!((good.id, good.name.as_deref()), (node.public().node_id(), Some("one.example")));
        assert_eq!(directory.trusted(record(&stranger, &|_| ())), None, "another owner");
        let claimed = owner.public().user_id();
        for (what, change) in [
            (
                "claimed",
                Box::new(move |node: &mut NodeAnnouncement| node.owner.clone_from(&claimed)) as Box<dyn Fn(&mut _)>,
            ),
            ("moved", Box::new(|node: &mut NodeAnnouncement| node.url = "http://evil.example".to_owned())),
            ("renamed", Box::new(|node: &mut NodeAnnouncement| node.name = "two.example".to_owned())),
            ("replaced", Box::new(|node: &mut NodeAnnouncement| node.id = SecretKey::generate().public().node_id())),
        ] {
            let by = if what == "claimed" { &stranger } else { &owner };
            assert_eq!(directory.trusted(record(by, &*change)), None, "{what}");
        }
    }
}
