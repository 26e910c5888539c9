//! Nodes as commands start them and find them.

use crate::{
    client::NodeClient,
    context::Context,
    identity::Token,
    node,
    report::{Failure, Kind},
};

/// A node as the surroundings suggest it: the user is its operator.
pub(super) fn options(context: &Context) -> Result<node::Options, Failure> {
    let operator = context.credentials().key_or_create()?;
    Ok(node::Options {
        listen: ([127, 0, 0, 1], 7001).into(),
        data: context.dirs.data.join("node"),
        environments: context.dirs.cache.join("environments"),
        registry: context.registry(None)?.value,
        users: vec![operator.public().user_id()],
        open: false,
        peers: Vec::new(),
        provider: None,
        max_runs: 64,
        quota: node::QUOTA,
        caps: node::Caps::default(),
        http: context.http(),
        policy: context.policy()?,
        installer: context.env.installer.clone(),
        path: context.env.path.clone().unwrap_or_default(),
    })
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
