//! A registry and a node within this process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::DevError;
use crate::{
    node::{self, NodeError},
    registry::{self, RegistryError},
};

/// Which servers, and where.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The folder of a registry of their own; without one, the node uses the registry that its options name.
    pub registry: Option<PathBuf>,
    /// The registry's port: by default the usual one, or a free one when that is taken.
    pub registry_port: Option<u16>,
    /// The node.
    pub node: node::Options,
    /// The node's port, likewise.
    pub node_port: Option<u16>,
}

/// Servers that run, on the loopback.
#[derive(Debug)]
pub struct Servers {
    /// The registry, if there is one.
    pub registry: Option<registry::Running>,
    /// The node.
    pub node: node::Running,
}

/// Where registries usually listen.
const REGISTRY_PORT: u16 = 7080;

/// Where nodes usually listen.
const NODE_PORT: u16 = 7001;

/// Starts both.
pub async fn serve(options: ServerOptions) -> Result<Servers, DevError> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut node = options.node;
    let registry = match options.registry {
        None => None,
        Some(folder) => {
            let mut own = registry::Options::new(at(options.registry_port.unwrap_or(REGISTRY_PORT)), folder);
            let running = match registry::serve(own.clone()).await {
                Err(RegistryError::Listen { .. }) if options.registry_port.is_none() => {
                    own.listen = at(0);
                    registry::serve(own).await?
                }
                served => served?,
            };
            node.registry = running.url();
            Some(running)
        }
    };
    node.listen = at(options.node_port.unwrap_or(NODE_PORT));
    let node = match node::serve(node.clone()).await {
        Err(NodeError::Listen { .. }) if options.node_port.is_none() => {
            node.listen = at(0);
            node::serve(node).await?
        }
        served => served?,
    };
    Ok(Servers { registry, node })
}

impl Servers {
    /// Stops both.
    pub async fn stop(self) {
        let registry = async {
            if let Some(registry) = self.registry {
                registry.stop().await;
            }
        };
        tokio::join!(self.node.stop(), registry);
    }
}
