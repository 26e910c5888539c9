//! The process of a parent, and what it is told and says.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use process_wrap::tokio::ChildWrapper;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, pipe},
    },
    sync::{Notify, oneshot},
};
use tokio_util::sync::DropGuard;

use super::{
    super::{
        RuntimeError,
        cgroups::{Bounds, Group},
        frames::{read_frame, write_frame, write_frame_with_fds},
        parents::Origin,
        walls::{Admitted, Confined, Place, Seal, Walls},
    },
    FORK_TIMEOUT, PARENT_FRAME, READY_TIMEOUT, SPARES,
    child::{Child, Exit, Forked},
};

/// How long a parent that nothing is forked from keeps its spares.
const COOL: Duration = Duration::from_secs(10);

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum ToParent<'a> {
    Start {
        imports: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        seal: Option<&'a Seal>,
    },
    Fork {
        run: &'a str,
    },
    Kill {
        run: &'a str,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum FromParent {
    Ready { warm: bool },
    Forked { run: String, pid: i32 },
    Refused { run: String, reason: String },
    Exited { run: String, status: i32 },
}

/// Who waits for what a parent says.
#[derive(Debug, Default)]
struct Waiters {
    /// Until it has imported what it was told to.
    ready: Option<oneshot::Sender<bool>>,
    runs: HashMap<String, Waiting>,
}

/// Who waits for what it says of a run.
#[derive(Debug)]
struct Waiting {
    /// Taken once it is forked, or refused with a reason.
    forked: Option<oneshot::Sender<Result<i32, String>>>,
    exited: oneshot::Sender<i32>,
}

/// When a parent was last used.
#[derive(Debug)]
pub(super) struct Used {
    told: Notify,
    at: Mutex<Instant>,
}

impl Used {
    pub(super) fn again(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.told.notify_one();
    }
}

impl Default for Used {
    fn default() -> Self {
        Used { told: Notify::new(), at: Mutex::new(Instant::now()) }
    }
}

/// The process of a parent.
#[derive(Debug)]
pub(in crate::node::runtime) struct Live {
    /// One frame at a time.
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    /// Nothing once it is gone.
    waiters: Arc<Mutex<Option<Waiters>>>,
    process: Mutex<Box<dyn ChildWrapper>>,
    /// Of itself; its children have groups of their own.
    group: Option<Arc<Group>>,
    walls: Arc<Walls>,
    /// What its children are shut in by. Where it is shut in, its processes end with it, and their numbers are not this machine's.
    seal: Option<Seal>,
    /// Of the run that was begun last, which the next one is likely to have too.
    bounds: Mutex<Bounds>,
    /// Children that wait for their run; each is for one.
    spares: Mutex<Vec<Forked>>,
    /// Children that have been spares, to name them.
    named: AtomicU64,
    /// Told when a run has ended, and when nobody needs this any more.
    used: Arc<Used>,
}

impl Live {
    /// Starts a process that imports nothing yet.
    pub(in crate::node::runtime) async fn start(
        walls: &Arc<Walls>,
        place: &Place,
        origin: &Origin,
    ) -> Result<Arc<Self>, RuntimeError> {
        let limits = walls.bounds();
        let runner;
        let (program, arguments, inner): (_, &[&OsStr], _) = match origin {
            Origin::Interpreter { python, .. } => {
                runner = python.arguments("napt_runner");
                let inner = Confined { read: python.paths(), limits, nested: true, ..Confined::default() };
                (&python.interpreter, &runner, inner)
            }
            Origin::Binary(binary) => {
                (binary, &[], Confined { read: vec![binary.clone()], limits, serves: true, ..Confined::default() })
            }
        };
        let (Admitted { process, stream, seal, served }, group) =
            walls.start_interpreter(place, inner, program, arguments).await?;
        let (reader, writer) = stream.into_split();
        let live = Arc::new(Live {
            writer: tokio::sync::Mutex::new(writer),
            waiters: Arc::new(Mutex::new(Some(Waiters::default()))),
            process: Mutex::new(process),
            group,
            walls: walls.clone(),
            seal,
            bounds: Mutex::new(walls.of_runs()),
            spares: Mutex::default(),
            named: AtomicU64::new(0),
            used: Arc::default(),
        });
        tokio::spawn(listen(reader, live.waiters.clone(), served));
        Ok(live)
    }

    /// Has it import these, and says whether it can be forked safely after that.
    pub(in crate::node::runtime) async fn get_ready(
        self: &Arc<Self>,
        imports: &[String],
    ) -> Result<bool, RuntimeError> {
        if !imports.is_empty() {
            // They do not have them.
            self.end_spares().await;
        }
        let (ready, answer) = oneshot::channel();
        if let Some(waiters) = &mut *self.waiters() {
            waiters.ready = Some(ready);
        }
        let asked = async {
            self.send(&ToParent::Start { imports, seal: self.seal.as_ref() }).await.ok()?;
            answer.await.ok()
        };
        let answered = tokio::time::timeout(READY_TIMEOUT, asked).await;
        answered.ok().flatten().ok_or_else(|| self.failed(RuntimeError::NotReady))
    }

    /// Forks a child that waits for a run.
    pub(in crate::node::runtime) async fn fork_spare(&self) -> Result<(), RuntimeError> {
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        let spare = self.fork(format!("spare-{number}")).await?;
        self.spares().push(spare);
        Ok(())
    }

    /// Keeps spares from the end of its first run on, until it has been idle for a while.
    pub(super) fn keep_spares(self: &Arc<Self>) {
        tokio::spawn(keep_spares(Arc::downgrade(self), self.used.clone()));
    }

