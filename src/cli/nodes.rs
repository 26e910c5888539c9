use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    client::NodeClient,
    context::Context,
    identity::Token,
    report::{Failure, Kind},
    shell::Output,
};

/// Letters of an owner's id that are shown: `user:` and eight digits.
const OWNER: usize = 13;

/// List the nodes in a registry's directory
///
/// A node is there while it runs with `napt node --name`. Deployments name it so, or by its id, URL or address.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt nodes
  napt nodes --registry https://registry.example --message-format json")]
pub(super) struct Args {
    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let registry = context.registry(self.registry.as_deref())?.value;
        context.require_network(&registry)?;
        let client = context.registry_client(self.registry.as_deref())?;
        let nodes = context.interruptible(async { Ok::<_, Failure>(client.nodes().await?) })?;
        let address = crate::registries::address(&registry);
        if nodes.is_empty() {
            context.shell.note(&format!("No nodes are in the directory of the registry at {address}"));
        }
        let width = |of: fn(&napt_registry_client::NodeAnnouncement) -> &str| {
            nodes.iter().map(|record| of(&record.node).chars().count()).max().unwrap_or_default()
        };
        let (names, urls) = (width(|node| &node.name), width(|node| &node.url));
        let lines = nodes.iter().map(|record| {
            let node = &record.node;
            let owner = node.owner.get(..OWNER).unwrap_or(&node.owner);
            let models = node.models.join(", ");
            let line =
                format!("{:<names$}  {:<urls$}  {owner}…  {} {}  {models}", node.name, node.url, node.os, node.arch);
            line.trim_end().to_owned()
        });
        let human = lines.collect::<Vec<_>>().join("\n");
        Ok(Output::new(human, json!({ "registry": address, "nodes": nodes })))
    }
}

/// A client of the node, with the user's key.
pub(super) fn client(context: &Context, flag: Option<&str>) -> Result<NodeClient, Failure> {
    let url = context.node(flag)?.value;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && url.username().parse::<Token>().is_err() {
        return Err(Failure::new(Kind::Usage, format!("the user in the node's URL `{url}` is not a token"))
            .hinted("a token is `napt_` and 48 hex digits; leave it out to sign with your key"));
    }
    if context.offline && !is_local(&url) {
        return Err(Failure::new(
            Kind::Network,
            format!("the node at `{url}` is not on this machine, and `--offline` is set"),
        )
        .hinted("leave `--offline` out, or name a node on this machine"));
    }
    if url.path() != "/" || url.query().is_some() {
        return Err(Failure::new(Kind::Usage, format!("the node's URL `{url}` has a path"))
            .hinted("a node is reached by host and port alone, for example `http://127.0.0.1:7001`"));
    }
    let client = NodeClient::new(url, context.http(), context.credentials().key_or_create()?);
    Ok(client.with_policy(context.policy()?))
}

/// Whether a server is on this machine, and so no network is between.
fn is_local(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
