//! The registry server: where versions of modules are published, kept and found.
//!
//! It derives all that it serves from the archives themselves. A version never changes once it is visible.
//!
//! | file | what |
//! | --- | --- |
//! | `publish.rs` | the steps of a publish, in an order that survives a crash |
//! | `accounts.rs` | challenges, accounts, tokens |
//! | `nodes.rs` | the directory of nodes |
//! | `store/` | the records, behind a trait; SQLite |
//! | `blobs.rs` | the archives |
//! | `refusal.rs` | each reason to refuse, with its status and words |
//! | `rendered.rs` | the index as it is sent, rendered once a change |
//! | `hub/` | Naptha's hub protocol over the same records |
//! | `api/` | HTTP over all of these; no rule is there |

mod accounts;
mod api;
mod blobs;
mod fsck;
mod hub;
mod nodes;
mod publish;
mod rate;
mod refusal;
mod rendered;
mod store;

use std::{
    fmt,
    fs::TryLockError,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use fsck::fsck;
use jiff::Timestamp;
use rate::Buckets;
pub use rate::Rate;
pub use store::{
    AccountKey, Announced, Changed, HubAccount, HubModule, HubNode, HubSecret, HubServer, HubSignUp, HubStore,
    Inserted, NewVersion, Pointer, SqliteStore, Store, StoreError, TokenRecord, Yanked,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use url::Url;

use crate::{
    identity::Nonces,
    module::ModuleId,
    package,
    report::{Fault, Kind},
};

/// How long calls in progress may take to end when the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// The file with the records, in a registry's folder.
const DATABASE: &str = "registry.db";

/// What the time is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the registry takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of an archive.
    pub package: package::Limits,
    /// An upload that moves less than `body_rate` bytes a second over this long is refused, and so is any other body that
    /// has not come by then.
    pub body_window: Duration,
    /// See `body_window`.
    pub body_rate: u64,
    /// Challenges for one address.
    pub challenges: Rate,
    /// Failed logins from one address.
    pub failed_logins: Rate,
    /// Sign-ins to the hub from one address, those that succeed too: each costs a hash.
    pub sign_ins: Rate,
    /// Requests of one connection to the hub.
    pub hub_requests: Rate,
    /// Changes of the hub's records from one address.
    pub hub_writes: Rate,
    /// How long a connection to the hub may be silent. Naptha's clients ping every 20 seconds.
    pub hub_idle: Duration,
    /// Calls from one address of nodes that are not in the directory, and such as nobody signed.
    pub announcements: Rate,
    /// Calls of one node that is in the directory.
    pub heartbeats: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            package: package::Limits::default(),
            body_window: Duration::from_secs(30),
            body_rate: 1024,
            challenges: Rate { burst: 60, refill: Duration::from_secs(1) },
            failed_logins: Rate { burst: 10, refill: Duration::from_secs(60) },
            sign_ins: Rate { burst: 30, refill: Duration::from_secs(1) },
            hub_requests: Rate { burst: 200, refill: Duration::from_millis(50) },
            hub_writes: Rate { burst: 100, refill: Duration::from_secs(1) },
            hub_idle: Duration::from_secs(120),
            announcements: Rate { burst: 200, refill: Duration::from_millis(500) },
            heartbeats: Rate { burst: 20, refill: Duration::from_secs(5) },
        }
    }
}

/// How a registry is run.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its folder.
    pub data: PathBuf,
    /// The URL that its users reach it by; may be left out on the loopback.
    pub url: Option<Url>,
    /// What it takes.
    pub limits: Limits,
    /// What the time is.
    pub clock: Clock,
}

impl Options {
    /// A registry on the loopback with its data in `data`.
    pub fn new(listen: SocketAddr, data: impl Into<PathBuf>) -> Self {
        let clock = Arc::new(Timestamp::now);
        Options { listen, data: data.into(), url: None, limits: Limits::default(), clock }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("listen", &self.listen).field("data", &self.data).finish_non_exhaustive()
    }
}

/// Why a registry cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Its address cannot be taken.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others can reach it, but it does not know under which name.
    #[error("a registry that listens on `{0}` must be told the URL that its users reach it by")]
    NoUrl(SocketAddr),
    /// There is no registry in the folder.
    #[error("`{}` is not a registry's folder: it has no `{DATABASE}`", .0.display())]
    NotARegistry(PathBuf),
    /// Another process uses its folder.
    #[error("another registry uses `{}`", .0.display())]
    Locked(PathBuf),
    /// Its folder cannot be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Its database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            RegistryError::NoUrl(_) | RegistryError::NotARegistry(_) => Kind::Usage,
            RegistryError::Listen { .. } => Kind::Network,
            RegistryError::Locked(_) => Kind::Conflict,
            RegistryError::Io(_) | RegistryError::Store(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RegistryError::NoUrl(_) => Some(
                "add for example `--url https://registry.example`: users sign it when they log in, so that no other \
                 server can use their signature here"
                    .to_owned(),
            ),
            RegistryError::NotARegistry(_) => Some("name its folder with `--data`".to_owned()),
            RegistryError::Listen { .. } => Some("choose another address with `--listen`".to_owned()),
            RegistryError::Locked(_) => Some("stop it, or choose another folder with `--data`".to_owned()),
            RegistryError::Store(error) => error.hint().map(str::to_owned),
            RegistryError::Io(_) => None,
        }
    }
}

