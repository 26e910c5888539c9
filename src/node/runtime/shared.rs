//! `isolation = "shared"`: a Python interpreter that has one version of a module imported and runs it for one user, many
//! runs at once. They have one socket together, so that a run needs no descriptors; each has a lane of it.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use process_wrap::tokio::ChildWrapper;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::sync::DropGuard;

use super::{
    RuntimeError,
    caps::ProcessLimits,
    cgroups::Group,
    converse::{MAX_CALL, MAX_IN_FLIGHT},
    frames::{encode, read_frame, write_frame},
    messages::{FromChild, Network, RunFrame, Stream},
    parent::READY_TIMEOUT,
    python::{Python, PythonModule},
    walls::{Admitted, Confined, Place, Walls},
};

/// How long a run may take to stop before its interpreter is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Runs of a function that is not asynchronous that go on at a time, nested equally deep: they hold none of the threads
/// that what they call for needs.
const THREADS: usize = 32;

/// Frames of a run that may wait to be read: its calls in flight, and each given up.
const FRAMES: usize = 2 * MAX_IN_FLIGHT + 64;

/// Pieces of a run's output that may wait before its interpreter is held back.
const PIECES: usize = 64;

/// Frames for an interpreter that may wait before whoever sends more is held back.
const OUTGOING: usize = 256;

/// The largest frame of an interpreter: a call, or a result as large as one.
const MAX_FRAME: usize = MAX_CALL + 64 * 1024;

/// All that an interpreter depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    python: Python,
    /// The unpacked archive, whose path says its content.
    root: PathBuf,
    consumer: String,
}

/// All shared interpreters of a node.
#[derive(Debug)]
pub(in crate::node) struct Interpreters {
    walls: Arc<Walls>,
    known: Mutex<HashMap<Key, Arc<Interpreter>>>,
}

/// One interpreter, started when first needed, and again when it has died or was given up.
#[derive(Debug)]
pub(in crate::node) struct Interpreter {
    python: Python,
    walls: Arc<Walls>,
    place: Arc<Place>,
    live: Mutex<Option<Arc<Live>>>,
    /// Held by whoever starts it.
    starting: tokio::sync::Mutex<()>,
}

/// Where what a run says goes to.
#[derive(Debug, Clone)]
struct Route {
    /// Boxed, since a channel has room for 32 from the beginning, and there may be thousands of runs.
    frames: mpsc::Sender<Box<FromChild>>,
    pieces: mpsc::Sender<(Stream, String)>,
}

/// The process. It ends when neither its interpreter nor a run has it any more.
#[derive(Debug)]
struct Live {
    outgoing: mpsc::Sender<Vec<u8>>,
    /// Its runs; `None` once it is gone.
    routes: Mutex<Option<HashMap<String, Route>>>,
    process: Mutex<Box<dyn ChildWrapper>>,
    /// Of all that is in it.
    group: Option<Arc<Group>>,
    /// Threads by depth, where the function needs one.
    turns: Option<Mutex<HashMap<u32, Arc<Semaphore>>>>,
    /// When the last run has begun or ended.
    used: Mutex<Instant>,
    /// No more of them may.
    is_retired: AtomicBool,
}

/// A run in an interpreter.
#[derive(Debug)]
pub(super) struct Lane {
    live: Arc<Live>,
    run: String,
    frames: mpsc::Receiver<Box<FromChild>>,
    is_over: bool,
    _turn: Option<OwnedSemaphorePermit>,
}

/// What an interpreter is started with.
#[derive(Serialize)]
#[serde(tag = "op", rename = "start")]
struct Start<'a> {
    root: &'a Path,
    folder: &'a Path,
    module: &'a str,
    function: &'a str,
    schemas: &'a str,
    component: &'a Value,
    limits: &'a ProcessLimits,
    network: &'a Network,
    /// Whether all processes that it sees are its own.
    alone: bool,
}

/// What it says to that.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Started {
    Ready { asynchronous: bool },
    Failed { kind: String, message: String, traceback: String },
}

#[derive(Serialize)]
#[serde(tag = "op", rename = "stop")]
struct Stop {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interpreters {
    /// Interpreters within these walls.
    pub(in crate::node) fn new(walls: Arc<Walls>) -> Self {
        Interpreters { walls, known: Mutex::default() }
    }

    /// The interpreter for a user's runs of a module.
    pub(in crate::node) fn of(&self, module: &PythonModule, consumer: &str) -> Arc<Interpreter> {
        let key = Key { python: module.python.clone(), root: module.root.clone(), consumer: consumer.to_owned() };
        let mut known = lock(&self.known);
        if let Some(interpreter) = known.get(&key) {
            return interpreter.clone();
        }
        known.retain(|_, interpreter| Arc::strong_count(interpreter) > 1 || lock(&interpreter.live).is_some());
        let interpreter = Arc::new(Interpreter {
            python: key.python.clone(),
            walls: self.walls.clone(),
            place: Arc::new(self.walls.place()),
            live: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
        });
        known.insert(key, interpreter.clone());
        interpreter
    }

