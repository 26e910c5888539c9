//! Runs: accepted, queued, performed, cancelled; followed by their events, and picked up again after a restart.

mod accept;
mod events;
mod perform;
mod recovery;
mod slots;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use semver::Version;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::slots::{Slot, Slots};
use super::{
    super::{
        queue::{MemoryQueue, Queue},
        store::StoredRun,
    },
    Core, NodeError,
    demand::{Demand, Found},
    egress::RunEgress,
    secrets::RunSecrets,
};
use crate::{
    config::Deployment,
    module::ModuleId,
    wire::{DeploymentView, RunEvent},
};

/// Lines that may wait to be stored before the module that prints them is held back.
const LINES: usize = 1024;

/// How deep calls may nest.
pub(super) const MAX_DEPTH: u32 = 32;

/// A run that has not ended.
#[derive(Debug)]
pub(in crate::node) struct ActiveRun {
    pub(super) id: String,
    /// Its credential's secret part; it dies with the run.
    pub(super) secret: String,
    pub(super) consumer: String,
    pub(super) root: String,
    pub(super) depth: u32,
    /// The modules that it may call; set before it is started.
    modules: OnceLock<Arc<DeploymentView>>,
    /// What is run.
    module: ModuleId,
    /// The node that the tree came from, if not from a user.
    pub(super) via: Option<String>,
    /// Whether secrets came with it, which end with it.
    has_secrets: bool,
    /// Cancelled when the run ends, however it does: its children end with it.
    pub(super) cancel: CancellationToken,
    /// Set by whoever sees it through to its end: its turn, or its cancellation before that.
    claimed: AtomicBool,
    /// Why the node ends it before it is done, if nobody asked for that.
    reason: OnceLock<&'static str>,
    /// What it may reach beyond the node.
    pub(super) egress: RunEgress,
    /// Its result, or why there is none; set before anybody is told that it has ended.
    outcome: OnceLock<Result<String, String>>,
    /// As it was stored when it started at once, until that is needed.
    stored: Mutex<Option<Arc<StoredRun>>>,
    /// Its first event, when it started at once.
    first: Option<RunEvent>,
    /// How many events are stored at the least; past all numbers when nobody has counted. Who has so many need not look for more.
    events: AtomicU64,
    /// Told when there are new events, and of the end.
    progress: watch::Sender<Progress>,
}

/// How far a run is.
#[derive(Debug, Default)]
struct Progress {
    /// Whether it has ended, and that is stored.
    has_ended: bool,
    /// Its last event then, unless another process has stored that.
    last: Option<RunEvent>,
}

/// Events of a run that was accepted by an earlier process.
const NOT_COUNTED: u64 = 1 << 63;

/// Now, as exactly as it is stored.
fn now() -> Timestamp {
    let now = Timestamp::now();
    // Less of what is in range is in range.
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

impl ActiveRun {
    /// So many more events are stored.
    fn stored_events(&self, count: usize) {
        self.events.fetch_add(count as u64, Ordering::AcqRel);
    }

    /// The run's id.
    pub(in crate::node) fn id(&self) -> &str {
        &self.id
    }

    /// The revision that it is for: the modules that it may call.
    pub(super) fn modules(&self) -> Result<&Arc<DeploymentView>, NodeError> {
        self.modules.get().ok_or_else(|| NodeError::Conflict(format!("the run `{}` has not started", self.id)))
    }

    /// True for the first who asks.
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }
}

/// A run that is cancelled when whoever waits for it goes away before its end.
#[derive(Debug)]
pub(in crate::node) struct Waiting {
    run: Arc<ActiveRun>,
    guard: DropGuard,
    /// As it was accepted, for whoever is about to be answered. What runs call for is waited for instead.
    accepted: Option<Arc<StoredRun>>,
}

impl Waiting {
    /// By method only: a closure that named the field would capture it alone, and drop the guard at once.
    pub(in crate::node) fn run(&self) -> &ActiveRun {
        &self.run
    }
}

/// Where a run comes from, other than from a user.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A run of this node.
    Local(Arc<ActiveRun>),
    /// A run of a peer: that node, root and parent as that node calls them, the revision that it has deployed here, and how deep
    /// calls are nested already.
    Forwarded { from: String, root: String, parent: String, part: Arc<DeploymentView>, depth: u32 },
}

/// A run to be accepted.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) module: ModuleId,
    pub(super) inputs: Value,
    pub(super) consumer: String,
    pub(super) signature: String,
    pub(super) given: Option<Deployment>,
    pub(super) origin: Option<Origin>,
    /// Whether what is not deployed is installed for it.
    pub(super) on_demand: bool,
    pub(super) secrets: RunSecrets,
}

/// What comes after a run is accepted.
#[derive(Debug)]
enum Next {
    /// Its turn.
    Queue,
    /// Its process.
    Start,
    /// What it needs is deployed.
    Prepare(Box<Demand>),
}