/// The registry behind its doors.
struct Registry {
    store: Arc<dyn Store>,
    rendered: Arc<rendered::Rendered>,
    blobs: blobs::Blobs,
    limits: Limits,
    clock: Clock,
    /// The names that users dial, as they sign them.
    hosts: Vec<String>,
    challenges: Buckets<IpAddr>,
    failed_logins: Buckets<IpAddr>,
    sign_ins: Buckets<IpAddr>,
    hub_writes: Buckets<IpAddr>,
    hub: hub::Hub,
    announcements: Buckets<IpAddr>,
    /// By the node's id.
    heartbeats: Buckets<String>,
    /// Of signed requests.
    nonces: Nonces,
}

impl Registry {
    /// A module's index; `None` when there is no such module.
    async fn index(&self, id: &ModuleId) -> Result<Option<rendered::Index>, refusal::Refusal> {
        if let Some(index) = self.rendered.get(id) {
            return Ok(Some(index));
        }
        let changes = self.rendered.changes();
        let Some(entries) = self.store.index(id).await? else { return Ok(None) };
        let index = rendered::Index::of(&entries).map_err(|error| refusal::Refusal::Internal(error.into()))?;
        self.rendered.keep(id.clone(), index.clone(), changes);
        Ok(Some(index))
    }

    /// Changes a module's records. To its end even when the caller goes away, since what is rendered must follow.
    async fn change<T: Send + 'static>(
        &self,
        id: &ModuleId,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, refusal::Refusal> {
        let (id, rendered) = (id.clone(), Arc::clone(&self.rendered));
        let task = tokio::spawn(async move {
            let changed = change.await;
            // After an error too: only the records know whether it was made.
            rendered.changed(&id);
            changed
        });
        Ok(task.await.map_err(|error| refusal::Refusal::Internal(error.into()))??)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// A registry that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Its URL on this machine.
    pub fn url(&self) -> Url {
        local(self.addr)
    }

    /// Takes no new calls, lets those in progress end, and returns when all is closed.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(GRACE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Starts a registry. It runs until it is stopped.
pub async fn serve(options: Options) -> Result<Running, RegistryError> {
    let Options { listen, data, url, limits, clock } = options;
    if url.is_none() && !listen.ip().is_loopback() {
        return Err(RegistryError::NoUrl(listen));
    }
    fs_err::create_dir_all(&data)?;
    let lock = lock(&data)?;
    let store = Arc::new(SqliteStore::open(&data.join(DATABASE)).await?);
    let opened = Arc::clone(&store);
    let listener = TcpListener::bind(listen).await.map_err(|error| RegistryError::Listen { address: listen, error })?;
    let addr = listener.local_addr()?;
    let (stop, mut stopped) = watch::channel(false);
    let base = url.clone().unwrap_or_else(|| local(addr));
    let registry = Registry {
        store,
        rendered: Arc::default(),
        blobs: blobs::Blobs::open(&data)?,
        challenges: Buckets::new(limits.challenges),
        failed_logins: Buckets::new(limits.failed_logins),
        sign_ins: Buckets::new(limits.sign_ins),
        hub_writes: Buckets::new(limits.hub_writes),
        announcements: Buckets::new(limits.announcements),
        heartbeats: Buckets::new(limits.heartbeats),
        nonces: Nonces::default(),
        limits,
        clock,
        hosts: hosts(addr, url.as_ref()),
        hub: hub::Hub::new(base, stopped.clone()),
    };
    let service = api::router(Arc::new(registry)).into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        let server = axum::serve(listener, service).with_graceful_shutdown(async move {
            // An error says that the handle is gone, and with it whoever could stop us: that is no reason to stop.
            if stopped.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        if let Err(error) = server.await {
            tracing::error!(%error, "the registry stopped");
        }
        // Whoever is told that it has stopped may copy the folder.
        opened.close().await;
        drop(lock);
    });
    Ok(Running { addr, stop, task })
}

/// The URL of an address on this machine.
fn local(mut addr: SocketAddr) -> Url {
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    Url::parse(&format!("http://{addr}")).expect("a socket address makes a URL")
}

/// Keeps other registries off a folder.
fn lock(data: &Path) -> Result<fs_err::File, RegistryError> {
    let lock = fs_err::File::create(data.join("lock"))?;
    match lock.file().try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RegistryError::Locked(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The names that clients may sign: the URL's host, and those of the loopback where it listens there.
fn hosts(addr: SocketAddr, url: Option<&Url>) -> Vec<String> {
    let mut hosts = Vec::new();
    if let Some(url) = url {
        let host = url.host_str().unwrap_or_default();
        hosts.push(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
    }
    let port = addr.port();
    if addr.ip().is_loopback() || addr.ip().is_unspecified() {
        // As a URL has it: without the port where it is the scheme's own.
        let suffix = if port == 80 { String::new() } else { format!(":{port}") };
        hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}{suffix}")));
    }
    hosts
}