    pub(super) fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the process itself.
    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_deref()
    }

    pub(super) fn is_walled(&self) -> bool {
        self.seal.is_some()
    }

    /// How long it has had no run.
    pub(super) fn idle(&self) -> Duration {
        self.used.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(in crate::node::runtime) fn is_over(&self) -> bool {
        self.waiters().is_none()
    }

    /// Tells it to kill a child.
    pub(super) async fn kill(&self, run: &str) -> std::io::Result<()> {
        self.send(&ToParent::Kill { run }).await
    }

    /// Kills a parent that does not answer; its children die with it.
    pub(super) fn abandon(&self) {
        // It may be dead by now.
        let _ = self.process.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        *self.waiters() = None;
    }

    /// A child that waits for its run.
    pub(super) fn take_spare(&self) -> Option<Forked> {
        let mut spares = self.spares();
        std::iter::from_fn(|| spares.pop()).find_map(|mut spare| spare.exit.is_open().then_some(spare))
    }

    /// A child for this run.
    pub(super) async fn fork(&self, name: String) -> Result<Forked, RuntimeError> {
        let (channel, channel_theirs) = std::os::unix::net::UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let (stdout_theirs, stdout) = pipe::pipe()?;
        let (stderr_theirs, stderr) = pipe::pipe()?;
        let stdout_theirs = stdout_theirs.into_blocking_fd()?;
        let stderr_theirs = stderr_theirs.into_blocking_fd()?;
        let bounds = *self.bounds();
        let group = self.walls.group_of_run(bounds).await?;
        let (forked, answer) = oneshot::channel();
        let (exited, receiver) = oneshot::channel();
        match &mut *self.waiters() {
            Some(waiters) => waiters.runs.insert(name.clone(), Waiting { forked: Some(forked), exited }),
            None => return Err(self.failed(RuntimeError::ParentDied)),
        };
        let ends = [channel_theirs.as_fd(), stdout_theirs.as_fd(), stderr_theirs.as_fd()];
        let fds: Vec<_> = ends.into_iter().chain(group.iter().flat_map(Group::doors)).collect();
        let asked = async {
            write_frame_with_fds(self.writer.lock().await.as_ref(), &ToParent::Fork { run: &name }, &fds).await.ok()?;
            answer.await.ok()
        };
        let pid = match tokio::time::timeout(FORK_TIMEOUT, asked).await {
            Ok(Some(Ok(pid))) => pid,
            Ok(Some(Err(reason))) => return Err(RuntimeError::Refused(reason)),
            Ok(None) | Err(_) => {
                self.abandon();
                return Err(self.failed(RuntimeError::ParentDied));
            }
        };
        let exit = Exit::new(receiver, self.used.clone());
        Ok(Forked { name, pid, channel: UnixStream::from_std(channel)?, stdout, stderr, exit, group })
    }

    async fn send(&self, message: &ToParent<'_>) -> std::io::Result<()> {
        write_frame(&mut *self.writer.lock().await, message).await
    }

    fn waiters(&self) -> MutexGuard<'_, Option<Waiters>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Forked>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This error, unless its group tells what is behind it.
    fn failed(&self, error: RuntimeError) -> RuntimeError {
        RuntimeError::of_group(self.group(), error)
    }

    /// Forks what is missing of the spares.
    async fn refill(&self) -> Result<(), RuntimeError> {
        while self.spares().len() < SPARES {
            self.fork_spare().await?;
        }
        Ok(())
    }

    /// Returns once there are none.
    async fn end_spares(self: &Arc<Self>) {
        let spares = std::mem::take(&mut *self.spares());
        for spare in spares {
            let mut child = Child { live: self.clone(), forked: spare };
            let killer = child.killer();
            killer.kill(&mut child.forked.exit).await;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.used.told.notify_one();
    }
}

async fn keep_spares(live: Weak<Live>, used: Arc<Used>) {
    loop {
        let is_hot = live.upgrade().is_some_and(|live| !live.spares().is_empty());
        // What has cooled down already needs no looking after.
        let wait = if is_hot { COOL } else { Duration::MAX };
        let waited = tokio::time::timeout(wait, used.told.notified()).await;
        let Some(live) = live.upgrade().filter(|live| !live.is_over()) else { return };
        if waited.is_err() {
            // They end when their channels close.
            live.spares().clear();
        } else if let Err(error) = live.refill().await {
            tracing::debug!(%error, "no spare child could be forked; runs fork their own");
        }
    }
}

/// Hands what a parent says on to the runs that wait for it, until the parent is gone, and what serves it with it.
async fn listen(mut reader: OwnedReadHalf, waiters: Arc<Mutex<Option<Waiters>>>, _served: Option<DropGuard>) {
    let locked = || waiters.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(Some(message)) = read_frame::<FromParent>(&mut reader, PARENT_FRAME).await {
        let mut waiters = locked();
        let Some(waiters) = &mut *waiters else { break };
        // Whoever was given up waits no longer, and is not told.
        match message {
            FromParent::Ready { warm } => {
                if let Some(ready) = waiters.ready.take() {
                    let _ = ready.send(warm);
                }
            }
            FromParent::Forked { run, pid } => {
                if let Some(forked) = waiters.runs.get_mut(&run).and_then(|waiting| waiting.forked.take()) {
                    let _ = forked.send(Ok(pid));
                }
            }
            FromParent::Refused { run, reason } => {
                if let Some(forked) = waiters.runs.remove(&run).and_then(|waiting| waiting.forked) {
                    let _ = forked.send(Err(reason));
                }
            }
            FromParent::Exited { run, status } => {
                if let Some(waiting) = waiters.runs.remove(&run) {
                    let _ = waiting.exited.send(status);
                }
            }
        }
    }
    *locked() = None;
}
