//! Nodes as commands start them and find them.

use super::arguments::ProviderFlag;
use crate::{
    client::NodeClient,
    context::Context,
    identity::{Secret, Token},
    node::{self, Provider},
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
        providers: providers(context, &[], None)?,
        max_runs: 64,
        caps: node::Caps::default(),
        http: context.http(),
        policy: context.policy()?,
        installer: context.env.installer.clone(),
        path: context.env.path.clone().unwrap_or_default(),
    })
}

/// The providers of flags, then those of the user's own configuration. `unnamed_key` is for the one without a name.
pub(super) fn providers(
    context: &Context,
    flags: &[ProviderFlag],
    unnamed_key: Option<Secret>,
) -> Result<Vec<Provider>, Failure> {
    let mut of_file = context.providers();
    let key_of = |name: &str| context.env.provider_keys.get(&name.to_uppercase().replace('-', "_")).cloned();
    let mut found: Vec<Provider> = Vec::new();
    for flag in flags {
        let name = flag.name.clone().unwrap_or_else(|| Provider::UNNAMED.to_owned());
        if found.iter().any(|provider| provider.name == name) {
            return Err(Failure::new(Kind::Usage, format!("two providers are called `{name}`"))
                .hinted("give each a name of its own: `--provider NAME=URL`"));
        }
        // A flag says anew where a provider of the file is; the key goes only where the file says.
        let same_place = of_file.remove(&name).filter(|setting| setting.url == flag.url);
        let key = match &flag.name {
            Some(name) => key_of(name).or_else(|| same_place.and_then(|setting| setting.key)),
            None => unnamed_key.clone(),
        };
        found.push(Provider { name, url: flag.url.clone(), models: flag.models.clone(), key });
    }
    for (name, setting) in of_file {
        let key = key_of(&name).or(setting.key);
        found.push(Provider { name, url: setting.url, models: setting.models, key });
    }
    Ok(found)
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