    /// All that there are.
    pub(super) fn all(&self) -> Vec<Arc<Interpreter>> {
        lock(&self.known).values().cloned().collect()
    }
}

impl Interpreter {
    /// How long it has been warm without a run; nothing when it is not warm, or has one.
    pub(super) fn idle(&self) -> Option<Duration> {
        lock(&self.live).as_ref()?.idle()
    }

    /// Ends its process, unless a run needs it.
    pub(super) fn rest(&self) {
        // Dropped only once the lock is.
        let _rests = lock(&self.live).take_if(|live| live.idle().is_some());
    }

    /// Where its runs have their folders.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Starts the process and waits until it has the module imported.
    pub(super) async fn warm_up(self: &Arc<Self>, frame: &RunFrame) -> Result<(), RuntimeError> {
        self.live(frame).await.map(|_| ())
    }

    /// Begins a run: its lane, and what it prints.
    pub(super) async fn begin(
        self: &Arc<Self>,
        run: &str,
        frame: &RunFrame,
        depth: u32,
    ) -> Result<(Lane, mpsc::Receiver<(Stream, String)>), RuntimeError> {
        loop {
            let live = self.live(frame).await?;
            let turn = match live.turns(depth) {
                Some(turns) => turns.acquire_owned().await.ok(),
                None => None,
            };
            let (frames, received) = mpsc::channel(FRAMES);
            let (pieces, printed) = mpsc::channel(PIECES);
            // It may have died, or been given up, while this run waited.
            if live.open(run, Route { frames, pieces }) {
                let lane = Lane { live, run: run.to_owned(), frames: received, is_over: false, _turn: turn };
                return Ok((lane, printed));
            }
        }
    }

    fn usable(&self) -> Option<Arc<Live>> {
        lock(&self.live).clone().filter(|live| live.is_usable())
    }

    async fn live(self: &Arc<Self>, frame: &RunFrame) -> Result<Arc<Live>, RuntimeError> {
        if let Some(live) = self.usable() {
            return Ok(live);
        }
        let _starting = self.starting.lock().await;
        if let Some(live) = self.usable() {
            return Ok(live);
        }
        let live = self.start(frame).await?;
        *lock(&self.live) = Some(live.clone());
        self.walls.started().notify_one();
        Ok(live)
    }

    async fn start(&self, frame: &RunFrame) -> Result<Arc<Live>, RuntimeError> {
        let inner = Confined { read: self.python.paths(), limits: self.walls.bounds(), ..Confined::default() };
        let arguments = self.python.arguments("napt_shared");
        let (Admitted { process, mut stream, served, seal }, group) =
            self.walls.start_interpreter(&self.place, inner, &self.python.interpreter, &arguments).await?;
        let RunFrame { root, folder, module, function, schemas, component, limits, network, .. } = frame;
        let alone = seal.is_some();
        let started = async {
            let start = Start { root, folder, module, function, schemas, component, limits, network, alone };
            write_frame(&mut stream, &start).await?;
            let started = tokio::time::timeout(READY_TIMEOUT, read_frame(&mut stream, MAX_FRAME)).await;
            match started.map_err(|_| RuntimeError::NotReady)?? {
                Some(Started::Ready { asynchronous }) => Ok(asynchronous),
                Some(Started::Failed { kind, message, traceback }) => {
                    Err(RuntimeError::Import { kind, message, traceback })
                }
                None => Err(RuntimeError::NotReady),
            }
        };
        let asynchronous = started.await.map_err(|error| RuntimeError::of_group(group.as_deref(), error))?;
        let (reader, writer) = stream.into_split();
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        tokio::spawn(write(writer, frames));
        let live = Arc::new(Live {
            outgoing,
            routes: Mutex::new(Some(HashMap::new())),
            process: Mutex::new(process),
            group,
            turns: (!asynchronous).then(Mutex::default),
            used: Mutex::new(Instant::now()),
            is_retired: AtomicBool::new(false),
        });
        tokio::spawn(listen(reader, Arc::downgrade(&live), served));
        Ok(live)
    }
}

impl Live {
    fn is_usable(&self) -> bool {
        !self.is_retired.load(Ordering::Acquire) && lock(&self.routes).is_some()
    }

    fn turns(&self, depth: u32) -> Option<Arc<Semaphore>> {
        let turns = self.turns.as_ref()?;
        Some(lock(turns).entry(depth).or_insert_with(|| Arc::new(Semaphore::new(THREADS))).clone())
    }

    /// Whether a run can begin.
    fn open(&self, run: &str, route: Route) -> bool {
        match &mut *lock(&self.routes) {
            Some(routes) if !self.is_retired.load(Ordering::Acquire) => {
                routes.insert(run.to_owned(), route);
                true
            }
            _ => false,
        }
    }

