//! A built module: its binary is started for each run, with the run's channel as its standard input.

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use napt_sandbox::Limits;
use process_wrap::tokio::ChildWrapper;
use rustix::process::{Pid, Signal, kill_process_group};
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
        let [stdout_theirs, stderr_theirs] = [stdout_theirs.into_blocking_fd()?, stderr_theirs.into_blocking_fd()?];
        let admitted = self.walls.start(&self.place, inner, &self.binary, group, |command| {
            command.stdout(Stdio::from(stdout_theirs)).stderr(Stdio::from(stderr_theirs));
        });
        let Admitted { process, stream, served, .. } = admitted.await?;
        let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
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
