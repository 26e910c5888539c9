//! One run of a module: its process from the fork to the end, its output as lines, its limits.

use std::{sync::Arc, time::Duration};

use bytesize::ByteSize;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::UnixStream,
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    converse::{Calls, converse},
    parents::Host,
    python::{Child, Exit, RunFrame},
    redact::Redactor,
};
use crate::identity::Secret;

/// How long a process may take to go away once it has closed its channel, and its output to end once it is gone.
const GRACE: Duration = Duration::from_secs(2);

/// How long a process may take to end once it has given its result.
const LEAVING: Duration = Duration::from_millis(50);

/// How long a process may count as one that starts.
const STARTING: Duration = Duration::from_millis(300);

/// The longest line that is kept in one piece.
const MAX_LINE: usize = 64 * 1024;

/// What a line costs beside its bytes, so that empty lines are not free.
const LINE_COST: u64 = 64;

/// Upper bounds of one run.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Wall time.
    pub timeout: Duration,
    /// Bytes that it may allocate.
    pub memory: u64,
    /// Bytes that it may print.
    pub output: u64,
    /// Bytes of its result.
    pub result: u64,
}

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

impl Default for Caps {
    fn default() -> Self {
        Caps { timeout: Duration::from_secs(3600), memory: 4 << 30, output: 10 << 20, result: 16 << 20 }
    }
}

/// Starts a process of `host` and sees it through to its end. Lines go to `lines` as they come. Once this returns, no
/// process of the run is left.
pub(in crate::node) async fn execute(
    host: &Host,
    execution: Execution,
    lines: mpsc::Sender<(&'static str, String)>,
    cancel: CancellationToken,
) -> Ended {
    // The imports of a fresh parent are not this run's time, and only they may take long.
    let warmed = tokio::select! {
        warmed = host.warm_up() => warmed,
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
    let forked = match warmed {
        Ok(()) => host.start(&execution.run).await,
        Err(error) => Err(error),
    };
    let child = match forked {
        Ok(child) => child,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let deadline = Instant::now() + execution.caps.timeout;
    let Child { killer, mut channel, stdout, stderr, mut exit } = child;
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
        let working = work(&mut channel, &mut exit, &execution, &started);
        tokio::pin!(working);
        loop {
            tokio::select! {
                ended = &mut working => break ended,
                over = &mut printing, if !printed => {
                    printed = true;
                    if let Err(OverBudget) = over {
                        break Ended::Failed(format!("output limit of {} reached", ByteSize::b(execution.caps.output)));
                    }
                }
                () = tokio::time::sleep_until(deadline) => break Ended::Failed(format!(
                    "time limit of {} s reached", execution.caps.timeout.as_secs()
                )),
                () = cancel.cancelled() => break Ended::Cancelled,
            }
        }
    };
    // Whatever it was, nothing of the run is left. One that has a result ends by itself, which takes the least.
    if matches!(ended, Ended::Completed(_)) {
        let _ = tokio::time::timeout(LEAVING, exit.wait()).await;
    }
    if !exit.is_over() {
        killer.kill(&mut exit).await;
    }
    if !printed {
        let _ = tokio::time::timeout(GRACE, &mut printing).await;
    }
    match ended {
        Ended::Failed(error) => Ended::Failed(redactor.redact(&error)),
        Ended::Completed(result) => Ended::Completed(redactor.redact_values(&result)),
        ended => ended,
    }
}

/// Has the run done, and waits for the exit when there is no result.
async fn work(channel: &mut UnixStream, exit: &mut Exit, execution: &Execution, started: &CancellationToken) -> Ended {
    let limit = usize::try_from(execution.caps.result).unwrap_or(usize::MAX);
    match converse(channel, &execution.frame, execution.calls.as_ref(), limit, started).await {
        Ok(Some(frame)) => {
            if frame.ok {
                Ended::Completed(frame.result)
            } else if frame.kind == "memory" {
                Ended::Failed(format!("memory limit of {} reached", ByteSize::b(execution.caps.memory)))
            } else {
                Ended::Failed(frame.message)
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            Ended::Failed(format!("result limit of {} reached", ByteSize::b(execution.caps.result)))
        }
        Ok(None) | Err(_) => Ended::Failed(match tokio::time::timeout(GRACE, exit.wait()).await {
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
