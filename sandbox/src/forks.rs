//! A fork server: it starts its program for one run after the other. What takes long is done ahead: each process is there,
//! in its own PID namespace, with all walls that are the same for every run, before it is told which one it is for. Only then
//! it becomes the program.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use landlock::RulesetCreated;
use nix::libc;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group, pidfd_open,
        set_parent_process_death_signal, setsid, waitpid,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    Launch, Limits, Policy,
    control::{hear, say},
    landlock::{common, enclose},
    launch::{NOT_STARTED, drop_capabilities, fork_alone, limit, own_users, reap_until, step},
    seccomp,
};

/// How often a file that somebody still seems to write is tried again.
const BUSY_TRIES: u32 = 50;
const BETWEEN: Duration = Duration::from_millis(10);

/// What the server is asked.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Asked {
    Start,
    Fork { run: String },
    Kill { run: String },
}

/// What it says.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Said<'a> {
    Ready { warm: bool },
    Forked { run: &'a str, pid: i32 },
    Refused { run: &'a str, reason: String },
    Exited { run: &'a str, status: i32 },
}

/// What a process says when it has its run, of which nothing has been done before.
#[derive(Serialize)]
#[serde(tag = "op", rename = "here")]
struct Here {}

/// Why a run was not started, as the frame that ends it.
#[derive(Serialize)]
#[serde(tag = "op", rename = "result")]
struct Unsealed<'a> {
    ok: bool,
    kind: &'a str,
    message: String,
}

/// A process that has not ended.
struct Run {
    name: String,
    pid: Pid,
    process: OwnedFd,
}

/// Who a process is after it has forked.
enum Forked {
    Server(Pid),
    /// It has come to its end.
    Other(ExitCode),
}

/// Runs a server without walls.
pub(crate) fn launch(program: &Path) -> ExitCode {
    let stdin = io::stdin();
    serve(program, None, stdin.as_fd()).unwrap_or(ExitCode::from(NOT_STARTED))
}

/// Serves until the other end of the control socket is closed; then everything that it has started is ended.
pub(crate) fn serve(program: &Path, policy: Option<&Policy>, control: BorrowedFd<'_>) -> Result<ExitCode, String> {
    let mut runs = Vec::new();
    let served = answer(program, policy, control, &mut runs);
    // In a PID namespace they end with its first process anyway.
    for run in &runs {
        end(run);
    }
    step("serve runs", served)
}

fn answer(
    program: &Path,
    policy: Option<&Policy>,
    control: BorrowedFd<'_>,
    runs: &mut Vec<Run>,
) -> io::Result<ExitCode> {
    loop {
        let mut events = vec![PollFd::from_borrowed_fd(control, PollFlags::IN)];
        events.extend(runs.iter().map(|run| PollFd::new(&run.process, PollFlags::IN)));
        match poll(&mut events, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let told: Vec<bool> = events.iter().map(|event| !event.revents().is_empty()).collect();
        let mut ended = told.iter().skip(1);
        for run in runs.extract_if(.., |_| ended.next().is_some_and(|ended| *ended)) {
            say(control, &Said::Exited { run: &run.name, status: seen_off(&run)? }, &[])?;
        }
        if !told[0] {
            continue;
        }
        let Some((frame, descriptors)) = hear(control)? else { return Ok(ExitCode::SUCCESS) };
        match serde_json::from_slice(&frame)? {
            Asked::Start => say(control, &Said::Ready { warm: true }, &[])?,
            Asked::Kill { run } => runs.iter().filter(|known| known.name == run).for_each(end),
            Asked::Fork { run: name } => match forked(program, policy, descriptors, runs) {
                Ok(Forked::Server(pid)) => {
                    runs.push(Run { process: pidfd_open(pid, PidfdFlags::empty())?, pid, name: name.clone() });
                    say(control, &Said::Forked { run: &name, pid: pid.as_raw_nonzero().get() }, &[])?;
                }
                Ok(Forked::Other(code)) => return Ok(code),
                Err(error) => say(control, &Said::Refused { run: &name, reason: error.to_string() }, &[])?,
            },
        }
    }
}

/// Its exit status as it is told. Not waited for before, so its number is still its own.
fn seen_off(run: &Run) -> io::Result<i32> {
    // What it has left in its group, where it had no namespace.
    let _ = kill_process_group(run.pid, Signal::KILL);
    let (_, status) = waitpid(Some(run.pid), WaitOptions::empty())?.ok_or(io::ErrorKind::NotFound)?;
    let killed = status.terminating_signal().map(|signal| -signal);
    // Process 1 of a namespace tells a signal as shells do.
    let code = status.exit_status().map(|code| if code > 128 { 128 - code } else { code });
    Ok(killed.or(code).unwrap_or_default())
}

fn end(run: &Run) {
    // It may have ended by itself.
    let _ = kill_process_group(run.pid, Signal::KILL);
    let _ = kill_process(run.pid, Signal::KILL);
}

/// Makes a process that waits for its run. Walls give it a PID namespace, with a process 1 that only waits for it.
fn forked(
    program: &Path,
    policy: Option<&Policy>,
    descriptors: Vec<OwnedFd>,
    runs: &mut Vec<Run>,
) -> io::Result<Forked> {
    let server = getpid();
    if let Some(pid) = fork_into(if policy.is_some() { libc::CLONE_NEWPID } else { 0 })? {
        return Ok(Forked::Server(pid));
    }
    // Of others it knows nothing.
    runs.clear();
    let code = match policy {
        Some(_) => match fork_alone()? {
            nix::unistd::ForkResult::Parent { child } => first(descriptors, child.as_raw()),
            nix::unistd::ForkResult::Child => Ok(become_run(program, policy, descriptors)),
        },
        None => tied_to(server).map(|()| become_run(program, policy, descriptors)),
    };
    Ok(Forked::Other(code.unwrap_or(ExitCode::from(NOT_STARTED))))
}

/// Forks into new namespaces; `None` in the new process.
fn fork_into(namespaces: libc::c_int) -> io::Result<Option<Pid>> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without a stack it is what `fork` does, and the server has one thread, so the child may do whatever it may.
    #[expect(unsafe_code, reason = "there is no safe way to become two processes")]
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    let pid = nix::errno::Errno::result(pid)?;
    Ok(i32::try_from(pid).ok().and_then(Pid::from_raw))
}

/// Process 1 of a run.
fn first(descriptors: Vec<OwnedFd>, program: i32) -> io::Result<ExitCode> {
    // Whoever reads what the program prints waits for all who could print.
    drop(descriptors);
    drop_capabilities()?;
    reap_until(program)
}

/// Without a namespace that ends with it, a process ends by a signal.
fn tied_to(server: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(server) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The process of a run: shuts itself in, waits for its first frame, and becomes the program. Returns when it does not.
fn become_run(program: &Path, policy: Option<&Policy>, descriptors: Vec<OwnedFd>) -> ExitCode {
    let mut descriptors = descriptors.into_iter();
    let (Ok(_), Some(channel), Some(stdout), Some(stderr)) =
        (setsid(), descriptors.next(), descriptors.next(), descriptors.next())
    else {
        return ExitCode::from(NOT_STARTED);
    };
    // Ahead, since the kernel can take milliseconds for it.
    let entered = step("enter its control groups", join(descriptors));
    let Ok(stdin) = channel.try_clone() else { return ExitCode::from(NOT_STARTED) };
    let mut command = Command::new(program);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let walls = entered.and_then(|()| policy.map(|policy| shut_in(program, policy)).transpose());
    // One that is needed no more is told nothing.
    let Ok(Some((frame, _))) = hear(channel.as_fd()) else { return ExitCode::SUCCESS };
    if say(channel.as_fd(), &Here {}, &[]).is_err() {
        return ExitCode::SUCCESS;
    }
    let reason = match walls.and_then(|walls| enter(&frame, walls)) {
        Ok(()) => execute(&mut command),
        Err(reason) => format!("cannot seal the run: {reason}"),
    };
    // Whoever would read it has gone when it cannot be said.
    let _ = say(channel.as_fd(), &Unsealed { ok: false, kind: "seal", message: reason }, &[]);
    ExitCode::from(NOT_STARTED)
}

fn join(groups: impl Iterator<Item = OwnedFd>) -> io::Result<()> {
    for group in groups {
        rustix::io::write(group, b"0")?;
    }
    Ok(())
}

/// All that is the same for every run.
fn shut_in(program: &Path, policy: &Policy) -> Result<RulesetCreated, String> {
    own_users()?;
    step("drop its capabilities", drop_capabilities())?;
    let rules = step("make the rules of Landlock", common(program, &policy.listen))?;
    step("filter system calls", seccomp::restrict_child())?;
    Ok(rules)
}

/// The rest.
fn enter(frame: &[u8], walls: Option<RulesetCreated>) -> Result<(), String> {
    let Launch { root, scratch, limits } = step("read how to start", serde_json::from_slice(frame))?;
    // Elsewhere than in a namespace of its own, all that its user runs would count.
    let processes = limits.processes.filter(|_| walls.is_some());
    step("set its limits", limit(&Limits { processes, ..limits }))?;
    walls.map_or(Ok(()), |walls| step("shut itself in by Landlock", enclose(walls, &root, &scratch)))
}

/// Returns only when that failed, with the reason.
fn execute(command: &mut Command) -> String {
    let mut tries = 0;
    loop {
        let error = command.exec();
        // A process that was forked just now may hold the file that was written until it executes its own.
        if error.kind() != io::ErrorKind::ExecutableFileBusy || tries == BUSY_TRIES {
            return format!("cannot run the module's program: {error}");
        }
        tries += 1;
        std::thread::sleep(BETWEEN);
    }
}
