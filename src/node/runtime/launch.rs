//! Starting programs that run strangers' code: by the launcher of the sandbox where this machine has one, in a control group
//! where the node may make one, and never with less than there was at the node's start.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use napt_sandbox::{Launcher, Limits, Mechanisms, Policy, SandboxError, Sealed, sealed};
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    RuntimeError,
    cgroups::{Bounds, Cgroups, Group},
};

/// Where the way out is, on the loopback of each program.
pub(super) const PROXY_PORT: u16 = 3128;

/// Processes of the launcher, which are in a program's group too.
const LAUNCHERS: u64 = 2;

/// How long the launcher may take.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked whether a group is out of memory.
const LOOK: Duration = Duration::from_secs(1);

/// Starts programs.
#[derive(Debug)]
pub(in crate::node) struct Launches {
    launcher: Launcher,
    /// What there was at the node's start.
    mechanisms: Mechanisms,
    cgroups: Option<Arc<Cgroups>>,
    /// Groups that there have been.
    groups: AtomicU64,
}

/// A program that was started.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) process: Box<dyn ChildWrapper>,
    /// The other end of its standard input. When it closes, the program ends, where there are walls.
    pub(super) control: UnixStream,
    /// What it listens on inside.
    pub(super) listeners: Vec<TcpListener>,
    /// The version of Landlock around it; nothing where there are no walls.
    pub(super) landlock: Option<i32>,
}

impl Launches {
    pub(in crate::node) fn new(launcher: Launcher, mechanisms: Mechanisms, cgroups: Option<Arc<Cgroups>>) -> Self {
        Launches { launcher, mechanisms, cgroups, groups: AtomicU64::new(0) }
    }

    /// Whether programs are shut in.
    pub(super) fn stand(&self) -> bool {
        self.mechanisms.namespaces
    }

    /// Whether they become users of their own.
    pub(super) fn has_users(&self) -> bool {
        self.mechanisms.namespaces && self.mechanisms.users
    }

    /// A group of its own for a program that is `what`, where there are groups. It goes when nobody has it any more.
    pub(super) async fn group(&self, what: &str, bounds: Bounds) -> std::io::Result<Option<Arc<Group>>> {
        let bounds = Bounds { processes: bounds.processes.saturating_add(LAUNCHERS), ..bounds };
        Ok(self.made(what, bounds).await?.map(Arc::new))
    }

    /// A group of its own for a run: another one may have been in it, and is over.
    pub(super) async fn group_of_run(&self, bounds: Bounds) -> std::io::Result<Option<Group>> {
        match self.cgroups.as_ref().and_then(|cgroups| cgroups.used(bounds)) {
            Some(used) => Ok(Some(used)),
            None => self.made("run", bounds).await,
        }
    }

    async fn made(&self, what: &str, bounds: Bounds) -> std::io::Result<Option<Group>> {
        let Some(cgroups) = self.cgroups.clone() else { return Ok(None) };
        let name = format!("{what}-{}", self.groups.fetch_add(1, Ordering::Relaxed));
        let made = tokio::task::spawn_blocking(move || cgroups.group(&name, bounds)).await;
        made.map_err(std::io::Error::other)?.map(Some)
    }

    /// Starts a program, and waits until it is shut in. `prepare` adds its arguments, variables, folder and output.
    pub(super) async fn start(
        &self,
        program: &Path,
        mut policy: Policy,
        group: Option<&Group>,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Launched, RuntimeError> {
        policy.groups = group.map(Group::folders).unwrap_or_default();
        let mut command = match (self.stand(), policy.serves) {
            (true, _) => self.launcher.command(&policy, program),
            (false, true) => self.launcher.fork_server(program),
            (false, false) => Command::new(program),
        };
        let (control, theirs) = UnixStream::pair()?;
        prepare(&mut command);
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut command = CommandWrap::from(tokio::process::Command::from(command));
        command.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
        let process = command.spawn()?;
        // It holds the other end, whose closing must be noticed.
        drop(command);
        if !self.stand() {
            if let Some(process) = process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                // What it has started by now stays outside: nobody else can bring it in.
                group.map_or(Ok(()), |group| group.bring(process))?;
                bound(process, &policy.limits);
            }
            return Ok(Launched { process, control, listeners: Vec::new(), landlock: None });
        }
        let sealing = tokio::task::spawn_blocking(move || {
            let sealed = sealed(&control, LAUNCH_TIMEOUT)?;
            Ok::<_, SandboxError>((control, sealed))
        });
        let (control, inside) = sealing.await.map_err(std::io::Error::other)??;
        if !inside.is_as(&self.mechanisms) {
            return Err(SandboxError::Failed("it is not shut in as it was at the node's start".to_owned()).into());
        }
        let Sealed { listeners, landlock, .. } = inside;
        Ok(Launched { process, control, listeners, landlock: Some(landlock) })
    }
}

/// Limits a process that no launcher has limited.
fn bound(process: Pid, limits: &Limits) {
    let bounds = [
        (Resource::Core, Some(0)),
        (Resource::Cpu, limits.cpu),
        (Resource::Data, limits.memory),
        (Resource::Nofile, limits.files),
        (Resource::Fsize, limits.file_size),
    ];
    for (resource, most) in bounds {
        if most.is_some() {
            // One that has ended already needs none.
            let _ = prlimit(Some(process), resource, Rlimit { current: most, maximum: most });
        }
    }
}

/// Ends all that is in a group once it is out of memory: the kernel kills one process of it, and what it leaves may wait for
/// that one for ever. Returns then, or when nobody else has the group any more.
pub(super) async fn end_when_spent(group: Weak<Group>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(group) = group.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            let is_spent = group.is_spent();
            if is_spent {
                group.end();
            }
            is_spent
        });
        if looked.await.is_ok_and(|is_spent| is_spent) {
            return;
        }
    }
}
