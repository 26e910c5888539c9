//! One run of a module: its process from the fork to the end, its output as lines, its limits.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    RuntimeError,
    caps::{Caps, Limit},
    cgroups::Group,
    converse::{Calls, converse},
    messages::{RunFrame, Stream},
    redact::Redactor,
    scratch,
    worker::{Begun, Channel, End, LEAVING, Printed, Worker},
};
use crate::identity::Secret;

/// How long a process may take to go away once it has closed its channel, and its output to end once it is gone.
const GRACE: Duration = Duration::from_secs(2);

/// How long a process may count as one that starts.
const STARTING: Duration = Duration::from_millis(300);

/// How often it is looked what a run has used.
const LOOK: Duration = Duration::from_secs(1);
/// How a program ends that gets no memory. Process 1 of a namespace cannot abort, and faults instead.
const ABORTED: [i32; 2] = [rustix::process::Signal::ABORT.as_raw(), rustix::process::Signal::SEGV.as_raw()];

/// The longest line that is kept in one piece.
const MAX_LINE: usize = 64 * 1024;

/// What a line costs beside its bytes, so that empty lines are not free.
const LINE_COST: u64 = 64;

/// What is run.
#[derive(Debug)]
pub(in crate::node) struct Execution {
    /// The run's id.
    pub run: String,
    /// For the child.
    pub frame: RunFrame,
    /// Its bounds.
    pub caps: Caps,
    /// How deep it is nested in calls.
    pub depth: u32,
    /// The run's credential, which must not reach its log.
    pub secret: String,
    /// Who takes its calls; nobody while it is only imported.
    pub calls: Option<Arc<dyn Calls>>,
    /// A process that starts wants a whole core: a thousand at once would starve each other, and the parents that fork
    /// them.
    pub starting: Arc<Semaphore>,
    /// The values of its user's secrets, which must not reach its log or its result.
    pub values: Vec<Secret>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::node) enum Ended {
    /// With a result.
    Completed(String),
    /// Without.
    Failed(String),
    /// It was told to.
    Cancelled,
}