    /// A run has ended. The last one of an interpreter that was given up takes it along.
    fn close(&self, run: &str) {
        let is_empty = lock(&self.routes).as_mut().is_some_and(|routes| {
            routes.remove(run);
            routes.is_empty()
        });
        *lock(&self.used) = Instant::now();
        if is_empty && self.is_retired.load(Ordering::Acquire) {
            self.kill();
        }
    }

    /// From now on no more runs begin in it.
    fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// Kills it, and what it has started.
    fn kill(&self) {
        // It may be dead by now.
        let _ = lock(&self.process).start_kill();
        *lock(&self.routes) = None;
    }

    /// How long it has had nothing to do.
    fn idle(&self) -> Option<Duration> {
        let is_idle = lock(&self.routes).as_ref().is_none_or(HashMap::is_empty);
        is_idle.then(|| lock(&self.used).elapsed())
    }

    async fn send(&self, run: &str, message: &impl Serialize) -> io::Result<()> {
        let frame = encode(&(run, message))?;
        self.outgoing.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Lane {
    /// The group of its interpreter.
    pub(super) fn group(&self) -> Option<&Group> {
        self.live.group.as_deref()
    }

    /// Its two directions.
    pub(super) fn split(&mut self) -> (LaneReader<'_>, LaneWriter<'_>) {
        let reader = LaneReader { frames: &mut self.frames, is_over: &mut self.is_over };
        (reader, LaneWriter { live: &self.live, run: &self.run })
    }

    /// Has the run stopped. When it does not stop, the interpreter is given up: new runs get a fresh one, and this one ends
    /// with the last of its others.
    pub(super) async fn stop(&mut self) {
        if self.is_over {
            return;
        }
        let (mut reader, writer) = self.split();
        let stopped = async {
            writer.send(&Stop {}).await.ok()?;
            while !*reader.is_over {
                reader.next().await;
            }
            Some(())
        };
        if tokio::time::timeout(GRACE, stopped).await.is_err() {
            tracing::info!(run = self.run, "a run does not stop; its shared interpreter is given up");
            self.live.retire();
        }
        self.is_over = true;
        self.live.close(&self.run);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.live.close(&self.run);
        if !self.is_over
            && let Ok(frame) = encode(&(&self.run, Stop {}))
        {
            // Only when the node stops, and its interpreters with it.
            let _ = self.live.outgoing.try_send(frame);
        }
    }
}

/// What a run says.
pub(super) struct LaneReader<'a> {
    frames: &'a mut mpsc::Receiver<Box<FromChild>>,
    is_over: &'a mut bool,
}

impl LaneReader<'_> {
    /// The next frame; `None` when there are no more.
    pub(super) async fn next(&mut self) -> Option<FromChild> {
        let frame = self.frames.recv().await.map(|frame| *frame);
        *self.is_over |= matches!(frame, None | Some(FromChild::Result(_)));
        frame
    }
}

/// What a run is told.
pub(super) struct LaneWriter<'a> {
    live: &'a Live,
    run: &'a str,
}

impl LaneWriter<'_> {
    /// Sends one frame.
    pub(super) async fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.live.send(self.run, message).await
    }
}

/// Writes frames as wholes, whatever becomes of who sent them.
async fn write(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    let mut batch = Vec::new();
    while frames.recv_many(&mut batch, OUTGOING).await > 0 {
        let together = if batch.len() == 1 { batch.swap_remove(0) } else { batch.concat() };
        batch.clear();
        // One that does not read any more has died, which its listener finds out.
        if writer.write_all(&together).await.is_err() {
            return;
        }
    }
}

/// Hands what runs say on to them, until their interpreter is gone, and what serves it with it.
async fn listen(reader: OwnedReadHalf, interpreter: Weak<Live>, _served: Option<DropGuard>) {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    while let Ok(Some((run, message))) = read_frame::<(String, FromChild)>(&mut reader, MAX_FRAME).await {
        let Some(live) = interpreter.upgrade() else { return };
        // Of one that was given up, nobody wants to know any more.
        let Some(route) = lock(&live.routes).as_ref().and_then(|routes| routes.get(&run).cloned()) else { continue };
        if let FromChild::Result(frame) = &message {
            if frame.left {
                tracing::info!(run, "a run leaves something behind; its shared interpreter is given up");
                live.retire();
            }
            // It is the run's last word.
            let _ = route.frames.try_send(Box::new(message));
            live.close(&run);
            continue;
        }
        drop(live);
        if let FromChild::Output { stream, text } = message {
            // Waits for the run's log alone, which waits for nobody.
            let _ = route.pieces.send((stream, text)).await;
        } else if let Err(mpsc::error::TrySendError::Full(_)) = route.frames.try_send(Box::new(message)) {
            tracing::warn!(run, "a shared interpreter has more calls in flight than it may; it is ended");
            break;
        }
    }
    if let Some(live) = interpreter.upgrade() {
        live.kill();
    }
}
