//! A warm parent: a process that forks a child a run. For Python it has dependencies imported, and knows nothing of the
//! modules that its children are, so every version of every module with the same needs may be forked from it. For a Rust module
//! it is the sandbox's fork server, whose children become the module's binary.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use process_wrap::tokio::ChildWrapper;
use rustix::process::{Pid, Signal, kill_process_group};
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
    RuntimeError,
    cgroups::{Bounds, Group},
    frames::{read_frame, write_frame, write_frame_with_fds},
    messages::{FromChild, RunFrame},
    parents::Origin,
    walls::{Admitted, Confined, Place, Seal, Walls},
    warmth::Warm,
};

/// How long imports of dependencies may take.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a parent may take to see a killed child off.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a parent may take to fork.
const FORK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many children wait for their runs in a parent that is in use. A core can start one at a time.
const SPARES: usize = 2;

/// How often a run is given to another child when one has ended before it had the run.
const TRIES: usize = SPARES + 2;

/// How long a parent that nothing is forked from keeps them.
const COOL: Duration = Duration::from_secs(10);

/// Frames of the parent itself are small.
const PARENT_FRAME: usize = 64 * 1024;

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

/// Who waits for what a parent says of a run.
#[derive(Debug)]
struct Waiting {
    /// Taken once it is forked, or refused with a reason.
    forked: Option<oneshot::Sender<Result<i32, String>>>,
    exited: oneshot::Sender<i32>,
}

/// The runs of a live parent; `None` once it is gone.
type Waiters = Arc<Mutex<Option<HashMap<String, Waiting>>>>;

/// When a parent was last used.
#[derive(Debug)]
struct Used {
    told: Notify,
    at: Mutex<Instant>,
}

impl Used {
    fn again(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.told.notify_one();
    }
}

impl Default for Used {
    fn default() -> Self {
        Used { told: Notify::new(), at: Mutex::new(Instant::now()) }
    }
}

/// One parent process, started when first needed and again when it has died.
#[derive(Debug)]
pub(in crate::node) struct Parent {
    origin: Origin,
    walls: Arc<Walls>,
    place: Arc<Place>,
    /// Whether dependencies can be imported before forking; found out by the first start.
    warm: Mutex<bool>,
    live: tokio::sync::Mutex<Option<Arc<Live>>>,
}

#[derive(Debug)]
struct Live {
    /// One frame at a time.
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiters: Waiters,
    process: Mutex<Box<dyn ChildWrapper>>,
    /// Of itself; its children have groups of their own.
    group: Option<Arc<Group>>,
    walls: Arc<Walls>,
    /// Whether it is shut in: then its processes end with it, and their numbers are not this machine's.
    walled: bool,
    /// Of the run that was begun last, which the next one is likely to have too.
    bounds: Mutex<Bounds>,
    /// Children that wait for their run; each is for one.
    spares: Mutex<Vec<Forked>>,
    /// Children that have been spares, to name them.
    named: AtomicU64,
    /// Told when a run has ended, and when nobody needs this any more.
    used: Arc<Used>,
}

/// A forked child.
#[derive(Debug)]
pub(in crate::node) struct Child {
    live: Arc<Live>,
    forked: Forked,
}

/// The same without its parent.
#[derive(Debug)]
pub(in crate::node) struct Forked {
    /// What its parent calls it.
    name: String,
    pid: i32,
    /// To send it its [`RunFrame`] and to converse with it.
    pub channel: UnixStream,
    /// What it prints.
    pub stdout: pipe::Receiver,
    /// What it prints to stderr.
    pub stderr: pipe::Receiver,
    /// Its end, and of what it started.
    pub exit: Exit,
    /// Its control group. It enters before it waits, since entering one can take the kernel milliseconds.
    pub group: Option<Group>,
}

/// The end of a child, for which one can wait again and again.
#[derive(Debug)]
pub(in crate::node) struct Exit {
    receiver: Option<oneshot::Receiver<i32>>,
    status: Option<i32>,
    /// Told when it has been waited for: the time to fork for the next run.
    used: Arc<Used>,
}

