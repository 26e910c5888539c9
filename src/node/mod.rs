//! The node: doors (napt's `/v1`, Naptha's HTTP, WebSocket and gRPC) over one core of installs, deployments, runs, runtimes,
//! storage and inference. All doors are on one port.

mod core;
mod doors;
mod error;
mod fsck;
mod queue;
mod runtime;
mod store;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use axum::serve::ListenerExt;

pub use self::core::{EgressRule, Listing, Provider, Proxies};
pub use error::NodeError;
pub use fsck::fsck;
use napt_registry_client::Policy;
use napt_sandbox::{Launcher, Mechanisms, probe};
pub use runtime::{Cap, CapError, Caps};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    core::{Announcer, Core},
    runtime::{Cgroups, Inside, Reach, WayOut},
};

/// How long runs may take to go away once they are told.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that a node keeps for each user unless told otherwise.
pub const QUOTA: u64 = 4 << 30;

/// How long an interpreter stays ready that nothing is run in, unless told otherwise.
pub const KEEP_WARM: Duration = Duration::from_secs(900);

/// Interpreters that stay ready without a run, unless told otherwise.
pub const MAX_WARM: usize = 64;

/// Runs at a time that other runs have called for, at each depth of calls, unless told otherwise: so many for each core.
pub const PROCESSES_PER_CORE: usize = 64;

/// How long Naptha's `create` may take: its clients stop waiting after 300 s.
pub const CREATE_WITHIN: Duration = Duration::from_secs(280);

/// How a node is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it keeps everything.
    pub data: PathBuf,
    /// Where Python environments are kept; several nodes may share it.
    pub environments: PathBuf,
    /// Where crates are kept and Rust modules are built; several nodes may share it.
    pub crates: PathBuf,
    /// Where it fetches modules from.
    pub registry: Url,
    /// What the URLs begin with of modules that the registry only points at, and that are fetched by git.
    pub sources: Vec<String>,
    /// Users that it admits: `user:` and a public key. The first is its operator.
    pub users: Vec<String>,
    /// Whether clients without credentials are let in. Only on the loopback.
    pub open: bool,
    /// Nodes that it trusts, both ways.
    pub peers: Vec<Url>,
    /// Users whose nodes in the registry's directory it trusts likewise.
    pub peer_owners: Vec<String>,
    /// How it is listed in the registry's directory; not at all when absent.
    pub listing: Option<Listing>,
    /// Where models other than the built-in one are; the first that serves a model answers.
    pub providers: Vec<Provider>,
    /// What modules may reach on the network, of what their manifests name.
    pub egress: Vec<EgressRule>,
    /// The proxies that the node itself is behind.
    pub proxies: Proxies,
    /// Whether modules that ask for it share an interpreter among a user's runs.
    pub allow_shared: bool,
    /// Root runs at a time.
    pub max_runs: usize,
    /// Runs at a time that other runs have called for, at each depth of calls.
    pub max_processes: usize,
    /// How long an interpreter stays ready that nothing is run in.
    pub keep_warm: Duration,
    /// Interpreters that stay ready without a run.
    pub max_warm: usize,
    /// Bytes that the node keeps for each user: of tables, and again of files.
    pub quota: u64,
    /// Upper bounds of every run.
    pub caps: Caps,
    /// How long Naptha's `create` may take before its client is told to ask again; its own limit is 300 s.
    pub create_within: Duration,
    /// For calls to registry, peers and providers.
    pub http: reqwest::Client,
    /// How patient it is with the registry.
    pub policy: Policy,
    /// Variables that package installers need to reach the network.
    pub installer: Vec<(String, String)>,
    /// Variables by which rustup finds its toolchains.
    pub rustup: Vec<(String, String)>,
    /// `PATH`, to find Python, its installer, and Rust.
    pub path: String,
    /// This program, to be started again as the launcher of what is shut in ([`napt_sandbox::launched`]).
    pub launcher: PathBuf,
    /// Whether it refuses to start where a mechanism of the sandbox is missing.
    pub require_sandbox: bool,
}

/// What a node shuts modules in with.
#[derive(Debug, Clone, Serialize)]
pub struct Confinement {
    /// What is missing is told for control groups too.
    #[serde(flatten)]
    pub mechanisms: Mechanisms,
    /// By which version of control groups all processes of a run, an interpreter or an install are bounded together: `v2`,
    /// `v1`, or none.
    pub control_groups: Option<&'static str>,
}

/// A node that is being served.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its id: `node:` and its public key.
    pub id: String,
    /// What modules are shut in with.
    pub sandbox: Confinement,
    core: Shared,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    dispatcher: JoinHandle<()>,
    announcer: Option<Announcer>,
}

