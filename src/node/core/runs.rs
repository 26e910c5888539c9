//! Runs: accepted, queued, performed, cancelled; followed by their events, and picked up again after a restart.

mod events;
mod recovery;
mod slots;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use semver::Version;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::slots::Slots;
use super::{
    super::{
        queue::{MemoryQueue, Queue},
        runtime::{Code, Ended, Worker, execute},
        store::StoredRun,
    },
    Core, NodeError,
    demand::{Demand, Found},
    egress::RunEgress,
    installs::Installed,
    own_calls::RunCalls,
    secrets::RunSecrets,
};
use crate::{
    config::{Deployment, overlay, resolve},
    crash,
    identity::random_hex,
    module::ModuleId,
    node::error::reason,
    wire::{DeploymentView, EventPayload, RunStatus, RunView},
};

/// Lines that may wait to be stored before the module that prints them is held back.
const LINES: usize = 1024;

/// How deep calls may nest.
const MAX_DEPTH: u32 = 32;

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
    /// The last event's number, and whether the run has ended.
    progress: watch::Sender<(u64, bool)>,
}

impl ActiveRun {
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
}

impl Waiting {
    /// By method only: a closure that named the field would capture it alone, and drop the guard at once.
    pub(in crate::node) fn run(&self) -> &ActiveRun {
        &self.run
    }

