//! What a parent forks.

use std::{sync::Arc, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    net::{UnixStream, unix::pipe},
    sync::oneshot,
};

use super::{
    super::{
        cgroups::Group,
        frames::{read_frame, write_frame},
        messages::{FromChild, RunFrame},
    },
    PARENT_FRAME,
    live::{Live, Used},
};

/// How long a parent may take to see a killed child off.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A forked child.
#[derive(Debug)]
pub(in crate::node) struct Child {
    pub(super) live: Arc<Live>,
    pub(super) forked: Forked,
}

/// The same without its parent.
#[derive(Debug)]
pub(in crate::node) struct Forked {
    /// What its parent calls it.
    pub(super) name: String,
    pub(super) pid: i32,
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
    pub(super) fn new(receiver: oneshot::Receiver<i32>, used: Arc<Used>) -> Self {
        Exit { receiver: Some(receiver), status: None, used }
    }

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
    pub(super) fn is_open(&mut self) -> bool {
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
    pub(in crate::node::runtime) fn group(&self) -> Option<&Group> {
        self.live.group()
    }

    /// Returns once nothing of the run is left.
    pub(in crate::node) async fn kill(&self, exit: &mut Exit) {
        let told = async {
            self.live.kill(&self.name).await.ok()?;
            exit.wait().await
        };
        if let Ok(Some(_)) = tokio::time::timeout(KILL_TIMEOUT, told).await {
            return;
        }
        // The parent has died or does not answer. Its child dies with it; this is for the rest of the child's group.
        self.live.abandon();
        if !self.live.is_walled()
            && let Some(group) = Pid::from_raw(self.pid)
        {
            let _ = kill_process_group(group, Signal::KILL);
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

impl Forked {
    /// Tells it its run, and waits until it has that.
    pub(super) async fn tell(&mut self, frame: &RunFrame, is_of_rust: bool) -> std::io::Result<()> {
        if is_of_rust {
            // For what becomes the binary; what comes after it waits for the binary.
            write_frame(&mut self.channel, &frame.launch()).await?;
        }
        write_frame(&mut self.channel, frame).await?;
        match read_frame(&mut self.channel, PARENT_FRAME).await? {
            Some(FromChild::Here) => Ok(()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
