//! A built module: its binary is started for each run, with the run's channel as its standard input.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    net::{UnixStream, unix::pipe},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::super::{
    RuntimeError,
    python::{Child, Exit, Killer},
};

/// How often a file that somebody still seems to write is tried again.
const BUSY_TRIES: u32 = 50;

/// A module's binary.
#[derive(Debug)]
pub(in crate::node) struct Program {
    binary: PathBuf,
    /// Where it is started: a folder that stays as long as the node.
    folder: PathBuf,
}

impl Program {
    /// A binary that is built already.
    pub(in crate::node::runtime) fn new(binary: PathBuf, folder: PathBuf) -> Self {
        Program { binary, folder }
    }

    /// Starts a process for a run. Its frame must then be written to its channel.
    pub(in crate::node::runtime) async fn start(&self) -> Result<Child, RuntimeError> {
        let (channel, channel_theirs) = std::os::unix::net::UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let (stdout_theirs, stdout) = pipe::pipe()?;
        let (stderr_theirs, stderr) = pipe::pipe()?;
        let (channel_theirs, stdout_theirs, stderr_theirs) =
            (OwnedFd::from(channel_theirs), stdout_theirs.into_blocking_fd()?, stderr_theirs.into_blocking_fd()?);
        let mut tries = 0;
        let process = loop {
            let mut command = Command::new(&self.binary);
            command
                .env_clear()
                .env("LANG", "C.UTF-8")
                .current_dir(&self.folder)
                .stdin(Stdio::from(channel_theirs.try_clone()?))
                .stdout(Stdio::from(stdout_theirs.try_clone()?))
                .stderr(Stdio::from(stderr_theirs.try_clone()?));
            let mut command = CommandWrap::from(tokio::process::Command::from(command));
            match command.wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn() {
                // A process that the node forked just now may hold the file that was written until it executes its own.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                process => break process?,
            }
        };
        let kill = CancellationToken::new();
        let (exited, receiver) = oneshot::channel();
        tokio::spawn(see_off(process, kill.clone(), exited));
        Ok(Child {
            killer: Killer::Started(kill),
            channel: UnixStream::from_std(channel)?,
            stdout,
            stderr,
            exit: Exit::new(receiver),
        })
    }
}

/// Waits for a process and tells its status, negative for a signal, once its group is gone with it.
async fn see_off(mut process: Box<dyn ChildWrapper>, kill: CancellationToken, exited: oneshot::Sender<i32>) {
    let group = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let status = tokio::select! {
        status = process.wait() => status,
        () = kill.cancelled() => {
            // It may be dead by now.
            let _ = process.start_kill();
            process.wait().await
        }
    };
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let Ok(status) = status else { return };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| -signal);
    // Whoever waited may be gone.
    let _ = exited.send(signal.or(status.code()).unwrap_or_default());
}
