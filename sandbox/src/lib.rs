//! Starts a program that can reach nothing but what it is given: Linux namespaces, Landlock, seccomp and limits around it.
//! It knows nothing of napt.
//!
//! Whoever uses it has its own program run again as the launcher: `main` asks [`launched`] first. What is started so is
//! process 1 of its own PID namespace, on a file system of its own, without a network but for its own loopback. Its
//! standard input is the *control socket*, on which the launcher says first that the program is shut in ([`sealed`]);
//! when the other end of that socket closes, the program and all that it started are killed.

mod control;
#[cfg(target_os = "linux")]
mod forks;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod seccomp;

use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

pub use control::{Sealed, sealed};
use serde::{Deserialize, Serialize};

/// The first argument by which a program knows that it is the launcher.
const LAUNCHER: &str = "__sandbox";

/// The same of a fork server without walls.
const FORK_SERVER: &str = "__forks";

/// How long [`probe`] waits for its answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The user that [`probe`] becomes, when it is root that probes.
const PROBE_UID: u32 = 0x6fff_ffff;

/// What a program is given. Every path is at the same place inside and outside, and has to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What it may read and execute, beside the system's programs and libraries.
    pub read: Vec<PathBuf>,
    /// What it may write too.
    pub write: Vec<PathBuf>,
    /// TCP ports of its loopback that the launcher listens on for its caller, and the only ones that it may connect to.
    pub listen: Vec<u16>,
    /// Who it becomes, when root starts it; else it stays who its caller is.
    pub uid: Option<u32>,
    /// How much it may use.
    pub limits: Limits,
    /// Folders of control groups that it and all that it starts are in. The launcher enters them before anything else.
    pub groups: Vec<PathBuf>,
    /// Whether it may make user namespaces (and nothing else new), so that it can shut in what it starts.
    pub nested: bool,
    /// Whether the launcher stays as process 1, and the program is its child. To process 1 itself, signals that end others
    /// do nothing, its own `abort` among them; and it has to wait for what others leave behind.
    pub init: bool,
    /// Whether the launcher stays as process 1 and is a *fork server*: it starts the program whenever it is asked to on the
    /// control socket, each time in a PID namespace and shut in by itself. No code of the program's ever runs in it.
    ///
    /// It is asked by frames: `start`, which it answers with `ready`; `fork` with a name (`run`) and three descriptors, the
    /// program's standard input (a Unix socket), output and error, answered with `forked` (`run`, `pid`) or `refused` (`run`,
    /// `reason`); `kill` with that name. When the program has ended, and all that it had started, it says `exited` (`run`,
    /// `status`, negative for a signal). What is forked waits for a [`Launch`] as the first frame of its standard input.
    pub serves: bool,
}

/// What a program is started with by a fork server: its first frame, with the `cgroup.procs` of groups that it is to enter.
/// What cannot be done of it is answered by `{"op": "result", "ok": false, "kind": "seal", "message": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What it may read, beside the system and its own file.
    pub root: PathBuf,
    /// What it may write.
    pub scratch: PathBuf,
    /// How much it may use.
    pub limits: Limits,
}

/// Limits of each process of a program; what is absent stays as the caller has it. Core dumps are never written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds of processor time.
    pub cpu: Option<u64>,
    /// Bytes that it may allocate.
    pub memory: Option<u64>,
    /// Processes and threads of its user.
    pub processes: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_size: Option<u64>,
}

/// Why a program could not be shut in.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The launcher has said why.
    #[error("{0}")]
    Failed(String),
    /// It ended without a word, or said what nobody understands.
    #[error("the launcher of the sandbox gave no answer")]
    NoAnswer,
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What this machine has to shut programs in with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mechanisms {
    /// Namespaces of its own for each program, of users, mounts, processes and network. Nothing is shut in without them.
    pub namespaces: bool,
    /// Whether each program can be a user of its own, which is for root to give.
    pub users: bool,
    /// The version of Landlock; 0 where there is none.
    pub landlock: i32,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// What is missing, in words, and what can be done about it.
    pub missing: Vec<String>,
}

/// Starts programs by running `program` as the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    program: PathBuf,
}

