//! One run of a module: its process from the fork to the end, its output as lines, its limits.

use std::time::Duration;

use bytesize::ByteSize;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::mpsc,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    frames::{read_frame, write_frame},
    python::{Child, Parent, ResultFrame, RunFrame},
    redact::Redactor,
};

/// How long a process may take to go away once its result is there, and its output to end once it is gone.
const GRACE: Duration = Duration::from_secs(2);

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

/// Forks a child of `parent` and sees it through to its end. Lines go to `lines` as they come.
pub(in crate::node) async fn execute(
    parent: &Parent,
    execution: Execution,
    lines: mpsc::Sender<(&'static str, String)>,
    cancel: CancellationToken,
) -> Ended {
    let deadline = Instant::now() + execution.caps.timeout;
    let mut child = match parent.fork(&execution.run).await {
        Ok(child) => child,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let stdout = BufReader::new(std::mem::replace(&mut child.stdout, empty_pipe()));
    let stderr = BufReader::new(std::mem::replace(&mut child.stderr, empty_pipe()));
    let redactor = Redactor::new(&execution.secret);
    let output = Output { lines, redactor: &redactor, budget: execution.caps.output.into() };
    let printing =
        async { tokio::try_join!(output.forward("stdout", stdout), output.forward("stderr", stderr)).map(|_| ()) };
    tokio::pin!(printing);
    let mut printed = false;
    let ended = {
        let working = converse(&mut child, &execution);
        tokio::pin!(working);
        loop {
            tokio::select! {
                ended = &mut working => break ended,
                over = &mut printing, if !printed => match over {
                    Ok(()) => printed = true,
                    Err(OverBudget) => break Ended::Failed(format!(
                        "output limit of {} reached", ByteSize::b(execution.caps.output)
                    )),
                },
                () = tokio::time::sleep_until(deadline) => break Ended::Failed(format!(
                    "time limit of {} s reached", execution.caps.timeout.as_secs()
                )),
                () = cancel.cancelled() => break Ended::Cancelled,
            }
        }
    };
    // Whatever it was, nothing of the run is left.
    child.kill().await;
    if !printed {
        // A process that left its group may hold the pipes: what it prints is nobody's.
        let _ = tokio::time::timeout(GRACE, &mut printing).await;
    }
    match ended {
        Ended::Failed(error) => Ended::Failed(redactor.redact(&error)),
        ended => ended,
    }
}

/// A receiver that stands in for one that was taken.
fn empty_pipe() -> tokio::net::unix::pipe::Receiver {
    tokio::net::unix::pipe::pipe().expect("two descriptors after several others").1
}

/// Sends the run, waits for the result and the exit.
async fn converse(child: &mut Child, execution: &Execution) -> Ended {
    let limit = usize::try_from(execution.caps.result).unwrap_or(usize::MAX);
    let conversation = async {
        write_frame(&mut child.channel, &execution.frame).await?;
        read_frame::<ResultFrame>(&mut child.channel, limit).await
    };
    let frame = conversation.await;
    match frame {
        Ok(Some(frame)) => {
            let _ = tokio::time::timeout(GRACE, &mut child.exited).await;
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
        Ok(None) | Err(_) => match tokio::time::timeout(GRACE, &mut child.exited).await {
            Ok(Ok(status)) if status < 0 => {
                Ended::Failed(format!("the module's process was ended by signal {} before it had a result", -status))
            }
            Ok(Ok(status)) => {
                Ended::Failed(format!("the module's process exited with code {status} before it had a result"))
            }
            _ => Ended::Failed("the module's process ended before it had a result".to_owned()),
        },
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
                self.send(stream, &mut line).await;
            }
        }
        if !line.is_empty() {
            self.send(stream, &mut line).await;
        }
        Ok(())
    }

    async fn send(&self, stream: &'static str, line: &mut Vec<u8>) {
        let text = self.redactor.redact(String::from_utf8_lossy(line).trim_end_matches('\r'));
        line.clear();
        // The receiver outlives the run; when it has gone, the node is stopping.
        let _ = self.lines.send((stream, text)).await;
    }
}