    /// Lets the run go on by itself.
    pub(super) fn detach(self) -> Arc<ActiveRun> {
        self.guard.disarm();
        self.run
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

    /// Accepts a run: once this returns, it is durable. Roots wait for their turn, children start at once.
    pub(super) async fn submit(self: &Arc<Self>, new: NewRun) -> Result<Waiting, NodeError> {
        if !(new.inputs.is_object() || new.inputs.is_null()) {
            return Err(NodeError::Invalid("`inputs` must be a JSON object".to_owned()));
        }
        // What runs in progress call for is a part of them.
        if new.origin.is_none() && self.runs.stopping.load(Ordering::Acquire) {
            return Err(NodeError::Stopping);
        }
        let parent = match &new.origin {
            Some(Origin::Local(parent)) => Some(parent.clone()),
            _ => None,
        };
        let given = new.given.unwrap_or_default();
        let in_revision = match &new.origin {
            Some(Origin::Local(parent)) => Some((parent.modules()?.clone(), false)),
            Some(Origin::Forwarded { part, .. }) => Some((part.clone(), true)),
            None => None,
        };
        let (modules, deployment, next) = match in_revision {
            Some((modules, is_root)) => {
                version_in(&modules, &new.module)?;
                let deployment = self.resolve_for_run(&new.module, &given, &modules, is_root).await?;
                (Some(modules), deployment, Next::Start)
            }
            None => match self.find(&new.module, &new.consumer, Some(given), new.on_demand).await? {
                Found::Live(modules, deployment) => (Some(modules), *deployment, Next::Queue),
                Found::Missing(demand) => (None, demand.given.clone(), Next::Prepare(demand)),
            },
        };
        let version = modules.as_ref().map(|modules| version_in(modules, &new.module)).transpose()?;
        let depth = match &new.origin {
            Some(Origin::Local(parent)) => parent.depth + 1,
            Some(Origin::Forwarded { depth, .. }) => *depth,
            None => 0,
        };
        if depth > MAX_DEPTH {
            return Err(NodeError::Invalid(format!("calls are nested more than {MAX_DEPTH} deep")));
        }
        let id = Uuid::now_v7().simple().to_string();
        let (root, parent_id) = match &new.origin {
            None => (id.clone(), None),
            Some(Origin::Local(parent)) => (parent.root.clone(), Some(parent.id.clone())),
            Some(Origin::Forwarded { root, parent, .. }) => (root.clone(), Some(parent.clone())),
        };
        let view = RunView {
            id: id.clone(),
            parent: parent_id,
            root: root.clone(),
            module: new.module,
            version,
            consumer: new.consumer.clone(),
            status: RunStatus::Pending,
            inputs: new.inputs,
            result: None,
            error: None,
            created: Timestamp::now(),
            started: None,
            finished: None,
        };
        let deployment = serde_json::to_value(&deployment).map_err(NodeError::internal("write a deployment"))?;
        let of = match &next {
            Next::Prepare(demand) => demand.base.as_ref(),
            Next::Queue | Next::Start => modules.as_ref(),
        };
        let revision = of.map(|view| (view.name.clone(), view.revision)).unwrap_or_default();
        let stored = StoredRun { view, deployment, revision, signature: new.signature };
        let via = match &new.origin {
            None => None,
            Some(Origin::Local(parent)) => parent.via.clone(),
            Some(Origin::Forwarded { from, .. }) => Some(from.clone()),
        };
        let has_secrets = !new.secrets.is_empty();
        let foreign = new.secrets.foreign.clone();
        if has_secrets {
            self.keep_for_run(&new.consumer, &root, new.secrets).await?;
        }
        let cancel = parent.as_ref().map_or_else(CancellationToken::new, |parent| parent.cancel.child_token());
        let guard = cancel.clone().drop_guard();
        let run = ActiveRun {
            id,
            module: stored.view.module.clone(),
            secret: random_hex(16),
            consumer: new.consumer,
            root,
            depth,
            modules: modules.map(OnceLock::from).unwrap_or_default(),
            via,
            has_secrets,
            cancel,
            claimed: AtomicBool::new(false),
            reason: OnceLock::new(),
            egress: RunEgress::default(),
            outcome: OnceLock::new(),
            progress: watch::Sender::new((0, false)),
        };
        let core = self.clone();
        // A task of its own: a caller that hangs up now must not leave a run that is stored and never started.
        let accepted = tokio::spawn(async move { core.accept(stored, run, parent, next).await });
        let run = accepted.await.map_err(NodeError::internal("accept the run"))??;
        for name in foreign {
            let text =
                format!("napt: the secret `{name}` came with the run and is left out: another node's key sealed it");
            let line = EventPayload::Line { stream: "stderr".to_owned(), text };
            self.record(&run, vec![(Timestamp::now(), line)]).await;
        }
        Ok(Waiting { run, guard })
    }

    async fn accept(
        self: &Arc<Self>,
        stored: StoredRun,
        run: ActiveRun,
        parent: Option<Arc<ActiveRun>>,
        next: Next,
    ) -> Result<Arc<ActiveRun>, NodeError> {
        let module = stored.view.module.clone();
        crash::point("run.accepting").map_err(NodeError::internal("store the run"))?;
        self.store.create_run(stored).await.map_err(NodeError::internal("store the run"))?;
        let run = self.activate(run);
        if let Some(parent) = parent {
            let payload = EventPayload::Call { run: run.id.clone(), module, node: self.id.clone() };
            self.record(&parent, vec![(Timestamp::now(), payload)]).await;
        }
        match next {
            Next::Queue => self.enqueue(&run).await,
            Next::Start => drop(tokio::spawn(self.clone().perform(run.clone()))),
            Next::Prepare(demand) => self.prepare(&run, *demand),
        }
        Ok(run)
    }

    /// Lets a run wait for its turn.
    async fn enqueue(self: &Arc<Self>, run: &Arc<ActiveRun>) {
        self.runs.queue.push(run.id.clone()).await;
        self.end_when_cancelled(run);
    }

    /// One that is cancelled while it waits ends at once.
    fn end_when_cancelled(self: &Arc<Self>, run: &Arc<ActiveRun>) {
        let (core, run) = (self.clone(), run.clone());
        tokio::spawn(async move {
            run.cancel.cancelled().await;
            core.perform(run).await;
        });
    }

    /// Lets a run wait until what it needs is deployed, and then for its turn.
    fn prepare(self: &Arc<Self>, run: &Arc<ActiveRun>, demand: Demand) {
        self.end_when_cancelled(run);
        let (core, run) = (self.clone(), run.clone());
        tokio::spawn(async move {
            match core.prepared(&run, demand).await {
                Ok(()) => core.runs.queue.push(run.id.clone()).await,
                Err(error) if run.claim() => {
                    core.end(&run, RunStatus::Error, None, Some(error.problem().detail)).await;
                }
                Err(_) => {}
            }
        });
    }

    async fn prepared(self: &Arc<Self>, run: &ActiveRun, demand: Demand) -> Result<(), NodeError> {
        let (module, given) = (demand.module.clone(), demand.given.clone());
        let view = self.fulfil(demand).await?;
        let version = version_in(&view, &module)?;
        let deployment = self.resolve_for_run(&module, &given, &view, true).await?;
        let deployment = serde_json::to_value(&deployment).map_err(NodeError::internal("write a deployment"))?;
        let revision = (view.name.clone(), view.revision);
        let assigned = self.store.assign_run(&run.id, &version, deployment, revision).await;
        assigned.map_err(NodeError::internal("store the run"))?;
        // Nobody else sets it.
        let _ = run.modules.set(view);
        Ok(())
    }

    /// What is given over what was deployed, resolved and placed.
    pub(super) async fn resolve_for_run(
        &self,
        module: &ModuleId,
        given: &Deployment,
        modules: &DeploymentView,
        is_root: bool,
    ) -> Result<Deployment, NodeError> {
        let mut given = given.clone();
        if is_root && modules.module == *module {
            given = overlay(&given, &modules.deployment)
                .map_err(|error| NodeError::Invalid(format!("the deployment is not valid: {}", reason(&error))))?;
        }
        let catalog = self.modules_of(modules).await?;
        let mut deployment = resolve(module, &given, &catalog)?;
        if let (Some(entry), Ok(version)) = (&mut deployment.module, version_in(modules, module)) {
            entry.extra.insert("module_version".to_owned(), version.to_string().into());
        }
        NodeError::all(self.place(&mut deployment).await).map_or(Ok(deployment), Err)
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
                    core.perform(run).await;
                    drop(slot);
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
            let _ = run.progress.subscribe().wait_for(|(_, ended)| *ended).await;
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

    /// Sees a run through to its end, which is always stored. Does nothing when somebody does already.
    async fn perform(self: Arc<Self>, run: Arc<ActiveRun>) {
        if !run.claim() {
            return;
        }
        let ended = match AssertUnwindSafe(self.attempt(&run)).catch_unwind().await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => Ended::Failed(error.problem().detail),
            Err(_) => Ended::Failed("the node has a defect and could not run the module".to_owned()),
        };
        let (status, result, error) = match ended {
            Ended::Completed(result) => (RunStatus::Completed, Some(result), None),
            Ended::Failed(error) => (RunStatus::Error, None, Some(error)),
            Ended::Cancelled => match run.reason.get() {
                Some(reason) => (RunStatus::Error, None, Some((*reason).to_owned())),
                None => (RunStatus::Cancelled, None, Some("cancelled".to_owned())),
            },
        };
        self.end(&run, status, result, error).await;
    }

    async fn end(&self, run: &ActiveRun, status: RunStatus, result: Option<String>, error: Option<String>) {
        run.cancel.cancel();
        let mut wait = Duration::from_millis(100);
        // Told only once it is stored, which on a full disk is when there is room again. Should the node end before, the
        // next start finds the run unfinished.
        while let Err(reason) =
            self.store.finish_run(&run.id, status, result.clone(), error.clone(), Timestamp::now()).await
        {
            tracing::error!(run = run.id, error = format!("{reason:#}"), "failed to store a run's end; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
        if run.has_secrets {
            self.forget_secrets_of_runs(Some(&run.root)).await;
        }
        // Nobody else sets it.
        let _ = run.outcome.set(result.ok_or_else(|| error.unwrap_or_default()));
        self.runs.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&run.id);
        run.progress.send_modify(|(_, ended)| *ended = true);
    }

    async fn attempt(self: &Arc<Self>, run: &Arc<ActiveRun>) -> Result<Ended, NodeError> {
        if run.cancel.is_cancelled() {
            return Ok(Ended::Cancelled);
        }
        let modules = tokio::select! {
            modules = self.modules_of(run.modules()?) => modules?,
            () = run.cancel.cancelled() => return Ok(Ended::Cancelled),
        };
        let installed = modules
            .get(&run.module)
            .ok_or_else(|| NodeError::missing(format!("`{}` is not installed", run.module)))?
            .clone();
        let Some(code) = &installed.code else {
            return Err(NodeError::Invalid(format!("`{}` is data and cannot be run", run.module)));
        };
        let revision = run.modules()?;
        // Nobody's runs are begun by a process that ran for somebody else.
        let tenant = &run.consumer;
        let worker = match code {
            Code::Python(python) if installed.asks_to_share() && self.options.allow_shared => {
                Worker::Shared(self.interpreters.of(python, tenant))
            }
            code => {
                let parent = self.parents.of(self.installs.origin(code, &revision.owner), tenant);
                self.parents.keep(&revision.name, revision.revision, [parent.clone()]);
                Worker::Process(parent)
            }
        };
        // Roots have come through the queue, and what shares an interpreter takes no process.
        let _slot = match &worker {
            Worker::Process(_) if run.depth > 0 => tokio::select! {
                slot = self.runs.processes.take(run.depth, &run.root) => Some(slot),
                () = run.cancel.cancelled() => return Ok(Ended::Cancelled),
            },
            _ => None,
        };
        // On the heap, and only now: thousands may wait for their slot.
        Box::pin(self.carry_through(run, &installed, code, &worker)).await
    }

    /// A run whose turn has come, from its start to the end of its process.
    async fn carry_through(
        self: &Arc<Self>,
        run: &Arc<ActiveRun>,
        installed: &Installed,
        code: &Code,
        worker: &Worker,
    ) -> Result<Ended, NodeError> {
        crash::point("run.starting").map_err(NodeError::internal("store the run's start"))?;
        let started = Timestamp::now();
        run.egress.open(&installed.manifest);
        // The module may not do anything before its start is stored; what it is given is made meanwhile.
        let (stored, stored_start, surroundings, secrets, code) = tokio::join!(
            self.stored_run(&run.id),
            self.store.start_run(&run.id, started),
            self.surroundings(worker.place(), &run.id, &run.secret, &installed.manifest),
            self.secrets_of_run(run, &run.module),
            worker.show(code),
        );
        let stored = stored?;
        let seq = stored_start.map_err(NodeError::internal("store the run's start"))?;
        run.progress.send_modify(|(last, _)| *last = seq);
        if installed.asks_to_share() && !self.options.allow_shared {
            let text = "napt: this node does not allow `isolation = \"shared\"`: the run has a process of its own";
            let line = EventPayload::Line { stream: "stderr".to_owned(), text: text.to_owned() };
            self.record(run, vec![(started, line)]).await;
        }
        crash::point("run.started").map_err(NodeError::internal("make a scratch folder"))?;
        let code = code.map_err(NodeError::internal("show a module to its runs"))?;
        let surroundings = surroundings?.with_secrets(secrets?);
        crash::point("run.scratch").map_err(NodeError::internal("write a delegate key"))?;
        let module_run = self.module_run(run, &stored, started)?;
        let calls = RunCalls::of(self, run);
        let execution =
            self.execution(&installed.manifest, &code, &surroundings, run.depth, Some(module_run), Some(calls));
        let (lines, received) = mpsc::channel(LINES);
        let (ended, ()) =
            tokio::join!(execute(worker, execution, lines, run.cancel.clone()), self.keep_lines(run, received));
        crash::point("run.executed").map_err(NodeError::internal("read the run's result"))?;
        Ok(ended)
    }

    /// A run as it is stored.
    pub(in crate::node) async fn stored_run(&self, id: &str) -> Result<StoredRun, NodeError> {
        let run = self.store.run(id).await.map_err(NodeError::internal("read a run"))?;
        run.ok_or_else(|| NodeError::no_run(id))
    }

    /// Waits for a run's end.
    pub(in crate::node) async fn wait(&self, run: &ActiveRun) -> Result<StoredRun, NodeError> {
        // As it is stored.
        let _ = self.outcome(run).await;
        self.stored_run(&run.id).await
    }

    /// Waits for a run's end: its result, or why there is none.
    pub(super) async fn outcome(&self, run: &ActiveRun) -> Result<String, String> {
        // The sender lives in the run itself.
        let _ = run.progress.subscribe().wait_for(|(_, ended)| *ended).await;
        run.outcome.get().cloned().unwrap_or_else(|| Err(String::new()))
    }

    /// Asks a run to end. Asking again, or after its end, is fine.
    pub(in crate::node) fn cancel(&self, id: &str) {
        if let Some(run) = self.active(id) {
            run.cancel.cancel();
        }
    }
}