/// What a run holds from its turn to its end.
#[derive(Debug)]
enum Turn {
    /// A place among roots.
    Root(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit),
    /// A process among those of what runs call for.
    Called(#[expect(dead_code, reason = "held")] Slot),
    /// Nothing, since it shares an interpreter.
    Free,
}

/// All runs that have not ended, and their turn.
#[derive(Debug)]
pub(super) struct Runs {
    active: Mutex<HashMap<String, Arc<ActiveRun>>>,
    queue: Box<dyn Queue>,
    /// Only roots take a slot: a run that waits for its children holds none that they need.
    slots: Arc<Semaphore>,
    /// Of what runs call for.
    processes: Arc<Slots>,
    /// Set when the node is to end: then no new roots are accepted or started.
    stopping: AtomicBool,
}

impl Runs {
    pub(super) fn new(max_runs: usize, max_processes: usize) -> Self {
        Runs {
            active: Mutex::default(),
            queue: Box::new(MemoryQueue::new()),
            slots: Arc::new(Semaphore::new(max_runs.max(1))),
            processes: Slots::new(max_processes),
            stopping: AtomicBool::new(false),
        }
    }
}

/// The version of a module in a revision.
fn version_in(modules: &DeploymentView, module: &ModuleId) -> Result<Version, NodeError> {
    let pin = modules.modules.iter().find(|pin| pin.id == *module);
    pin.map(|pin| pin.version.clone()).ok_or_else(|| NodeError::NotFound {
        what: format!("`{module}` is not part of the deployment `{}`", modules.name),
        hint: Some(format!("add it to `[dependencies]` of `{}` and deploy again", modules.module)),
    })
}

impl Core {
    /// A run that has not ended.
    pub(in crate::node) fn active(&self, id: &str) -> Option<Arc<ActiveRun>> {
        self.runs.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(id).cloned()
    }

    fn activate(&self, run: ActiveRun) -> Arc<ActiveRun> {
        let run = Arc::new(run);
        let mut active = self.runs.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        active.insert(run.id.clone(), run.clone());
        run
    }

    /// Starts what turns queued runs into running ones.
    pub(in crate::node) fn dispatch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let core = self.clone();
        tokio::spawn(async move {
            while let Ok(slot) = core.runs.slots.clone().acquire_owned().await {
                let id = core.runs.queue.pop().await;
                if core.runs.stopping.load(Ordering::Acquire) {
                    break;
                }
                let Some(run) = core.active(&id) else { continue };
                let core = core.clone();
                tokio::spawn(async move {
                    core.perform(run, Some(Turn::Root(slot))).await;
                });
            }
        })
    }

    /// Accepts and starts no more roots. Those that wait do so until the next start.
    pub(in crate::node) fn stop_accepting(&self) {
        self.runs.stopping.store(true, Ordering::Release);
    }

    /// The runs that have been started and not ended.
    pub(in crate::node) fn started(&self) -> Vec<Arc<ActiveRun>> {
        let active = self.runs.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        active.values().filter(|run| run.claimed.load(Ordering::Acquire)).cloned().collect()
    }

    /// Waits until all runs that have been started have ended, and with them what they call for.
    pub(in crate::node) async fn idle(&self) {
        while let Some(run) = self.started().first() {
            // The sender lives in the run itself.
            let _ = run.progress.subscribe().wait_for(|progress| progress.has_ended).await;
        }
    }

    /// Ends all runs that have been started.
    pub(in crate::node) fn end_all(&self, reason: &'static str) {
        let started = self.started();
        // Before any of them is told: children end with their parents.
        for run in &started {
            // One that has a reason keeps it.
            let _ = run.reason.set(reason);
        }
        for run in started {
            run.cancel.cancel();
        }
    }

    /// A run as it is stored.
    pub(in crate::node) async fn stored_run(&self, id: &str) -> Result<StoredRun, NodeError> {
        let run = self.store.run(id).await.map_err(NodeError::internal("read a run"))?;
        run.ok_or_else(|| NodeError::no_run(id))
    }

    /// Lets a run go on by itself. Once this returns it outlives the machine's power, and may be answered as accepted.
    pub(super) async fn let_go(&self, waiting: Waiting) -> Result<Arc<StoredRun>, NodeError> {
        self.store.settle().await.map_err(NodeError::internal("store the run"))?;
        waiting.guard.disarm();
        match waiting.accepted {
            Some(accepted) => Ok(accepted),
            None => self.stored_run(waiting.run.id()).await.map(Arc::new),
        }
    }

    /// Waits for a run's end.
    pub(in crate::node) async fn wait(&self, run: &ActiveRun) -> Result<StoredRun, NodeError> {
        // As it is stored.
        let _ = self.outcome(run).await;
        // On the heap, and only now: thousands may wait.
        Box::pin(self.stored_run(&run.id)).await
    }

    /// Waits for a run's end: its result, or why there is none.
    pub(super) async fn outcome(&self, run: &ActiveRun) -> Result<String, String> {
        // The sender lives in the run itself.
        let _ = run.progress.subscribe().wait_for(|progress| progress.has_ended).await;
        run.outcome.get().cloned().unwrap_or_else(|| Err(String::new()))
    }

    /// Asks a run to end. Asking again, or after its end, is fine.
    pub(in crate::node) fn cancel(&self, id: &str) {
        if let Some(run) = self.active(id) {
            run.cancel.cancel();
        }
    }
}
