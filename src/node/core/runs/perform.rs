//! A run whose turn has come, seen through to its end.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{ActiveRun, Core, LINES, NodeError, Progress, Turn, now};
use crate::{
    crash,
    node::{
        core::{installs::Installed, own_calls::RunCalls, surroundings::Surroundings},
        runtime::{Code, Ended, Leaving, Worker, execute},
        store::StoredRun,
    },
    wire::{EventPayload, RunEvent, RunStatus},
};

/// How a run has ended, and what is left of it.
type Performed = (Ended, Option<Box<Rest>>);

/// What is left of a run that has its result, with all that it holds as long as that is there.
struct Rest {
    leaving: Leaving,
    _surroundings: Surroundings,
    _turn: Turn,
}

impl Rest {
    /// Returns once nothing of it is left.
    async fn gone(self) {
        self.leaving.gone().await;
    }
}

impl Core {
    /// Sees a run through to its end, which is always stored. Does nothing when somebody does already.
    pub(super) async fn perform(self: Arc<Self>, run: Arc<ActiveRun>, turn: Option<Turn>) {
        if !run.claim() {
            return;
        }
        let (ended, rest) = match AssertUnwindSafe(self.attempt(&run, turn)).catch_unwind().await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => (Ended::Failed(error.problem().detail), None),
            Err(_) => (Ended::Failed("the node has a defect and could not run the module".to_owned()), None),
        };
        let (status, result, error) = match ended {
            Ended::Completed(result) => (RunStatus::Completed, Some(result), None),
            Ended::Failed(error) => (RunStatus::Error, None, Some(error)),
            Ended::Cancelled => match run.reason.get() {
                Some(reason) => (RunStatus::Error, None, Some((*reason).to_owned())),
                None => (RunStatus::Cancelled, None, Some("cancelled".to_owned())),
            },
        };
        // While its end is stored, what is left of it goes.
        let gone = async {
            if let Some(rest) = rest {
                rest.gone().await;
            }
        };
        // On the heap, and only now: thousands may wait for their turn.
        Box::pin(self.end_with(&run, status, result, error, gone)).await;
    }

    /// Ends a run of which nothing is left.
    pub(super) async fn end(&self, run: &ActiveRun, status: RunStatus, result: Option<String>, error: Option<String>) {
        self.end_with(run, status, result, error, async {}).await;
    }

    /// Stores a run's end, and tells it once `gone` is over too.
    async fn end_with(
        &self,
        run: &ActiveRun,
        status: RunStatus,
        result: Option<String>,
        error: Option<String>,
        gone: impl Future<Output = ()>,
    ) {
        run.cancel.cancel();
        let (ended, mut wait) = (now(), Duration::from_millis(100));
        // Told only once it is stored, which on a full disk is when there is room again. Should the node end before, the
        // next start finds the run unfinished.
        let mut last = None;
        let mut stored = async || {
            let number = self.store.finish_run(&run.id, status, result.clone(), error.clone(), ended).await?;
            if let Some(seq) = number {
                let payload = EventPayload::Status { status, message: error.clone() };
                last = Some(RunEvent { seq, time: ended, payload });
                run.stored_events(1);
            }
            self.store.settle().await
        };
        let storing = async {
            while let Err(reason) = stored().await {
                tracing::error!(
                    run = run.id,
                    error = format!("{reason:#}"),
                    "failed to store a run's end; trying again"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(10));
            }
        };
        tokio::join!(storing, gone);
        if run.has_secrets {
            self.forget_secrets_of_runs(Some(&run.root)).await;
        }
        // Nobody else sets it.
        let _ = run.outcome.set(result.ok_or_else(|| error.unwrap_or_default()));
        self.runs.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&run.id);
        run.progress.send_replace(Progress { has_ended: true, last });
    }

    async fn attempt(self: &Arc<Self>, run: &Arc<ActiveRun>, turn: Option<Turn>) -> Result<Performed, NodeError> {
        if run.cancel.is_cancelled() {
            return Ok((Ended::Cancelled, None));
        }
        let modules = tokio::select! {
            modules = self.modules_of(run.modules()?) => modules?,
            () = run.cancel.cancelled() => return Ok((Ended::Cancelled, None)),
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
            Code::Python(python) if self.shares(&installed) => Worker::Shared(self.interpreters.of(python, tenant)),
            code => {
                let parent = self.parents.of(self.installs.origin(code, &revision.owner), tenant);
                self.parents.keep(&revision.name, revision.revision, [parent.clone()]);
                Worker::Process(parent)
            }
        };
        let turn = match (turn, &worker) {
            (Some(turn), _) => turn,
            (None, Worker::Shared(_)) => Turn::Free,
            (None, Worker::Process(_)) => tokio::select! {
                slot = self.runs.processes.take(run.depth, &run.root) => Turn::Called(slot),
                () = run.cancel.cancelled() => return Ok((Ended::Cancelled, None)),
            },
        };
        // As in `perform`.
        Box::pin(self.carry_through(run, &installed, code, &worker, turn)).await
    }

    /// A run whose turn has come, from its start to the end of its process.
    async fn carry_through(
        self: &Arc<Self>,
        run: &Arc<ActiveRun>,
        installed: &Installed,
        code: &Code,
        worker: &Worker,
        turn: Turn,
    ) -> Result<Performed, NodeError> {
        crash::point("run.starting").map_err(NodeError::internal("store the run's start"))?;
        run.egress.open(&installed.manifest);
        // The module may not do anything before its start is stored; what it is given is made meanwhile.
        let (stored, surroundings, secrets, code) = tokio::join!(
            self.started_run(run),
            self.surroundings(worker.place(), &run.id, &run.secret, &installed.manifest),
            self.secrets_of_run(run, &run.module),
            worker.show(code),
        );
        let (stored, started) = stored?;
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
        let ((ended, leaving), ()) =
            tokio::join!(execute(worker, execution, lines, run.cancel.clone()), self.keep_lines(run, received));
        let rest = leaving.map(|leaving| Box::new(Rest { leaving, _surroundings: surroundings, _turn: turn }));
        if let Err(error) = crash::point("run.executed").map_err(NodeError::internal("read the run's result")) {
            if let Some(rest) = rest {
                rest.gone().await;
            }
            return Err(error);
        }
        Ok((ended, rest))
    }

    /// A run whose start is stored, and when that was.
    async fn started_run(&self, run: &ActiveRun) -> Result<(Arc<StoredRun>, Timestamp), NodeError> {
        let accepted = run.stored.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stored, started)) = accepted.and_then(|run| run.view.started.map(|started| (run, started))) {
            return Ok((stored, started));
        }
        let now = Timestamp::now();
        let (stored, started) = tokio::join!(self.stored_run(&run.id), self.store.start_run(&run.id, now));
        started.map_err(NodeError::internal("store the run's start"))?;
        run.stored_events(1);
        run.progress.send_modify(|_| {});
        Ok((Arc::new(stored?), now))
    }

    /// Whether a module's runs share an interpreter: it asks for that, and the operator allows it.
    pub(super) fn shares(&self, installed: &Installed) -> bool {
        installed.asks_to_share() && self.options.allow_shared
    }
}