/// Has a run begun and sees it through to its end. Lines go to `lines` as they come. Once this returns, no process of the
/// run is left, but for what is given back: that has nothing more to say, and is to be seen off.
pub(in crate::node) async fn execute(
    worker: &Worker,
    execution: Execution,
    lines: mpsc::Sender<(&'static str, String)>,
    cancel: CancellationToken,
) -> (Ended, Option<Leaving>) {
    let Execution { run, frame, caps, depth, secret, calls, starting, values } = execution;
    let redactor = Redactor::new(&secret, &values);
    let output = Output { lines, redactor: &redactor, budget: caps.output.into(), out_of_memory: false.into() };
    let started = CancellationToken::new();
    let _start_is_over = started.clone().drop_guard();
    let getting_ready = async {
        // The imports of a fresh interpreter are not this run's time, and only they may take long.
        worker.warm_up(&frame).await?;
        if let Worker::Process(_) = worker
            && let Ok(turn) = starting.acquire_owned().await
        {
            let is_started = started.clone();
            tokio::spawn(async move {
                let _turn = turn;
                // One that waits in its imports must not hold up what it may be waiting for.
                let _ = tokio::time::timeout(STARTING, is_started.cancelled()).await;
            });
        }
        Ok(())
    };
    let ready = tokio::select! {
        ready = getting_ready => ready,
        () = cancel.cancelled() => return (Ended::Cancelled, None),
    };
    let begun = match ready {
        Ok(()) => tokio::select! {
            begun = worker.begin(&run, &frame, depth, caps.of_all()) => begun,
            // Where it may have to wait for its turn; a fork is seen to its end.
            () = cancel.cancelled(), if matches!(worker, Worker::Shared(_)) => return (Ended::Cancelled, None),
        },
        Err(error) => Err(error),
    };
    let Begun { mut channel, printed: prints, mut end, group } = match begun {
        Ok(begun) => begun,
        Err(RuntimeError::Import { kind, message, traceback }) => {
            // What is more than its budget is left out, and the error says enough.
            let _ = output.take(Stream::Stderr, &mut Vec::new(), traceback.as_bytes()).await;
            return (Ended::Failed(redactor.redact(&failure(&kind, None, message, &caps))), None);
        }
        Err(error) => return (Ended::Failed(error.to_string()), None),
    };
    let (scratch, deadline) = (frame.scratch.clone(), Instant::now() + caps.timeout);
    // There may be thousands that wait.
    drop(frame);
    let printing = output.forward(prints);
    tokio::pin!(printing);
    let mut printed = false;
    let ended = {
        let watching = watch(group.clone(), caps, scratch);
        let working = work(&mut channel, &mut end, calls.as_ref(), &caps, &started);
        tokio::pin!(working, watching);
        loop {
            tokio::select! {
                ended = &mut working => break Ok(ended),
                over = &mut printing, if !printed => {
                    printed = true;
                    if let Err(OverBudget) = over {
                        break Err(Limit::Output);
                    }
                }
                limit = &mut watching => break Err(limit),
                () = tokio::time::sleep_until(deadline) => break Err(Limit::Time),
                () = cancel.cancelled() => break Ok(Ended::Cancelled),
            }
        }
    };
    if let (Ok(Ended::Completed(result)), End::Process(..)) = (&ended, &end) {
        // It has closed what it prints to; unless what it has started has that too, all of it is here.
        let is_quiet = printed || {
            tokio::select! {
                _ = &mut printing => { printed = true; true }
                _ = end.wait() => false,
                () = tokio::time::sleep(LEAVING) => false,
            }
        };
        if is_quiet && group.as_deref().is_none_or(|group| group.hit().is_none()) {
            return (Ended::Completed(redactor.redact_values(result)), Some(Leaving { channel, end, group }));
        }
    }
    // Whatever it was, nothing of the run is left. One that has a result ends by itself, which takes the least.
    let hit = {
        let is_done = matches!(ended, Ok(Ended::Completed(_)));
        let stopping = async {
            if is_done {
                return Leaving { channel, end, group }.gone().await;
            }
            tokio::join!(end_group(group), end.reach(&mut channel, false)).0
        };
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                hit = &mut stopping => break hit,
                // It may want to say something before it goes.
                _ = &mut printing, if !printed => printed = true,
            }
        }
    };
    let ended = match (ended, hit) {
        (Ok(Ended::Cancelled), _) => Ended::Cancelled,
        (Err(limit), _) | (Ok(_), Some(limit)) => Ended::Failed(caps.reached(limit)),
        (Ok(ended), None) => ended,
    };
    if !printed {
        let _ = tokio::time::timeout(GRACE, &mut printing).await;
    }
    let is_out_of_memory = output.out_of_memory.load(std::sync::atomic::Ordering::Relaxed);
    let ended = match ended {
        Ended::Failed(error) if is_out_of_memory && ABORTED.map(ended_by).contains(&error) => {
            Ended::Failed(failure("memory", None, error, &caps))
        }
        Ended::Failed(error) => Ended::Failed(redactor.redact(&error)),
        Ended::Completed(result) => Ended::Completed(redactor.redact_values(&result)),
        ended => ended,
    };
    (ended, None)
}

/// What is left of a run that has its result, and has printed all that it prints.
#[derive(Debug)]
pub(in crate::node) struct Leaving {
    channel: Channel,
    end: End,
    group: Option<Arc<Group>>,
}

impl Leaving {
    /// Returns once nothing of the run is left; the limit that it had hit.
    pub(in crate::node) async fn gone(mut self) -> Option<Limit> {
        self.end.reach(&mut self.channel, true).await;
        end_group(self.group).await
    }
}

/// Kills what is in a run's group, after which another run may have it; the limit that it had hit before.
async fn end_group(group: Option<Arc<Group>>) -> Option<Limit> {
    let group = group?;
    if group.vacate() {
        return None;
    }
    let ending = move || {
        group.end();
        group.hit()
    };
    tokio::task::spawn_blocking(ending).await.ok()?
}

/// Waits until a run has hit a limit that only others see.
async fn watch(group: Option<Arc<Group>>, caps: Caps, scratch: PathBuf) -> Limit {
    loop {
        tokio::time::sleep(LOOK).await;
        let (group, scratch) = (group.clone(), scratch.clone());
        let looked = tokio::task::spawn_blocking(move || look(group.as_deref(), &caps, &scratch));
        if let Ok(Some(limit)) = looked.await {
            return limit;
        }
    }
}

fn look(group: Option<&Group>, caps: &Caps, scratch: &Path) -> Option<Limit> {
    group.and_then(|group| group.hit()).or_else(|| {
        let unlinked = scratch::unlinked(group.into_iter().flat_map(Group::processes), scratch);
        let used = scratch::usage(scratch, caps.disk).saturating_add(unlinked);
        (used > caps.disk).then_some(Limit::Disk)
    })
}