/// Starts a node; it is ready when this returns.
pub async fn serve(mut options: Options) -> Result<Running, NodeError> {
    if options.open && !options.listen.ip().is_loopback() {
        return Err(NodeError::Invalid(
            "`--open` lets everybody in, so it goes only with a loopback address such as 127.0.0.1".to_owned(),
        ));
    }
    let launcher = Launcher::new(options.launcher.clone());
    let probed = tokio::task::spawn_blocking(move || probe(&launcher));
    hide_from_other_processes();
    raise_descriptor_limit();
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|reason| NodeError::Listen { address: options.listen, reason })?;
    let address = listener.local_addr().map_err(NodeError::internal("learn its own address"))?;
    let listing = match options.listing.take() {
        Some(listing) => {
            let url = listing.url.clone().or_else(|| own_url(address)).ok_or_else(|| {
                NodeError::Invalid(format!("a node that listens on `{address}` must be told its `--url` to be listed"))
            })?;
            Some((listing, url))
        }
        None => None,
    };
    let mut mechanisms = probed.await.map_err(NodeError::internal("try the sandbox"))?;
    if options.require_sandbox && !mechanisms.is_complete() {
        return Err(NodeError::NoSandbox(mechanisms.missing));
    }
    // Without walls it is on this machine's loopback, for whoever keeps to the rules.
    let (way_out, egress_port) = if mechanisms.namespaces {
        (None, 0)
    } else {
        let failed = NodeError::internal("open its way out");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(NodeError::internal("learn its own address"))?.port();
        (Some(listener), port)
    };
    let listed = listing.as_ref().map(|(of, url)| (of.name.clone(), url.clone()));
    let core = Core::open(options, address, egress_port, listed, mechanisms.clone()).await?;
    let (control_groups, missing) = Cgroups::told(core.cgroups.as_deref());
    mechanisms.missing.extend(missing);
    let sandbox = Confinement { mechanisms, control_groups };
    core.walls.serve_by(Arc::new(Doors(Arc::downgrade(&core))));
    core.installs.reach_by(Arc::new(WayToIndexes(Arc::downgrade(&core))));
    let announcer = match listing {
        Some((listing, url)) => {
            let node = listing.announcement(&core.key, &url, vec![core::ECHO.to_owned()]);
            Some(Announcer::start(&core, node).await?)
        }
        None => None,
    };
    let dispatcher = core.dispatch();
    let stop = CancellationToken::new();
    let id = core.id.clone();
    if let Some(listener) = way_out {
        tokio::spawn(doors::egress::serve(core.clone(), doors::egress::Who::Runs, listener, stop.clone()));
    }
    let app = doors::router(core.clone());
    let stopped = stop.clone();
    // Events are small: each would wait for the one before it to be acknowledged.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let server = tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(async move { stopped.cancelled().await }).await
    });
    Ok(Running { address, id, sandbox, core, stop, server, dispatcher, announcer })
}

/// The node's doors, as modules have them inside of their walls.
#[derive(Debug)]
struct Doors(Weak<Core>);

#[async_trait]
impl Inside for Doors {
    async fn serve(&self, node: std::net::TcpListener, proxy: std::net::TcpListener) {
        let Some(core) = self.0.upgrade() else { return };
        let (Ok(node), Ok(proxy)) = (TcpListener::from_std(node), TcpListener::from_std(proxy)) else {
            return tracing::error!("modules cannot reach the node");
        };
        let router = doors::inside::router(doors::router(core.clone()));
        let doors = async { axum::serve(doors::inside::Bounded::new(node), router).await };
        // Whoever has this served ends it.
        let egress = doors::egress::serve(core.clone(), doors::egress::Who::Runs, proxy, CancellationToken::new());
        let (served, ()) = tokio::join!(doors, egress);
        if let Err(error) = served {
            tracing::error!(%error, "modules cannot reach the node");
        }
    }
}

/// How installs reach package indexes.
#[derive(Debug)]
struct WayToIndexes(Weak<Core>);

#[async_trait]
impl WayOut for WayToIndexes {
    async fn serve(&self, proxy: std::net::TcpListener, reach: Reach) {
        let (Some(core), Ok(listener)) = (self.0.upgrade(), TcpListener::from_std(proxy)) else { return };
        let who = doors::egress::Who::installer(reach);
        let _over = who.ends_with();
        doors::egress::serve(core, who, listener, CancellationToken::new()).await;
    }
}

/// Where a node is reached that listens there; nothing for one that listens on all of its machine's addresses.
fn own_url(address: SocketAddr) -> Option<Url> {
    Url::parse(&format!("http://{address}")).ok().filter(|_| !address.ip().is_unspecified())
}

/// Modules run as the node's user: without this they could read its environment and memory under `/proc`.
fn hide_from_other_processes() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "modules can read the node's environment");
    }
}

/// A run takes three descriptors and a caller one, and systems let a process have 1,024 unless it asks for more.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the node may run out of file descriptors when many runs go on");
    }
}

impl Running {
    /// Where it is reached from this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many runs are going on, counting those that they have called for.
    pub fn runs(&self) -> usize {
        self.core.started().len()
    }

    /// Accepts no more runs, and lets those that go on have so much time to end. What has not ended then is ended with
    /// the error `the node was stopped`; what waits for its turn gets it at the next start.
    pub async fn drain(&self, grace: Duration) {
        self.core.stop_accepting();
        if tokio::time::timeout(grace, self.core.idle()).await.is_err() {
            self.core.end_all("the node was stopped");
            // Those that take longer are ended by the next start.
            let _ = tokio::time::timeout(END_TIMEOUT, self.core.idle()).await;
        }
    }

    /// Stops serving at once. Runs that have not ended are ended at the next start.
    pub async fn stop(self) {
        if let Some(announcer) = self.announcer {
            announcer.withdraw().await;
        }
        self.stop.cancel();
        self.core.walls.close();
        if let Some(cgroups) = self.core.cgroups.clone() {
            // What is left is removed by the next start.
            let _ = tokio::time::timeout(END_TIMEOUT, tokio::task::spawn_blocking(move || cgroups.close())).await;
        }
        self.dispatcher.abort();
        // Connections that stay open (followers of runs) are cut off after a moment.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.server).await;
    }
}

/// For the doors: the core, shared.
type Shared = Arc<Core>;
