use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::{
    check::{self, render},
    config::read_env_file,
    context::{Context, Key, Source},
    dev::{self, Audience, Event, develop},
    identity::Secret,
    module::{ModuleId, Workspace},
    report::{Failure, Reporter, plural},
    shell::{MessageFormat, Output, Shell, error_of},
};

/// Deploy a workspace's modules from their folders, and again whenever they change
///
/// A registry and a node run within this command; `napt run`, `napt logs` and others find them from the workspace, in any
/// terminal. A change that has errors is shown and the last good version goes on; runs that have begun keep the code
/// that they began with. Ctrl-C ends all of it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt dev
  napt dev ./debate --provider https://models.example/v1
  napt dev --registry https://registry.example --node-port 0")]
pub(super) struct Args {
    /// The workspace, or a folder in it
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// The registry of modules that are not in the workspace [default: the configured one, else one of its own]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,

    /// The node's port; 0 takes a free one [default: 7001, or a free one when that is taken]
    #[arg(long, value_name = "PORT")]
    node_port: Option<u16>,

    /// The port of its own registry, likewise [default: 7080, or a free one when that is taken]
    #[arg(long, value_name = "PORT")]
    registry_port: Option<u16>,

    /// Let in clients of this machine that have no credential, as Naptha's do
    #[arg(long)]
    open: bool,

    /// An OpenAI-compatible API for models other than `napt/echo`, as `napt node --provider` takes it; repeatable. The
    /// key of one without a name is `NAPT_PROVIDER_KEY` in the environment or in the workspace's `.env`, else the setting
    /// `provider-key`
    #[arg(long = "provider", value_name = "PROVIDER", value_parser = super::arguments::provider)]
    providers: Vec<super::arguments::ProviderFlag>,

    /// Forget tables, runs and what was published the last time
    #[arg(long)]
    fresh: bool,

    /// Look for changes every second, where the system does not tell of them (network folders)
    #[arg(long)]
    poll: bool,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd.join(&self.dir))?.root;
        let named = context.registry(self.registry.as_deref())?;
        let registry = match named.source {
            Source::Default => None,
            _ => Some(named.value.clone()),
        };
        let registries = |own: Option<&Url>| match own {
            Some(url) => context.registries(Some(url.as_str())),
            None => context.registries(self.registry.as_deref()),
        };
        let mut node = super::serving::options(context)?;
        node.registry = named.value;
        node.open = self.open;
        let key = provider_key(context, &workspace)?;
        node.providers = super::serving::providers(context, &self.providers, key)?;
        let options = dev::Options {
            workspace: workspace.clone(),
            registry,
            registries: &registries,
            registry_port: self.registry_port,
            node,
            node_port: self.node_port,
            key: context.credentials().key_or_create()?,
            checks: check::Options { variables: context.env.variables.clone(), ..check::Options::default() },
            fresh: self.fresh,
            poll: self.poll,
        };
        context.shell.start_log();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let developed = runtime.block_on(async {
            let stop = stop()?;
            develop(options, &Screen(&context.shell), stop).await
        });
        // What still waits for a lock of another process is left behind.
        runtime.shutdown_timeout(Duration::from_millis(500));
        developed?;
        Ok(Output::new("", json!({ "workspace": workspace })))
    }
}

/// The key of the provider: of the environment, else of the workspace's `.env`, else of the configuration.
fn provider_key(context: &Context, workspace: &Path) -> Result<Option<Secret>, Failure> {
    if let Some(key) = &context.env.provider_key {
        return Ok(Some(key.clone()));
    }
    let mut variables = read_env_file(workspace)?.into_iter().rev();
    if let Some((_, key)) = variables.find(|(name, _)| name == "NAPT_PROVIDER_KEY") {
        return Ok(Some(Secret::new(key)));
    }
    Ok(context.setting(Key::ProviderKey, None)?.map(|setting| Secret::new(setting.value)))
}

/// Ends when the user or the system wants an end: Ctrl-C, SIGTERM, or a terminal that was closed.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Shows it in the terminal, or as a JSON line each to programs.
struct Screen<'a>(&'a Shell);

impl Reporter for Screen<'_> {
    fn step(&self, verb: &str, what: &str) {
        self.0.step(verb, what);
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }

    fn detail(&self, message: &str) {
        self.0.detail(message);
    }
}

impl Audience for Screen<'_> {
    fn event(&self, event: &Event<'_>) {
        let (name, data) = self.tell(event);
        // Nobody is left to tell when stdout is gone; the next Ctrl-C still ends it.
        let _ = self.0.event(name, &data);
    }
}

impl Screen<'_> {
    /// Tells people; gives what programs are told.
    fn tell(&self, event: &Event<'_>) -> (&'static str, Value) {
        let shell = self.0;
        match event {
            Event::Listening(session, sandbox) => {
                shell.step("Listening", &format!("node {}, registry {}", session.node, session.registry));
                super::serving::tell_sandbox(shell, sandbox);
                ("listening", json!({ "node": session.node, "registry": session.registry }))
            }
            Event::Deployed { module, name, revision } => {
                shell.step("Deployed", &format!("{module} as `{name}`, revision {revision}"));
                ("deployed", json!({ "module": module, "name": name, "revision": revision }))
            }
            Event::Watching { modules } => {
                shell.step("Watching", &format!("{}… (Ctrl-C ends)", plural(modules.len(), "module")));
                ("watching", json!({ "modules": modules }))
            }
            Event::Reloaded { modules, took } => {
                shell.step("Reloaded", &format!("{} {} ms", names(modules), took.as_millis()));
                ("reloaded", json!({ "modules": modules, "milliseconds": took.as_millis() as u64 }))
            }
            Event::Removed { module } => {
                shell.step("Removed", &module.to_string());
                ("removed", json!({ "module": module }))
            }
            Event::Retired { name } => {
                shell.step("Undeployed", &format!("`{name}`"));
                ("retired", json!({ "name": name }))
            }
            Event::Unchecked(report) => {
                if shell.format != MessageFormat::Json {
                    shell.problem(&(render::human(&report.diagnostics, &report.root) + "\n"));
                }
                ("unchecked", render::json(report, &report.root))
            }
            Event::Undeployed(failure) => {
                if shell.format != MessageFormat::Json {
                    shell.complain(failure);
                }
                ("undeployed", error_of(failure))
            }
            Event::Keeping { name, revision } => {
                shell.step("Keeping", &format!("revision {revision} of `{name}`"));
                ("keeping", json!({ "name": name, "revision": revision }))
            }
            Event::Mended => {
                shell.step("Mended", "what was wrong");
                ("mended", json!({}))
            }
            Event::Stopping => {
                shell.step("Stopping", "the servers");
                ("stopping", json!({}))
            }
        }
    }
}

fn names(modules: &[ModuleId]) -> String {
    modules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