/// Has the run done, and waits for the exit when there is no result.
async fn work(
    channel: &mut Channel,
    end: &mut End,
    calls: Option<&Arc<dyn Calls>>,
    caps: &Caps,
    started: &CancellationToken,
) -> Ended {
    let limit = usize::try_from(caps.result).unwrap_or(usize::MAX);
    match converse(channel, calls, limit, started).await {
        Ok(Some(frame)) if frame.ok => Ended::Completed(frame.result),
        Ok(Some(frame)) => Ended::Failed(failure(&frame.kind, frame.limit.as_deref(), frame.message, caps)),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Ended::Failed(caps.reached(Limit::Result)),
        Ok(None) | Err(_) => Ended::Failed(match tokio::time::timeout(GRACE, end.wait()).await {
            Ok(Some(status)) if status == -Signal::XCPU.as_raw() => caps.reached(Limit::Cpu),
            Ok(Some(status)) if status == -Signal::XFSZ.as_raw() => caps.reached(Limit::FileSize),
            Ok(Some(status)) if status < 0 => ended_by(-status),
            Ok(Some(status)) => format!("the module's process exited with code {status} before it had a result"),
            Ok(None) => end.death(channel),
            Err(_) => "the module's process gave up its connection to the node before it had a result".to_owned(),
        }),
    }
}

fn ended_by(signal: i32) -> String {
    format!("the module's process was ended by signal {signal} before it had a result")
}

/// Why a run failed, from what its process says.
fn failure(kind: &str, limit: Option<&str>, message: String, caps: &Caps) -> String {
    match limit.and_then(Limit::named) {
        Some(limit) => caps.reached(limit),
        None if kind == "memory" => caps.reached(Limit::Memory),
        None => message,
    }
}

struct OverBudget;

struct Output<'a> {
    lines: mpsc::Sender<(&'static str, String)>,
    redactor: &'a Redactor,
    budget: std::sync::atomic::AtomicU64,
    /// Whether Rust's runtime has said that it got no memory, which it does right before it aborts.
    out_of_memory: std::sync::atomic::AtomicBool,
}

impl Output<'_> {
    fn spend(&self, bytes: u64) -> Result<(), OverBudget> {
        use std::sync::atomic::Ordering::Relaxed;
        self.budget.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).map(|_| ()).map_err(|_| OverBudget)
    }

    async fn forward(&self, printed: Printed) -> Result<(), OverBudget> {
        match printed {
            Printed::Pipes(stdout, stderr) => {
                tokio::try_join!(self.pipe(Stream::Stdout, stdout), self.pipe(Stream::Stderr, stderr)).map(|_| ())
            }
            Printed::Pieces(mut pieces) => {
                let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
                while let Some((stream, text)) = pieces.recv().await {
                    let line = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
                    self.take(stream, line, text.as_bytes()).await?;
                }
                self.rest(Stream::Stdout, &stdout).await;
                self.rest(Stream::Stderr, &stderr).await;
                Ok(())
            }
        }
    }

    async fn pipe(&self, stream: Stream, from: impl AsyncRead + Unpin) -> Result<(), OverBudget> {
        let (mut from, mut line) = (BufReader::new(from), Vec::new());
        while let Ok(bytes @ [_, ..]) = from.fill_buf().await {
            let taken = bytes.len();
            self.take(stream, &mut line, bytes).await?;
            from.consume(taken);
        }
        self.rest(stream, &line).await;
        Ok(())
    }

    /// Sends the lines that these bytes end; `line` is what has come of the next one.
    async fn take(&self, stream: Stream, line: &mut Vec<u8>, mut bytes: &[u8]) -> Result<(), OverBudget> {
        while !bytes.is_empty() {
            let room = &bytes[..bytes.len().min(MAX_LINE - line.len())];
            let end = room.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&room[..end.unwrap_or(room.len())]);
            let taken = end.map_or(room.len(), |end| end + 1);
            bytes = &bytes[taken..];
            self.spend(taken as u64)?;
            if end.is_some() || line.len() == MAX_LINE {
                self.spend(LINE_COST)?;
                // A line that is cut is not cut within a character.
                let rest = if line.len() == MAX_LINE { line.split_off(whole_characters(line)) } else { Vec::new() };
                self.send(stream, line).await;
                *line = rest;
            }
        }
        Ok(())
    }

    async fn rest(&self, stream: Stream, line: &[u8]) {
        if !line.is_empty() {
            self.send(stream, line).await;
        }
    }

    async fn send(&self, stream: Stream, line: &[u8]) {
        if stream == Stream::Stderr && line.starts_with(b"memory allocation of ") && line.ends_with(b" bytes failed") {
            self.out_of_memory.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let text = self.redactor.redact(String::from_utf8_lossy(line).trim_end_matches('\r'));
        // The receiver outlives the run; when it has gone, the node is stopping.
        let _ = self.lines.send((stream.as_str(), text)).await;
    }
}

/// How many bytes there are before a last character that is not complete.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
