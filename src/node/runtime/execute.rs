//! One run of a module: its process from the fork to the end, its output as lines, its limits.

use std::{path::Path, sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::UnixStream,
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    caps::{Caps, Limit},
    cgroups::{Cgroups, Group},
    converse::{Calls, converse},
    python::{Exit, Forked, Parent, RunFrame},
    redact::Redactor,
    scratch,
};
use crate::identity::Secret;

/// How long a process may take to go away once it has closed its channel, and its output to end once it is gone.
const GRACE: Duration = Duration::from_secs(2);

/// How long a process may take to end once it has given its result.
const LEAVING: Duration = Duration::from_millis(50);

/// How long a process may count as one that starts.
const STARTING: Duration = Duration::from_millis(300);

/// How often it is looked what a run has used.
const LOOK: Duration = Duration::from_secs(1);

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
    /// The run's credential, which must not reach its log.
    pub secret: String,
    /// Who takes its calls; nobody while it is only imported.
    pub calls: Option<Arc<dyn Calls>>,
    /// A process that starts wants a whole core: a thousand at once would starve each other, and the parents that fork
    /// them.
    pub starting: Arc<Semaphore>,
    /// Where the groups of runs are made.
    pub cgroups: Option<Arc<Cgroups>>,
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

/// Forks a child of `parent` and sees it through to its end. Lines go to `lines` as they come. Once this returns, no
/// process of the run is left.
pub(in crate::node) async fn execute(
    parent: &Parent,
    execution: Execution,
    lines: mpsc::Sender<(&'static str, String)>,
    cancel: CancellationToken,
) -> Ended {
    // The imports of a fresh parent are not this run's time, and only they may take long.
    let warmed = tokio::select! {
        warmed = parent.warm_up() => warmed,
        () = cancel.cancelled() => return Ended::Cancelled,
    };
    let turn = tokio::select! {
        turn = execution.starting.clone().acquire_owned() => turn,
        () = cancel.cancelled() => return Ended::Cancelled,
    };
    let started = CancellationToken::new();
    let _start_is_over = started.clone().drop_guard();
    let is_started = started.clone();
    tokio::spawn(async move {
        let _turn = turn;
        // One that waits in its imports must not hold up what it may be waiting for.
        let _ = tokio::time::timeout(STARTING, is_started.cancelled()).await;
    });
    let fork = async {
        warmed?;
        parent.fork(&execution.run).await
    };
    let (forked, grouped) = tokio::join!(fork, make_group(&execution));
    let child = match forked {
        Ok(child) => child,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let group = match grouped {
        Ok(group) => group,
        Err(error) => return Ended::Failed(format!("cannot make the run's control group: {error}")),
    };
    let deadline = Instant::now() + execution.caps.timeout;
    let killer = child.killer();
    let Forked { mut channel, stdout, stderr, mut exit, .. } = child.into_parts();
    let redactor = Redactor::new(&execution.secret, &execution.values);
    let output = Output { lines, redactor: &redactor, budget: execution.caps.output.into() };
    let printing = async {
        tokio::try_join!(
            output.forward("stdout", BufReader::new(stdout)),
            output.forward("stderr", BufReader::new(stderr))
        )
        .map(|_| ())
    };
    tokio::pin!(printing);
    let mut printed = false;
    let ended = {
        let working = work(&mut channel, &mut exit, &execution, group.as_ref(), &started);
        let watching = watch(&execution, group.as_ref());
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
    // Whatever it was, nothing of the run is left. One that has a result ends by itself, which takes the least.
    if matches!(ended, Ok(Ended::Completed(_))) {
        let _ = tokio::time::timeout(LEAVING, exit.wait()).await;
    }
    let kill = async {
        if !exit.is_over() {
            killer.kill(&mut exit).await;
        }
    };
    let (hit, ()) = tokio::join!(end_group(group, &execution.caps), kill);
    let ended = match (ended, hit) {
        (Ok(Ended::Cancelled), _) => Ended::Cancelled,
        (Err(limit), _) | (Ok(_), Some(limit)) => Ended::Failed(execution.caps.reached(limit)),
        (Ok(ended), None) => ended,
    };
    if !printed {
        let _ = tokio::time::timeout(GRACE, &mut printing).await;
    }
    match ended {
        Ended::Failed(error) => Ended::Failed(redactor.redact(&error)),
        Ended::Completed(result) => Ended::Completed(redactor.redact_values(&result)),
        ended => ended,
    }
}

async fn make_group(execution: &Execution) -> std::io::Result<Option<Arc<Group>>> {
    let Some(cgroups) = execution.cgroups.clone() else { return Ok(None) };
    let (run, caps) = (execution.run.clone(), execution.caps);
    let group = tokio::task::spawn_blocking(move || cgroups.group(&run, &caps)).await??;
    Ok(Some(Arc::new(group)))
}

/// Kills what is in a run's group and removes it; the limit that it had hit before.
async fn end_group(group: Option<Arc<Group>>, caps: &Caps) -> Option<Limit> {
    let (group, caps) = (group?, *caps);
    let ending = move || {
        // Killing keeps it from starting processes, which counts as a limit too.
        let hit = group.hit(&caps);
        group.end();
        hit
    };
    tokio::task::spawn_blocking(ending).await.ok()?
}

/// Waits until a run has hit a limit that only others see.
async fn watch(execution: &Execution, group: Option<&Arc<Group>>) -> Limit {
    loop {
        tokio::time::sleep(LOOK).await;
        let (group, caps, scratch) = (group.cloned(), execution.caps, execution.frame.scratch.clone());
        let looked = tokio::task::spawn_blocking(move || look(group.as_deref(), &caps, &scratch));
        if let Ok(Some(limit)) = looked.await {
            return limit;
        }
    }
}

fn look(group: Option<&Group>, caps: &Caps, scratch: &Path) -> Option<Limit> {
    group.and_then(|group| group.hit(caps)).or_else(|| {
        let unlinked = group.into_iter().flat_map(Group::processes).map(|process| scratch::unlinked(process, scratch));
        let used = scratch::usage(scratch, caps.disk).saturating_add(unlinked.sum());
        (used > caps.disk).then_some(Limit::Disk)
    })
}

/// Has the run done, and waits for the exit when there is no result.
async fn work(
    channel: &mut UnixStream,
    exit: &mut Exit,
    execution: &Execution,
    group: Option<&Arc<Group>>,
    started: &CancellationToken,
) -> Ended {
    let limit = usize::try_from(execution.caps.result).unwrap_or(usize::MAX);
    let doors: Vec<_> = group.into_iter().flat_map(|group| group.doors()).collect();
    match converse(channel, &execution.frame, &doors, execution.calls.as_ref(), limit, started).await {
        Ok(Some(frame)) => {
            if frame.ok {
                Ended::Completed(frame.result)
            } else if let Some(limit) = frame.limit.as_deref().and_then(Limit::named) {
                Ended::Failed(execution.caps.reached(limit))
            } else {
                Ended::Failed(frame.message)
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            Ended::Failed(execution.caps.reached(Limit::Result))
        }
        Ok(None) | Err(_) => Ended::Failed(match tokio::time::timeout(GRACE, exit.wait()).await {
            Ok(Some(status)) if status == -Signal::XCPU.as_raw() => execution.caps.reached(Limit::Cpu),
            Ok(Some(status)) if status == -Signal::XFSZ.as_raw() => execution.caps.reached(Limit::FileSize),
            Ok(Some(status)) if status < 0 => {
                format!("the module's process was ended by signal {} before it had a result", -status)
            }
            Ok(Some(status)) => format!("the module's process exited with code {status} before it had a result"),
            Ok(None) => "the module's interpreter died, and the run with it".to_owned(),
            Err(_) => "the module's process gave up its connection to the node before it had a result".to_owned(),
        }),
    }
}

struct OverBudget;

struct Output<'a> {
    lines: mpsc::Sender<(&'static str, String)>,
    redactor: &'a Redactor,
    budget: std::sync::atomic::AtomicU64,
}

impl Output<'_> {
    fn spend(&self, bytes: u64) -> Result<(), OverBudget> {
        use std::sync::atomic::Ordering::Relaxed;
        self.budget.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).map(|_| ()).map_err(|_| OverBudget)
    }

    async fn forward(
        &self,
        stream: &'static str,
        mut from: BufReader<impl AsyncRead + Unpin>,
    ) -> Result<(), OverBudget> {
        let mut line = Vec::new();
        loop {
            let (taken, complete) = match from.fill_buf().await {
                Ok([]) | Err(_) => break,
                Ok(buffer) => {
                    let room = &buffer[..buffer.len().min(MAX_LINE - line.len())];
                    let end = room.iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&room[..end.unwrap_or(room.len())]);
                    (end.map_or(room.len(), |end| end + 1), end.is_some() || line.len() == MAX_LINE)
                }
            };
            from.consume(taken);
            self.spend(taken as u64)?;
            if complete {
                self.spend(LINE_COST)?;
                // A line that is cut is not cut within a character.
                let rest = if line.len() == MAX_LINE { line.split_off(whole_characters(&line)) } else { Vec::new() };
                self.send(stream, &line).await;
                line = rest;
            }
        }
        if !line.is_empty() {
            self.send(stream, &line).await;
        }
        Ok(())
    }

    async fn send(&self, stream: &'static str, line: &[u8]) {
        let text = self.redactor.redact(String::from_utf8_lossy(line).trim_end_matches('\r'));
        // The receiver outlives the run; when it has gone, the node is stopping.
        let _ = self.lines.send((stream, text)).await;
    }
}

/// How many bytes there are before a last character that is not complete.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
