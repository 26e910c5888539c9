//! Nodes as commands start them.

use super::arguments::ProviderFlag;
use crate::{
    context::Context,
    identity::Secret,
    node::{self, Provider},
    report::{Failure, Kind, Reporter},
    shell::Shell,
};

/// A node as the surroundings suggest it: the user is its operator.
pub(super) fn options(context: &Context) -> Result<node::Options, Failure> {
    let operator = context.credentials().key_or_create()?;
    Ok(node::Options {
        listen: ([127, 0, 0, 1], 7001).into(),
        data: context.dirs.data.join("node"),
        environments: context.dirs.cache.join("environments"),
        crates: context.dirs.cache.join("cargo"),
        registry: context.registry(None)?.value,
        sources: vec!["https://".to_owned()],
        users: vec![operator.public().user_id()],
        open: false,
        peers: Vec::new(),
        peer_owners: Vec::new(),
        listing: None,
        providers: providers(context, &[], None)?,
        egress: vec![node::EgressRule::Any],
        proxies: proxies(context),
        allow_shared: false,
        max_runs: 64,
        max_processes: node::PROCESSES_PER_CORE * std::thread::available_parallelism().map_or(1, usize::from),
        keep_warm: node::KEEP_WARM,
        max_warm: node::MAX_WARM,
        quota: node::QUOTA,
        caps: node::Caps::default(),
        create_within: node::CREATE_WITHIN,
        http: context.http(),
        policy: context.policy()?,
        installer: context.env.installer.clone(),
        rustup: context.env.rustup.clone(),
        path: context.env.path.clone().unwrap_or_default(),
        // The program that runs, also when its file has been replaced since.
        launcher: "/proc/self/exe".into(),
        require_sandbox: false,
    })
}

/// Says once what modules are shut in with, and what is missing.
pub(super) fn tell_sandbox(shell: &Shell, sandbox: &node::Confinement) {
    let node::Confinement { mechanisms: sandbox, control_groups } = sandbox;
    if let (true, Some(version)) = (sandbox.is_complete(), control_groups) {
        shell.detail(&format!(
            "modules are shut in: by namespaces, Landlock, a filter of system calls and control groups ({version})"
        ));
    }
    for missing in &sandbox.missing {
        shell.warn(missing);
    }
    if !sandbox.namespaces {
        shell.warn("modules run as this user, with all that it may do: run only those that you trust");
    }
}

/// The proxies that the node's own connections for modules go through.
fn proxies(context: &Context) -> node::Proxies {
    let env = &context.env;
    let proxy = env.proxy("HTTPS_PROXY").or_else(|| env.proxy("ALL_PROXY"));
    node::Proxies::new(proxy, env.proxy("NO_PROXY").unwrap_or_default())
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
