//! Verb: the loop of a module author. A registry and a node in this process hold the workspace's modules as they are on
//! disk, and every change is checked and deployed the usual way.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `servers` | a registry and a node within this process |
//! | `session` | how other commands find them, and that there is one at a time |
//! | `watch` | that something may have changed |
//! | `snapshot` | what has changed |
//! | `plan` | which deployments hold which modules |
//! | `made` | which deployments are its own |
//! | `cycle` | check, deploy, tell |

mod cycle;
mod made;
mod plan;
mod servers;
mod session;
mod snapshot;
mod watch;

use std::{future::Future, path::PathBuf, time::Duration};

pub use servers::{ServerOptions, Servers, serve};
use url::Url;

use self::{
    cycle::Cycle,
    made::Made,
    session::Claim,
    snapshot::{Camera, Layout, Snapshot},
    watch::Watch,
};
use crate::{
    check,
    client::NodeClient,
    identity::SecretKey,
    module::{DevSession, ModuleId},
    node::{self, NodeError},
    registries::{Registries, address},
    registry::{self, RegistryError},
    report::{Failure, Fault, Kind, Reporter},
};

/// How long everything may take to end.
const STOP: Duration = Duration::from_millis(1500);

/// How to develop.
pub struct Options<'a> {
    /// The workspace's root.
    pub workspace: PathBuf,
    /// The registry of modules that are not of the workspace; without it, there is one in this process.
    pub registry: Option<Url>,
    /// Opens the registries, of which the one in this process is the default, if there is one.
    pub registries: &'a (dyn Fn(Option<&Url>) -> Result<Registries, Failure> + Sync),
    /// The port of that registry: by default the usual one, or a free one when that is taken.
    pub registry_port: Option<u16>,
    /// The node; its address, folder and registry are chosen here.
    pub node: node::Options,
    /// The node's port, likewise.
    pub node_port: Option<u16>,
    /// Whose deployments they are.
    pub key: SecretKey,
    /// How modules are checked before they are deployed.
    pub checks: check::Options,
    /// Forget what was kept from the last time.
    pub fresh: bool,
    /// Look for changes instead of being told of them.
    pub poll: bool,
}

/// What happens while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// The servers listen, and modules are shut in by this.
    Listening(&'a DevSession, &'a node::Confinement),
    /// The first version of a module is live, and what it needs with it.
    Deployed {
        /// The module.
        module: &'a ModuleId,
        /// The deployment.
        name: &'a str,
        /// Its number.
        revision: u64,
    },
    /// What could be deployed is; changes are awaited.
    Watching {
        /// The workspace's modules.
        modules: &'a [ModuleId],
    },
    /// A change is live.
    Reloaded {
        /// What has changed.
        modules: &'a [ModuleId],
        /// Since the first file was written.
        took: Duration,
    },
    /// A module is gone.
    Removed {
        /// Which.
        module: &'a ModuleId,
    },
    /// A deployment is gone: nothing of the workspace needs it any more.
    Retired {
        /// Which.
        name: &'a str,
    },
    /// A change is not live: a check has found errors.
    Unchecked(&'a check::Report),
    /// A change is not live: it cannot be deployed.
    Undeployed(&'a Failure),
    /// What goes on to answer instead.
    Keeping {
        /// The deployment.
        name: &'a str,
        /// Its number.
        revision: u64,
    },
    /// What was wrong is not any more.
    Mended,
    /// Everything ends.
    Stopping,
}

/// Who is told.
pub trait Audience: Reporter {
    /// Something has happened.
    fn event(&self, event: &Event<'_>);
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Somebody does already.
    #[error("`napt dev` is running for this workspace already{}", session.as_ref().map_or_else(String::new, |session| format!(" (process {})", session.pid)))]
    Running {
        /// The one that runs, as far as it tells.
        session: Option<DevSession>,
    },
    /// The registry cannot be started.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The node cannot be started.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Fault for DevError {
    fn kind(&self) -> Kind {
        match self {
            DevError::Running { .. } => Kind::Conflict,
            DevError::Registry(error) => error.kind(),
            DevError::Node(error) => error.kind(),
            DevError::Io(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DevError::Running { .. } => {
                Some("use it: `napt run` finds it from here; or end it with Ctrl-C in its terminal".to_owned())
            }
            DevError::Registry(RegistryError::Listen { .. }) => {
                Some("name another port with `--registry-port`; 0 takes a free one".to_owned())
            }
            DevError::Node(NodeError::Listen { .. }) => {
                Some("name another port with `--node-port`; 0 takes a free one".to_owned())
            }
            DevError::Registry(error) => error.hint(),
            DevError::Node(error) => error.hint(),
            DevError::Io(_) => None,
        }
    }
}

/// Serves and watches until `stop`. No process is left then.
pub async fn develop(options: Options<'_>, audience: &dyn Audience, stop: impl Future) -> Result<(), Failure> {
    let claim = Claim::take(&options.workspace, options.fresh).await?;
    let servers = serve(ServerOptions {
        registry: options.registry.is_none().then(|| claim.registry()),
        registry_port: options.registry_port,
        node: node::Options { data: claim.node(), ..options.node.clone() },
        node_port: options.node_port,
    });
    let servers = servers.await?;
    let own = servers.registry.as_ref().map(registry::Running::url);
    let session = DevSession {
        pid: std::process::id(),
        node: servers.node.url(),
        registry: own.as_ref().or(options.registry.as_ref()).map(address).unwrap_or_default(),
    };
    claim.announce(&session)?;
    audience.event(&Event::Listening(&session, &servers.node.sandbox));
    let url = session.node.parse().expect("a socket address makes a URL");
    let node = NodeClient::new(url, options.node.http, options.key);
    let registries = (options.registries)(own.as_ref())?;
    let cycle = Cycle::new(options.workspace, node, registries, options.checks, Made::read(claim.deployments()))?;
    tokio::select! {
        () = watch(cycle, options.poll, audience) => {}
        _ = stop => {}
    }
    audience.event(&Event::Stopping);
    let withdrawn = claim.withdraw();
    // Whoever still waits for an answer by then gets none.
    let _ = tokio::time::timeout(STOP, servers.stop()).await;
    Ok(withdrawn?)
}

/// Deploys what there is, then whatever changes.
async fn watch(mut cycle: Cycle, poll: bool, audience: &dyn Audience) {
    let mut watch = Watch::new(poll, audience);
    let mut camera = Camera::default();
    let mut start = std::time::Instant::now();
    let mut before: Option<Snapshot> = None;
    let mut is_first = true;
    loop {
        // Watched first, and read then: what changes in between is told.
        let mut layout = Layout::of(&cycle.root);
        while watch.follow(&layout.folders, audience) {
            layout = Layout::of(&cycle.root);
        }
        let now = camera.take(&cycle.root, layout);
        let is_done = before.as_ref().is_some_and(|before| now.is_as(before))
            || cycle.turn(&now, start, audience, &|| watch.has_news()).await;
        if std::mem::take(&mut is_first) {
            let modules: Vec<ModuleId> = now.modules.keys().cloned().collect();
            audience.event(&Event::Watching { modules: &modules });
        }
        before = is_done.then_some(now);
        start = watch.changed().await;
    }
}
