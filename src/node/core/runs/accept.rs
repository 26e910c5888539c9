//! How a run is accepted: what it is for, what is stored of it, and whether its turn has come.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    ActiveRun, Core, Demand, Found, MAX_DEPTH, NewRun, Next, NodeError, Origin, Turn, Waiting, now, version_in,
};
use crate::{
    config::{Deployment, overlay, resolve},
    crash,
    identity::random_hex,
    module::ModuleId,
    node::{core::egress::RunEgress, error::reason, store::StoredRun},
    wire::{DeploymentView, EventPayload, RunEvent, RunStatus, RunView},
};

impl Core {
    /// Accepts a run: once this returns, it outlives this process. It starts at once when there is room for it, and waits for
    /// its turn else.
    pub(in crate::node::core) async fn submit(self: &Arc<Self>, new: NewRun) -> Result<Waiting, NodeError> {
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
        let created = now();
        let (root, parent_id) = match &new.origin {
            None => (id.clone(), None),
            Some(Origin::Local(parent)) => (parent.root.clone(), Some(parent.id.clone())),
            Some(Origin::Forwarded { root, parent, .. }) => (root.clone(), Some(parent.clone())),
        };
        let turn = match (&next, &modules) {
            // Free only when nobody waits.
            (Next::Queue, _) => self.runs.slots.clone().try_acquire_owned().ok().map(Turn::Root),
            (Next::Start, Some(modules)) => self.turn_of_call(modules, &new.module, depth).await?,
            _ => None,
        };
        let view = RunView {
            id: id.clone(),
            parent: parent_id,
            root: root.clone(),
            module: new.module,
            version,
            consumer: new.consumer.clone(),
            status: if turn.is_some() { RunStatus::Processing } else { RunStatus::Pending },
            inputs: new.inputs,
            result: None,
            error: None,
            created,
            started: turn.is_some().then_some(created),
            finished: None,
        };
        let deployment = serde_json::to_value(&deployment).map_err(NodeError::internal("write a deployment"))?;
        let of = match &next {
            Next::Prepare(demand) => demand.base.as_ref(),
            Next::Queue | Next::Start => modules.as_ref(),
        };
        let revision = of.map(|view| (view.name.clone(), view.revision)).unwrap_or_default();
        let stored = Arc::new(StoredRun { view, deployment, revision, signature: new.signature });
        let accepted = new.origin.is_none().then(|| stored.clone());
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
            stored: turn.is_some().then(|| stored.clone()).into(),
            first: turn.is_some().then_some(RunEvent {
                seq: 1,
                time: created,
                payload: EventPayload::Status { status: RunStatus::Processing, message: None },
            }),
            events: AtomicU64::new(turn.is_some().into()),
            progress: watch::Sender::default(),
        };
        let core = self.clone();
        // A task of its own: a caller that hangs up now must not leave a run that is stored and never started.
        let accepting = tokio::spawn(async move { core.accept(stored, run, parent, next, turn).await });
        let run = accepting.await.map_err(NodeError::internal("accept the run"))??;
        for name in foreign {
            let text =
                format!("napt: the secret `{name}` came with the run and is left out: another node's key sealed it");
            let line = EventPayload::Line { stream: "stderr".to_owned(), text };
            self.record(&run, vec![(Timestamp::now(), line)]).await;
        }
        Ok(Waiting { run, guard, accepted })
    }

    async fn accept(
        self: &Arc<Self>,
        stored: Arc<StoredRun>,
        run: ActiveRun,
        parent: Option<Arc<ActiveRun>>,
        next: Next,
        turn: Option<Turn>,
    ) -> Result<Arc<ActiveRun>, NodeError> {
        let module = stored.view.module.clone();
        crash::point("run.accepting").map_err(NodeError::internal("store the run"))?;
        self.store.create_run(&stored).await.map_err(NodeError::internal("store the run"))?;
        let run = self.activate(run);
        if let Some(parent) = parent {
            let payload = EventPayload::Call { run: run.id.clone(), module, node: self.id.clone() };
            self.record(&parent, vec![(Timestamp::now(), payload)]).await;
        }
        match next {
            Next::Prepare(demand) => self.prepare(&run, *demand),
            Next::Queue if turn.is_none() => self.enqueue(&run).await,
            Next::Queue | Next::Start => drop(tokio::spawn(self.clone().perform(run.clone(), turn))),
        }
        Ok(run)
    }

    /// The turn of a run that another one calls for, unless it has to wait for it.
    async fn turn_of_call(
        &self,
        modules: &DeploymentView,
        module: &ModuleId,
        depth: u32,
    ) -> Result<Option<Turn>, NodeError> {
        let modules = self.modules_of(modules).await?;
        let shares = modules.get(module).is_some_and(|installed| self.shares(installed));
        Ok(if shares { Some(Turn::Free) } else { self.runs.processes.try_take(depth).map(Turn::Called) })
    }

    /// Lets a run wait for its turn.
    pub(super) async fn enqueue(self: &Arc<Self>, run: &Arc<ActiveRun>) {
        self.runs.queue.push(run.id.clone()).await;
        self.end_when_cancelled(run);
    }

    /// One that is cancelled while it waits ends at once.
    fn end_when_cancelled(self: &Arc<Self>, run: &Arc<ActiveRun>) {
        let (core, run) = (self.clone(), run.clone());
        tokio::spawn(async move {
            run.cancel.cancelled().await;
            core.perform(run, None).await;
        });
    }

    /// Lets a run wait until what it needs is deployed, and then for its turn.
    pub(super) fn prepare(self: &Arc<Self>, run: &Arc<ActiveRun>, demand: Demand) {
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
    pub(in crate::node::core) async fn resolve_for_run(
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
}
