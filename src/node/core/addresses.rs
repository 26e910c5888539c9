//! Node addresses in deployments. Stored, a node is a target; what a run receives is always the local node's address
//! with the run's credential in it: `RUN.TARGET:SECRET@127.0.0.1`.

use std::{fmt, net::SocketAddr};

use serde_json::Value;
use url::Url;

use super::{inference::ECHO, peers::Peer};
use crate::{
    config::{Deployment, NodeEntry},
    wire::{NodeConfig, NodeServer},
};

/// Which node a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum Target {
    /// This node.
    Local,
    /// A peer, by the first 16 digits of its public key.
    Peer(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Local => f.write_str("local"),
            Target::Peer(short) => f.write_str(short),
        }
    }
}

/// Key of a stored node entry that holds its [`Target`].
const TARGET: &str = "napt_target";

/// Writes addresses.
#[derive(Debug)]
pub(in crate::node) struct Addresses {
    id: String,
    address: SocketAddr,
    /// What the directory calls it, and where it says that it is.
    listed: Option<(String, Url)>,
    /// The models that it serves, as far as it is told their names or patterns.
    models: Vec<String>,
    /// Whether modules reach it on a loopback of their own.
    walled: bool,
}

/// The entry that stands for `target` in a stored deployment.
pub(super) fn stored(target: &Target) -> NodeEntry {
    let extra = [(TARGET.to_owned(), Value::String(target.to_string()))].into_iter().collect();
    NodeEntry { extra, ..NodeEntry::default() }
}

/// The target of a stored entry, or of one that went through a module: the part of `RUN.TARGET:SECRET@host` between
/// the dot and the colon.
pub(super) fn target_text(entry: &NodeEntry) -> Option<&str> {
    if let Some(Value::String(text)) = entry.extra.get(TARGET) {
        return Some(text);
    }
    let (credential, _) = entry.ip.as_deref()?.rsplit_once('@')?;
    Some(credential.split_once('.')?.1.split_once(':')?.0)
}

/// Whether an entry says nothing about which node it means.
pub(super) fn names_nothing(entry: &NodeEntry) -> bool {
    entry.ip.is_none() && entry.name.is_none() && target_text(entry).is_none() && !entry.extra.contains_key("id")
}

/// A stored deployment as people write it: `localhost` is the node that is asked, and `name` says what they call another.
pub(super) fn for_people(deployment: &mut Deployment, name: &dyn Fn(&str) -> String) {
    deployment.for_each_node(&mut |node| {
        let target = node.as_ref().and_then(target_text).map(str::to_owned);
        match target.as_deref() {
            None => {}
            Some("local") => *node = Some(NodeEntry { ip: Some("localhost".to_owned()), ..NodeEntry::default() }),
            Some(short) => *node = Some(NodeEntry { name: Some(name(short)), ..NodeEntry::default() }),
        }
    });
}

impl Addresses {
    pub(super) fn new(
        id: String,
        address: SocketAddr,
        listed: Option<(String, Url)>,
        models: Vec<String>,
        walled: bool,
    ) -> Self {
        Addresses { id, address, listed, models, walled }
    }

    /// Whether this is the node's own id or name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.id || self.listed.as_ref().is_some_and(|(own, _)| own == name)
    }

    /// Whether this is the node's own address. `localhost` is the node that resolves it, unless another port is meant.
    pub(super) fn is_at(&self, host: &str, port: Option<u16>) -> bool {
        let is_own = |own: Option<u16>| port.is_none() || port == own;
        let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]");
        let is_listed = |(_, url): &(String, Url)| {
            url.host_str() == Some(host) && (port.is_some() && port == url.port_or_known_default())
        };
        ((is_local || host == self.address.ip().to_string()) && is_own(Some(self.port())))
            || self.listed.as_ref().is_some_and(is_listed)
    }

    /// The port that the node listens on.
    pub(in crate::node) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where its modules reach the node.
    pub(super) fn module_host(&self) -> String {
        if self.walled { "127.0.0.1".to_owned() } else { self.host() }
    }

    /// Where others on this machine reach the node.
    pub(in crate::node) fn host(&self) -> String {
        match self.address.ip() {
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            ip => ip.to_string(),
        }
    }

    fn config(&self, id: &str, ip: String) -> NodeConfig {
        let port = self.address.port();
        NodeConfig {
            id: id.to_owned(),
            owner: String::new(),
            public_key: id.trim_start_matches("node:").to_owned(),
            ip,
            user_communication_protocol: "http".to_owned(),
            node_communication_protocol: "ws".to_owned(),
            user_communication_port: port,
            num_node_communication_servers: 1,
            server_type: "ws".to_owned(),
            http_port: port,
            num_servers: 1,
            provider_types: ["models", "storage", "modules"].map(str::to_owned).to_vec(),
            servers: vec![NodeServer {
                communication_protocol: "ws".to_owned(),
                server_type: "ws".to_owned(),
                port,
                node_id: id.to_owned(),
            }],
            models: self.models.clone(),
            docker_jobs: false,
            ports: vec![port],
            routing_type: Some("direct".to_owned()),
            routing_url: None,
            num_gpus: None,
            arch: Some(std::env::consts::ARCH.to_owned()),
            os: Some(std::env::consts::OS.to_owned()),
            ram: None,
            vram: None,
        }
    }

    fn entry(config: &NodeConfig) -> Option<NodeEntry> {
        // Both are plain data of text keys; they always convert.
        serde_json::to_value(config).and_then(serde_json::from_value).ok()
    }

    /// A stored deployment for a run: every node becomes this one, with the run's credential.
    pub(super) fn for_run(&self, deployment: &mut Deployment, run: &str, secret: &str) {
        deployment.for_each_node(&mut |node| {
            let target = node.as_ref().and_then(target_text).unwrap_or("local").to_owned();
            let id = if target == "local" { self.id.clone() } else { format!("node:{target}") };
            *node = Self::entry(&self.config(&id, format!("{run}.{target}:{secret}@{}", self.module_host())));
        });
        deployment.name_storage_twice();
    }

    /// A stored deployment for somebody outside: no credentials, and every node by the address where it is reached.
    pub(in crate::node) fn for_client(&self, deployment: &mut Deployment, peer: &dyn Fn(&str) -> Option<Peer>) {
        deployment.for_each_node(&mut |node| {
            let target = node.as_ref().and_then(target_text).unwrap_or("local").to_owned();
            let config = match (target.as_str(), peer(&target)) {
                ("local", _) => {
                    let own = self.config(&self.id, self.host());
                    self.listed.iter().fold(own, |config, (_, url)| at(config, url))
                }
                (_, Some(peer)) => {
                    // Its models are its own to tell.
                    let models = vec![ECHO.to_owned()];
                    at(NodeConfig { models, ..self.config(&peer.id, String::new()) }, &peer.url)
                }
                // One that has not answered since this node started: calls for it come here.
                (short, None) => self.config(&format!("node:{short}"), self.host()),
            };
            *node = Self::entry(&config);
        });
        deployment.name_storage_twice();
    }
}

/// The same node, reached at a URL. Its servers are said to speak `ws` also when that is `https`: Naptha's clients refuse
/// what is neither `ws` nor `grpc`.
fn at(mut config: NodeConfig, url: &Url) -> NodeConfig {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return config };
    config.ip = host.to_owned();
    config.user_communication_protocol = url.scheme().to_owned();
    config.user_communication_port = port;
    config.http_port = port;
    config.ports = vec![port];
    for server in &mut config.servers {
        server.port = port;
    }
    config
}
