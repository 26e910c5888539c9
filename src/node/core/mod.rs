//! What a node is, whichever door it is asked through: installs, deployments, runs, users, storage, inference. A rule
//! stands here, so that every door has it.

mod access;
mod addresses;
mod calls;
mod contents;
mod database;
mod demand;
mod deployments;
mod directory;
mod egress;
mod elsewhere;
mod files;
mod follow;
mod inference;
mod installs;
mod own_calls;
mod parts;
mod peers;
mod readiness;
mod runs;
mod secrets;
mod surroundings;
mod tidy;

use std::{
    net::SocketAddr,
    sync::{Arc, Weak, atomic::AtomicBool},
    time::Duration,
};

pub(in crate::node) use access::{Access, Caller, Proof};
pub(in crate::node) use addresses::Target;
pub(in crate::node) use calls::{ForwardQuery, runnable};
pub(in crate::node) use contents::{Pin, PinOptions, content_cid, kept as kept_contents};
pub(in crate::node) use database::{DatabaseError, ReadOptions, Search, Wanted};
pub(in crate::node) use deployments::Deployed;
pub(in crate::node) use directory::Announcer;
pub use directory::Listing;
pub(in crate::node) use egress::{EgressError, Reached};
pub use egress::{EgressRule, Proxies};
pub(in crate::node) use files::{DeleteOptions, Entry, FilesError, Found, ListOptions, Received, pack};
pub(in crate::node) use follow::Follower;
pub use inference::Provider;
pub(in crate::node) use inference::{Answer, ECHO, Endpoint};
use napt_registry_client::RegistryClient;
use napt_sandbox::{Launcher, Mechanisms};
pub(in crate::node) use parts::suffix as part_suffix;
pub(in crate::node) use peers::ENVELOPE_HEADER;
use tokio::sync::Semaphore;
use url::Url;

pub(in crate::node) use tidy::KEPT_REVISIONS;

use self::{
    addresses::Addresses,
    contents::Contents,
    database::Database,
    deployments::Turns,
    directory::Directory,
    egress::Egress,
    files::Files,
    inference::Inference,
    installs::Installs,
    peers::Peers,
    runs::{MAX_DEPTH, Runs},
    secrets::Secrets,
};
use super::{
    Options,
    error::NodeError,
    fsck::DATABASE,
    runtime::{Binaries, Cgroups, Environments, Interpreters, Launches, Parents, Steps, Walls, look_after},
    store::{SqliteStore, Store},
};
use crate::identity::SecretKey;

/// A node without its doors.
#[derive(Debug)]
pub(in crate::node) struct Core {
    pub(in crate::node) key: SecretKey,
    /// `node:` and the public key.
    pub(in crate::node) id: String,
    pub(in crate::node) options: Options,
    pub(in crate::node) store: Arc<dyn Store>,
    pub(in crate::node) access: Access,
    pub(in crate::node) addresses: Addresses,
    egress: Egress,
    /// Where modules find it: the port of the proxy.
    egress_port: u16,
    pub(in crate::node) inference: Inference,
    pub(in crate::node) database: Database,
    pub(in crate::node) files: Files,
    pub(in crate::node) contents: Contents,
    pub(in crate::node) installs: Installs,
    parents: Parents,
    /// Whether no deployment has changed since it was looked what is not needed any more.
    is_tidy: AtomicBool,
    interpreters: Interpreters,
    pub(in crate::node) walls: Arc<Walls>,
    pub(in crate::node) peers: Peers,
    secrets: Secrets,
    turns: Turns,
    runs: Runs,
    /// Processes that start at a time.
    starting: Arc<Semaphore>,
    /// Where the system lets it make them.
    pub(in crate::node) cgroups: Option<Arc<Cgroups>>,
    /// Held as long as the node lives.
    _lock: std::fs::File,
}

/// How often parents are looked after, and how soon one that is to rest at once does.
const LOOK_AFTER: Duration = Duration::from_secs(5);
const LOOK_AFTER_SOON: Duration = Duration::from_millis(100);

/// Has parents and interpreters rest that are idle, and what comes after them started ahead, as long as the node is there.
async fn look_after_parents(core: Weak<Core>) {
    let mut has_time = false;
    while let Some(core) = core.upgrade() {
        let after = core.options.keep_warm;
        look_after(&core.parents, &core.interpreters, after, core.options.max_warm, has_time).await;
        core.tidy().await;
        let walls = core.walls.clone();
        drop(core);
        let pause = (after / 4).clamp(LOOK_AFTER_SOON, LOOK_AFTER);
        // Whether that time is over, or there is one more: then something else goes on.
        has_time = tokio::time::timeout(pause, walls.started().notified()).await.is_err();
    }
}