impl Exit {
    /// The exit status, negative for a signal; `None` when the parent has died, and the child with it.
    pub(in crate::node) async fn wait(&mut self) -> Option<i32> {
        if let Some(receiver) = &mut self.receiver {
            self.status = receiver.await.ok();
            self.receiver = None;
            self.used.again();
        }
        self.status
    }

    /// Whether it has ended, and what it started with it.
    pub(in crate::node) fn is_over(&self) -> bool {
        self.status.is_some()
    }

    /// Whether it has not ended, nor its parent.
    fn is_open(&mut self) -> bool {
        let received = self.receiver.as_mut().map(oneshot::Receiver::try_recv);
        matches!(received, Some(Err(oneshot::error::TryRecvError::Empty)))
    }
}

/// Kills a child and what it started.
#[derive(Debug)]
pub(in crate::node) struct Killer {
    live: Arc<Live>,
    name: String,
    pid: i32,
}

impl Killer {
    /// The group of the parent.
    pub(super) fn group(&self) -> Option<&Group> {
        self.live.group.as_deref()
    }

    /// Returns once nothing of the run is left.
    pub(in crate::node) async fn kill(&self, exit: &mut Exit) {
        let told = async {
            self.live.send(&ToParent::Kill { run: &self.name }).await.ok()?;
            exit.wait().await
        };
        if let Ok(Some(_)) = tokio::time::timeout(KILL_TIMEOUT, told).await {
            return;
        }
        // The parent has died or does not answer. Its child dies with it; this is for the rest of the child's group.
        self.live.abandon();
        if !self.live.walled
            && let Some(group) = Pid::from_raw(self.pid)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Live {
    async fn send(&self, message: &ToParent<'_>) -> std::io::Result<()> {
        write_frame(&mut *self.writer.lock().await, message).await
    }

    /// Kills a parent that does not answer; its children die with it.
    fn abandon(&self) {
        // It may be dead by now.
        let _ = self.process.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        *self.waiters.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_over(&self) -> bool {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Parent {
    /// A parent of this origin; nothing is started yet.
    pub(super) fn new(origin: Origin, walls: Arc<Walls>) -> Self {
        let place = Arc::new(walls.place());
        Parent { origin, walls, place, warm: Mutex::new(true), live: tokio::sync::Mutex::new(None) }
    }

    /// Where its runs have their folders.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether its children become a binary.
    pub(super) fn is_of_rust(&self) -> bool {
        matches!(self.origin, Origin::Binary(_))
    }

    /// Starts the process and waits for its imports.
    pub(in crate::node) async fn warm_up(&self) -> Result<(), RuntimeError> {
        self.live().await.map(|_| ())
    }

    async fn live(&self) -> Result<Arc<Live>, RuntimeError> {
        let mut slot = self.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.is_over()) {
            return Ok(live.clone());
        }
        let warm = *self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        let live = match self.start(warm).await? {
            Some(live) => live,
            None => {
                // What it imports starts threads: its children import for themselves.
                *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = false;
                self.start(false).await?.ok_or(RuntimeError::NotReady)?
            }
        };
        *slot = Some(live.clone());
        self.walls.started().notify_one();
        Ok(live)
    }

    /// `None` when the process cannot be forked safely.
    async fn start(&self, warm: bool) -> Result<Option<Arc<Live>>, RuntimeError> {
        let limits = self.walls.bounds();
        let runner;
        let (program, arguments, imports, inner): (_, &[&OsStr], &[String], _) = match &self.origin {
            Origin::Interpreter { python, imports } => {
                runner = python.arguments("napt_runner");
                let inner = Confined { read: python.paths(), limits, nested: true, ..Confined::default() };
                (&python.interpreter, &runner, if warm { imports } else { &[] }, inner)
            }
            Origin::Binary(binary) => {
                (binary, &[], &[], Confined { read: vec![binary.clone()], limits, serves: true, ..Confined::default() })
            }
        };
        let (Admitted { process, mut stream, seal, served }, group) =
            self.walls.start_interpreter(&self.place, inner, program, arguments).await?;
        let start = ToParent::Start { imports, seal: seal.as_ref() };
        let ready = async {
            write_frame(&mut stream, &start).await?;
            let ready = tokio::time::timeout(READY_TIMEOUT, read_frame(&mut stream, PARENT_FRAME)).await;
            match ready.map_err(|_| RuntimeError::NotReady)?? {
                Some(FromParent::Ready { warm }) => Ok(warm),
                _ => Err(RuntimeError::NotReady),
            }
        };
        if !ready.await.map_err(|error| RuntimeError::of_group(group.as_deref(), error))? {
            return Ok(None);
        }
        let (reader, writer) = stream.into_split();
        let live = Arc::new(Live {
            writer: tokio::sync::Mutex::new(writer),
            waiters: Arc::new(Mutex::new(Some(HashMap::new()))),
            process: Mutex::new(process),
            group,
            walls: self.walls.clone(),
            walled: seal.is_some(),
            bounds: Mutex::new(self.walls.of_runs()),
            spares: Mutex::default(),
            named: AtomicU64::new(0),
            used: Arc::default(),
        });
        tokio::spawn(listen(reader, live.waiters.clone(), served));
        tokio::spawn(keep_spares(Arc::downgrade(&live), live.used.clone()));
        Ok(Some(live))
    }

    /// A child that has a run: one that waited for it, else one that is forked now.
    pub(in crate::node) async fn begin(
        &self,
        run: &str,
        frame: &RunFrame,
        bounds: Bounds,
    ) -> Result<Child, RuntimeError> {
        let mut tries = 0;
        loop {
            let child = match self.try_fork(run).await {
                Ok(mut child) => {
                    *child.live.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
                    // Files that are none on a disk.
                    child.forked.group.as_mut().map_or(Ok(()), |group| group.bound(bounds))?;
                    let told = tokio::time::timeout(FORK_TIMEOUT, child.forked.tell(frame, self.is_of_rust())).await;
                    if let Ok(Ok(())) = told {
                        return Ok(child);
                    }
                    let killer = child.killer();
                    killer.kill(&mut child.forked.exit).await;
                    Err(RuntimeError::ParentDied)
                }
                Err(error) => Err(error),
            };
            tries += 1;
            match child {
                // Nothing of the run was started: another child, or a fresh parent's, can.
                Err(RuntimeError::ParentDied | RuntimeError::Spent(_)) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    async fn try_fork(&self, run: &str) -> Result<Child, RuntimeError> {
        let live = self.live().await?;
        let forked = match live.take_spare() {
            Some(spare) => spare,
            None => live.fork(run.to_owned()).await?,
        };
        Ok(Child { live, forked })
    }
}

impl Warm for Parent {
    fn idle(&self) -> Option<Duration> {
        let slot = self.live.try_lock().ok()?;
        let live = slot.as_ref().filter(|live| Arc::strong_count(live) == 1)?;
        Some(live.used.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }

    fn rest(&self) {
        if let Ok(mut slot) = self.live.try_lock() {
            let _ = slot.take_if(|live| Arc::strong_count(live) == 1);
        }
    }
}

impl Live {
    /// A child that waits for its run.
    fn take_spare(&self) -> Option<Forked> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| spares.pop()).find_map(|mut spare| spare.exit.is_open().then_some(spare))
    }

    fn has_spares(&self) -> bool {
        !self.spares.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn fork(&self, name: String) -> Result<Forked, RuntimeError> {
        let (channel, channel_theirs) = std::os::unix::net::UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let (stdout_theirs, stdout) = pipe::pipe()?;
        let (stderr_theirs, stderr) = pipe::pipe()?;
        let stdout_theirs = stdout_theirs.into_blocking_fd()?;
        let stderr_theirs = stderr_theirs.into_blocking_fd()?;
        let bounds = *self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let group = self.walls.group_of_run(bounds).await?;
        let (forked, answer) = oneshot::channel();
        let (exited, receiver) = oneshot::channel();
        match &mut *self.waiters.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(waiters) => waiters.insert(name.clone(), Waiting { forked: Some(forked), exited }),
            None => return Err(self.died()),
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
                return Err(self.died());
            }
        };
        let exit = Exit { receiver: Some(receiver), status: None, used: self.used.clone() };
        Ok(Forked { name, pid, channel: UnixStream::from_std(channel)?, stdout, stderr, exit, group })
    }

    fn died(&self) -> RuntimeError {
        RuntimeError::of_group(self.group.as_deref(), RuntimeError::ParentDied)
    }

    /// Forks what is missing of the spares.
    async fn refill(&self) -> Result<(), RuntimeError> {
        while self.spares.lock().unwrap_or_else(PoisonError::into_inner).len() < SPARES {
            let number = self.named.fetch_add(1, Ordering::Relaxed);
            let spare = self.fork(format!("spare-{number}")).await?;
            self.spares.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
        }
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.used.told.notify_one();
    }
}

/// Keeps spares in a parent from the end of its first run on, until it has been idle for a while.
async fn keep_spares(live: Weak<Live>, used: Arc<Used>) {
    loop {
        let is_hot = live.upgrade().is_some_and(|live| live.has_spares());
        // What has cooled down already needs no looking after.
        let wait = if is_hot { COOL } else { Duration::MAX };
        let waited = tokio::time::timeout(wait, used.told.notified()).await;
        let Some(live) = live.upgrade().filter(|live| !live.is_over()) else { return };
        if waited.is_err() {
            // They end when their channels close.
            live.spares.lock().unwrap_or_else(PoisonError::into_inner).clear();
        } else if let Err(error) = live.refill().await {
            tracing::debug!(%error, "no spare child could be forked; runs fork their own");
        }
    }
}

impl Forked {
    /// Tells it its run, and waits until it has that.
    async fn tell(&mut self, frame: &RunFrame, is_of_rust: bool) -> std::io::Result<()> {
        if is_of_rust {
            write_frame(&mut self.channel, &frame.launch()).await?;
        } else {
            write_frame(&mut self.channel, frame).await?;
        }
        match read_frame(&mut self.channel, PARENT_FRAME).await? {
            Some(FromChild::Here) if is_of_rust => write_frame(&mut self.channel, frame).await,
            Some(FromChild::Here) => Ok(()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Child {
    /// What ends it.
    pub(in crate::node) fn killer(&self) -> Killer {
        Killer { live: self.live.clone(), name: self.forked.name.clone(), pid: self.forked.pid }
    }

    /// Its channel, its output and its end. Its parent forks for the next run from now on.
    pub(in crate::node) fn into_parts(self) -> Forked {
        self.forked
    }
}

/// Hands what a parent says on to the runs that wait for it, until the parent is gone, and what serves it with it.
async fn listen(mut reader: OwnedReadHalf, waiters: Waiters, _served: Option<DropGuard>) {
    let locked = || waiters.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(Some(message)) = read_frame::<FromParent>(&mut reader, PARENT_FRAME).await {
        let mut waiters = locked();
        let Some(waiters) = &mut *waiters else { break };
        // Whoever was given up waits no longer, and is not told.
        match message {
            FromParent::Ready { .. } => {}
            FromParent::Forked { run, pid } => {
                if let Some(forked) = waiters.get_mut(&run).and_then(|waiting| waiting.forked.take()) {
                    let _ = forked.send(Ok(pid));
                }
            }
            FromParent::Refused { run, reason } => {
                if let Some(forked) = waiters.remove(&run).and_then(|waiting| waiting.forked) {
                    let _ = forked.send(Err(reason));
                }
            }
            FromParent::Exited { run, status } => {
                if let Some(waiting) = waiters.remove(&run) {
                    let _ = waiting.exited.send(status);
                }
            }
        }
    }
    *locked() = None;
}
