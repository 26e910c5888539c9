use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::{
    context::{Context, Key},
    identity::Secret,
    node::{self, EgressRule, Listing},
    report::{Failure, Reporter, plural},
    shell::Output,
};

/// Run a node: it installs, deploys and runs modules
///
/// It listens on the loopback unless told otherwise, and admits the user who starts it. Ctrl-C or SIGTERM ends it: it
/// accepts no more runs, and lets those that go on end. A second one ends it at once.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt node
  napt node --listen 127.0.0.1:7002 --data ./second --peer http://127.0.0.1:7001
  napt node --name one.example --url http://one.example:7001
  NAPT_PROVIDER_KEY=… napt node --provider https://models.example/v1
  napt node --provider 'local=http://127.0.0.1:8080/v1,models=llama-*'
  napt node --limit memory=2GiB --limit timeout=30m
  napt node fsck")]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7001")]
    listen: SocketAddr,

    /// Where to keep modules, runs and keys [default: `node` in napt's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The registry to install from
    #[arg(long, value_name = "URL")]
    registry: Option<String>,

    /// Where git repositories may be of modules that the registry only points at: how their URLs begin; repeatable
    #[arg(long = "source", value_name = "URL", default_value = "https://")]
    sources: Vec<String>,

    /// Another user to admit: `user:` and a public key; repeatable
    #[arg(long = "user", value_name = "USER", value_parser = super::arguments::user)]
    users: Vec<String>,

    /// Let in clients of this machine that have no credential, as Naptha's do
    #[arg(long)]
    open: bool,

    /// Another node to exchange calls with; it must name this one too; repeatable
    #[arg(long = "peer", value_name = "URL", value_parser = super::arguments::server)]
    peers: Vec<Url>,

    /// A user whose nodes in the registry's directory are peers too, as if named with `--peer`; repeatable
    #[arg(long = "peer-owner", value_name = "USER", value_parser = super::arguments::user)]
    peer_owners: Vec<String>,

    /// Be in the registry's directory of nodes under this name, for others to find
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Where others reach this node, for the directory [default: where it listens]
    #[arg(long, value_name = "URL", value_parser = super::arguments::server, requires = "name")]
    url: Option<Url>,

    /// An OpenAI-compatible API for models other than `napt/echo`: `URL`, or `NAME=URL,models=PATTERN,…`; repeatable
    ///
    /// The first whose patterns match a model answers for it; one without patterns takes what is left. The key of one
    /// without a name is the setting `provider-key`, that of `NAME` is in the variable `NAPT_PROVIDER_KEY_NAME` or in
    /// your own `config.toml`, where providers can stand too.
    #[arg(long = "provider", value_name = "PROVIDER", value_parser = super::arguments::provider)]
    providers: Vec<super::arguments::ProviderFlag>,

    /// A host that modules may reach, of those that their manifests name: `HOST`, `*.HOST`, either with a port; repeatable
    ///
    /// `*` is whatever manifests name, and `none` nothing. Addresses of private networks and of this machine are never
    /// reached, unless they are given here: `10.0.0.5:5432`.
    #[arg(long = "egress", value_name = "HOST", default_value = "*", value_parser = super::arguments::hinted::<EgressRule>)]
    egress: Vec<EgressRule>,
    /// Let modules that ask for `isolation = "shared"` run in one interpreter for all runs of a user
    #[arg(long)]
    allow_shared: bool,

    /// How many runs go on at a time, not counting those that modules call for
    #[arg(long, value_name = "N", default_value = "64")]
    max_runs: NonZeroUsize,

    /// How many runs that modules call for go on at a time, at each depth of calls [default: 64 for each core]
    #[arg(long, value_name = "N")]
    max_processes: Option<NonZeroUsize>,

    /// How long an interpreter stays ready that nothing is run in
    #[arg(long, value_name = "SECONDS", default_value = "900")]
    keep_warm: u64,

    /// How many interpreters stay ready that nothing is run in
    #[arg(long, value_name = "N", default_value_t = node::MAX_WARM)]
    max_warm: usize,

    /// How much storage each user has for tables, and as much again for files
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    quota: bytesize::ByteSize,

    /// The most that a run gets of something, whatever its module asks for: `NAME=VALUE`; repeatable
    ///
    /// Names are those of `[limits]` in manifests, and `result`.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<node::Cap>,

    /// Do not start unless modules can be shut in with everything that napt knows
    #[arg(long)]
    require_sandbox: bool,

    /// How long runs may go on after Ctrl-C or SIGTERM before they are ended with an error
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    grace: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fsck(FsckArgs),
}

/// Look for damage in the data of a node that does not run
///
/// Reads every record, and every archive and folder of a deployed module, and compares them. Nothing is changed: what is of
/// no use goes when the node starts. Exit code 3 when something is wrong.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt node fsck
  napt node fsck --data ./second")]
struct FsckArgs {
    /// Where the node keeps modules, runs and keys [default: `node` in napt's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if let Some(Command::Fsck(args)) = &self.command {
            let default = || context.dirs.data.join("node");
            let data = args.data.as_ref().map_or_else(default, |folder| context.cwd.join(folder));
            let found = context.block_on(node::fsck(&data))?;
            return super::fsck::told(context, &data, found);
        }
        let mut options = super::serving::options(context)?;
        options.listen = self.listen;
        if let Some(folder) = &self.data {
            options.data = context.cwd.join(folder);
        }
        options.registry = context.registry(self.registry.as_deref())?.value;
        options.sources.clone_from(&self.sources);
        options.users.extend(self.users.iter().cloned());
        options.open = self.open;
        options.peers.clone_from(&self.peers);
        options.peer_owners.clone_from(&self.peer_owners);
        if let Some(name) = self.name.clone() {
            let owner = context.credentials().key_or_create()?;
            options.listing = Some(Listing { name, url: self.url.clone(), owner });
        }
        let key = context.setting(Key::ProviderKey, None)?.map(|setting| Secret::new(setting.value));
        options.providers = super::serving::providers(context, &self.providers, key)?;
        options.egress.clone_from(&self.egress);
        options.allow_shared = self.allow_shared;
        options.max_runs = self.max_runs.get();
        options.max_processes = self.max_processes.map_or(options.max_processes, NonZeroUsize::get);
        options.keep_warm = Duration::from_secs(self.keep_warm);
        options.max_warm = self.max_warm;
        options.quota = self.quota.as_u64();
        for cap in &self.limits {
            options.caps.set(*cap);
        }
        options.require_sandbox = self.require_sandbox;
        let data = options.data.clone();
        context.shell.start_log();
        context.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let running = node::serve(options).await?;
            let url = running.url();
            context.shell.step("Listening", &url);
            context
                .shell
                .event("listening", &json!({ "url": url, "addr": running.address, "id": running.id, "data": data, "sandbox": running.sandbox }))?;
            super::serving::tell_sandbox(&context.shell, &running.sandbox);
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let what = match running.runs() {
                0 => "the node; no runs go on".to_owned(),
                runs => {
                    format!("the node; {} may take {} s to end; Ctrl-C ends them now", plural(runs, "run"), self.grace)
                }
            };
            context.shell.step("Stopping", &what);
            tokio::select! {
                () = running.drain(Duration::from_secs(self.grace)) => {}
                _ = interrupt.recv() => running.drain(Duration::ZERO).await,
                _ = terminate.recv() => running.drain(Duration::ZERO).await,
            }
            running.stop().await;
            Ok(Output::new("", json!({ "url": url })))
        })
    }
}