/// Keeps other nodes off a data folder: they would end each other's runs.
pub(in crate::node) fn lock(data: &std::path::Path) -> Result<std::fs::File, NodeError> {
    let failed = NodeError::internal("lock its data folder");
    let file = fs_err::File::create(data.join("lock")).map_err(failed)?.into_parts().0;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(NodeError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(NodeError::internal("lock its data folder")(error)),
    }
}

impl Core {
    /// Opens the node's data and prepares its parts. `address` is where its doors will be.
    pub(in crate::node) async fn open(
        options: Options,
        address: SocketAddr,
        egress_port: u16,
        listed: Option<(String, Url)>,
        mechanisms: Mechanisms,
    ) -> Result<Arc<Self>, NodeError> {
        let data = options.data.clone();
        fs_err::create_dir_all(&data).map_err(NodeError::internal("make its data folder"))?;
        let lock = lock(&data)?;
        let credentials = crate::identity::CredentialStore::new(&data);
        let key = credentials.key_or_create().map_err(NodeError::internal("read its key"))?;
        let id = key.public().node_id();
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&data.join(DATABASE)).await.map_err(NodeError::internal("open its database"))?);
        let launcher = Launcher::new(options.launcher.clone());
        let cgroups = tokio::task::spawn_blocking({
            let id = id.clone();
            move || Cgroups::find(&id).map(Arc::new)
        });
        let cgroups = cgroups.await.map_err(NodeError::internal("look for control groups"))?;
        let launches = Arc::new(Launches::new(launcher, mechanisms, cgroups.clone()));
        let steps = Arc::new(Steps::new(launches.clone()));
        let environments = Environments::new(
            options.environments.clone(),
            options.installer.clone(),
            options.path.clone(),
            steps.clone(),
        );
        let at_a_time = options.max_processes.saturating_mul(MAX_DEPTH as usize).saturating_add(options.max_runs);
        let walls = Walls::new(launches, options.caps, at_a_time, address.port(), &data);
        let walls = Arc::new(walls.map_err(NodeError::internal("make its scratch folder"))?);
        let binaries = Binaries::new(
            data.join("binaries"),
            options.crates.clone(),
            options.installer.clone(),
            options.rustup.clone(),
            options.path.clone(),
            steps,
        );
        let registry = RegistryClient::new(options.registry.clone(), options.http.clone(), None)
            .with_policy(options.policy.clone());
        let directory = Directory::new(registry.clone(), options.peer_owners.clone(), id.clone());
        let installs = Installs::new(&data, environments, binaries, registry);
        installs.sweep().map_err(NodeError::internal("clear what was left half done"))?;
        let storage = data.join("storage");
        let inference = Inference::new(options.providers.clone());
        let core = Arc::new(Core {
            access: Access::new(&options, store.clone()),
            addresses: Addresses::new(id.clone(), address, listed, inference.names(), walls.stand()),
            egress: Egress::new(&options.egress, options.proxies.clone()),
            egress_port: walls.proxy_port().unwrap_or(egress_port),
            inference,
            database: Database::new(storage.clone(), options.quota),
            files: Files::open(&storage, options.quota).map_err(NodeError::internal("open its users' files"))?,
            contents: Contents::open(&storage, options.quota)
                .map_err(NodeError::internal("open its users' contents"))?,
            parents: Parents::new(walls.clone()),
            is_tidy: AtomicBool::new(true),
            interpreters: Interpreters::new(walls.clone()),
            walls,
            installs,
            peers: Peers::new(options.peers.clone(), directory, options.http.clone()),
            secrets: Secrets::new(data.join("secrets")),
            turns: Turns::default(),
            runs: Runs::new(options.max_runs, options.max_processes),
            starting: Arc::new(Semaphore::new(2 * std::thread::available_parallelism().map_or(1, usize::from))),
            cgroups,
            key,
            id,
            options,
            store,
            _lock: lock,
        });
        core.recover().await?;
        tokio::spawn(look_after_parents(Arc::downgrade(&core)));
        Ok(core)
    }
}