impl Launcher {
    /// One whose `main` asks [`launched`]. `/proc/self/exe` is the calling program itself, also when its file has been
    /// replaced meanwhile.
    pub fn new(program: PathBuf) -> Self {
        Launcher { program }
    }

    /// What starts `program`, shut in. Its arguments, variables and folder are the caller's to add, and its standard
    /// input must become the control socket. It ends with the program's exit code, or with 128 and the signal's number.
    pub fn command(&self, policy: &Policy, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        // Paths that are not UTF-8 cannot be said in JSON; the launcher refuses what is then missing.
        let policy = serde_json::to_string(policy).unwrap_or_default();
        command.arg(LAUNCHER).arg(policy).arg(program);
        command
    }

    /// What starts a fork server for `program` where nothing is shut in: there are limits only.
    pub fn fork_server(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(FORK_SERVER).arg(program);
        command
    }
}

/// Takes over when the program was started as the launcher. To be called first thing, while there is only one thread.
pub fn launched(arguments: &[OsString]) -> Option<ExitCode> {
    match arguments {
        #[cfg(target_os = "linux")]
        [_, verb, rest @ ..] if verb == LAUNCHER => Some(launch::launch(rest)),
        #[cfg(target_os = "linux")]
        [_, verb, program] if verb == FORK_SERVER => Some(forks::launch(Path::new(program))),
        _ => None,
    }
}

/// Finds out by trying what this machine has.
pub fn probe(launcher: &Launcher) -> Mechanisms {
    if !cfg!(target_os = "linux") {
        return Mechanisms::lacking("the sandbox needs Linux".to_owned());
    }
    // Root in a container may not be able to become others.
    let as_user = is_root().then(|| tried(launcher, Some(PROBE_UID)));
    let users = matches!(as_user, Some(Ok(_)));
    let sealed = match as_user {
        Some(Ok(sealed)) => Ok(sealed),
        _ => tried(launcher, None),
    };
    match sealed {
        Ok(sealed) => {
            let mut missing = Vec::new();
            if is_root() && !users {
                missing.push("programs stay root's: this root may not become other users".to_owned());
            }
            if sealed.landlock < 6 {
                missing.push(match sealed.landlock {
                    0 => "Landlock is missing: it needs Linux 5.13 or later, with `landlock` in the kernel's `lsm=`".to_owned(),
                    version => {
                        let network = "TCP ports are kept by version 4 (Linux 6.7), and ";
                        let network = if version < 4 { network } else { "" };
                        format!("Landlock is of version {version}: {network}signals between runs are stopped by version 6 (Linux 6.12)")
                    }
                });
            }
            if !sealed.seccomp {
                missing.push(
                    "system calls are not filtered: seccomp is missing, or unknown for this processor".to_owned(),
                );
            }
            Mechanisms { namespaces: true, users, landlock: sealed.landlock, seccomp: sealed.seccomp, missing }
        }
        Err(error) => Mechanisms::lacking(format!("namespaces cannot be used: {error}")),
    }
}

fn tried(launcher: &Launcher, uid: Option<u32>) -> Result<Sealed, SandboxError> {
    let (ours, theirs) = UnixStream::pair()?;
    // A launcher that is told no program ends where it would start one.
    let mut command = launcher.command(&Policy { uid, nested: true, ..Policy::default() }, Path::new(""));
    command.env_clear().current_dir("/").stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // What holds the other end must go, or its end would not be noticed.
    drop(command);
    let sealed = sealed(&ours, PROBE_TIMEOUT);
    drop(ours);
    child.wait()?;
    sealed
}

/// Whether this process may become any user.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Mechanisms {
    fn lacking(reason: String) -> Self {
        Mechanisms { missing: vec![reason], ..Mechanisms::default() }
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// The seccomp filter (an array of `struct sock_filter`) for a process that a `nested` program has shut in: from there
/// on no namespaces are made any more. Empty where system calls are not filtered.
pub fn child_filter() -> Vec<u8> {
    #[cfg(target_os = "linux")]
    return seccomp::child_filter();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// The system's folders and files that every program may read.
pub fn system_paths() -> Vec<PathBuf> {
    #[cfg(target_os = "linux")]
    return mounts::system_paths();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}
