//! A built module: its binary is started for each run, with the run's channel as its standard input.

use std::{io, os::fd::OwnedFd, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use napt_sandbox::Limits;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::{net::unix::pipe, sync::oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::{
    RuntimeError,
    caps::ProcessLimits,
    cgroups::Group,
    python::RunFrame,
    walls::{Admitted, Confined, Place, Walls},
    worker::{Begun, Channel, End, Printed},
};

/// How often a file that somebody still seems to write is tried again.
const BUSY_TRIES: u32 = 50;

/// How long a process may take to be gone once it is killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A module's binary.
#[derive(Debug)]
pub(in crate::node) struct Program {
    binary: PathBuf,
    walls: Arc<Walls>,
    place: Arc<Place>,
}

impl Program {
    /// A binary that is built already.
    pub(super) fn new(binary: PathBuf, walls: Arc<Walls>) -> Self {
        let place = Arc::new(walls.place());
        Program { binary, walls, place }
    }

    /// Where its runs have their folders.
    pub(in crate::node::runtime) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Starts a process for a run. Its frame must then be written to its channel.
    pub(in crate::node::runtime) async fn begin(
        &self,
        frame: &RunFrame,
        group: Option<&Group>,
    ) -> Result<Begun, RuntimeError> {
        let (channel, channel_theirs) = std::os::unix::net::UnixStream::pair()?;
        let ProcessLimits { cpu, memory, processes, files, file_size } = frame.limits;
        let limits = Limits {
            cpu: Some(cpu),
            memory: Some(memory),
            files: Some(files),
            file_size: Some(file_size),
            // The launcher, which sees it off, is one of them.
            processes: processes.map(|most| most + 1),
        };
        let inner =
            Confined { read: vec![self.binary.clone()], write: Some(frame.scratch.clone()), limits, nested: false };
        let (stdout_theirs, stdout) = pipe::pipe()?;
        let (stderr_theirs, stderr) = pipe::pipe()?;
        let theirs =
            [OwnedFd::from(channel_theirs), stdout_theirs.into_blocking_fd()?, stderr_theirs.into_blocking_fd()?];
        let mut tries = 0;
        let process = loop {
            let [stdin, stdout, stderr] = [theirs[0].try_clone()?, theirs[1].try_clone()?, theirs[2].try_clone()?];
            let mut command = self.walls.command(&self.place, &inner, &self.binary)?;
            command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
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
        let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let (Some(group), Some(id)) = (group, id) {
            // The launcher, and so all that it starts.
            group.bring(id)?;
        }
        drop(theirs);
        if !self.walls.stand() {
            let limits = &frame.limits;
            let bounds = [
                (Resource::Core, 0),
                (Resource::Data, limits.memory),
                (Resource::Cpu, limits.cpu),
                (Resource::Nofile, limits.files),
                (Resource::Fsize, limits.file_size),
            ];
            for (resource, most) in bounds {
                let limit = Rlimit { current: Some(most), maximum: Some(most) };
                // One that has ended already needs none.
                let _ = id.map(|id| prlimit(Some(id), resource, limit));
            }
        }
        let Admitted { stream, served, .. } = self.walls.admit(&inner, channel).await?;
        let kill = CancellationToken::new();
        let (exited, receiver) = oneshot::channel();
        tokio::spawn(see_off(process, id, kill.clone(), exited, served));
        Ok(Begun {
            channel: Channel::Socket(stream),
            printed: Printed::Pipes(stdout, stderr),
            end: End::Program(Started { kill, exited: Some(receiver), status: None }),
        })
    }
}

/// A process of a run.
#[derive(Debug)]
pub(in crate::node) struct Started {
    kill: CancellationToken,
    exited: Option<oneshot::Receiver<i32>>,
    status: Option<i32>,
}

impl Started {
    /// Its exit status, negative for a signal.
    pub(in crate::node::runtime) async fn wait(&mut self) -> Option<i32> {
        if let Some(exited) = &mut self.exited {
            self.status = exited.await.ok();
            self.exited = None;
        }
        self.status
    }

    /// Ends it, if it has not ended.
    pub(in crate::node::runtime) async fn kill(&mut self) {
        self.kill.cancel();
        // The kernel owes its end; whoever waits does not.
        let _ = tokio::time::timeout(KILL_TIMEOUT, self.wait()).await;
    }
}

/// Waits for a process and tells its status, once its group is gone with it.
async fn see_off(
    mut process: Box<dyn ChildWrapper>,
    group: Option<Pid>,
    kill: CancellationToken,
    exited: oneshot::Sender<i32>,
    served: Option<DropGuard>,
) {
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
    // The launcher tells a signal as shells do.
    let code = status.code().map(|code| if served.is_some() && code > 128 { 128 - code } else { code });
    // Whoever waited may be gone.
    let _ = exited.send(signal.or(code).unwrap_or_default());
}
