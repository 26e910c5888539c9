//! The launcher. Stage 1 prepares the namespaces and stays outside, to wait; stage 2 is process 1 inside, finishes its
//! walls and becomes the program.

use std::{
    ffi::{OsStr, OsString},
    fmt::Display,
    fs,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use nix::unistd::{ForkResult, fork};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Mode,
    process::{
        DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, pidfd_open,
        pidfd_send_signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit, setsid, waitpid,
    },
    thread::{
        CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use crate::{
    Limits, Policy,
    control::{Word, say},
    forks::serve,
    landlock,
    mounts::Root,
    network, seccomp,
};

/// How the launcher ends when the program was not started.
pub(crate) const NOT_STARTED: u8 = 125;

/// Who a program is, to itself.
const INSIDE: u32 = 1000;

/// What the launcher is told on its command line.
struct Told {
    policy: Policy,
    /// Nothing when only the walls are tried.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
}

/// Why it went wrong, in words.
pub(crate) fn step<T, E: Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("cannot {what}: {error}"))
}

/// Runs the launcher: `POLICY PROGRAM ARGUMENT…`.
pub(crate) fn launch(arguments: &[OsString]) -> ExitCode {
    let stdin = io::stdin();
    let control = stdin.as_fd();
    match outside(arguments, control) {
        Ok(code) => code,
        Err(reason) => {
            // Whoever would read it has gone when it cannot be said.
            let _ = say(control, &Word::Failed { reason }, &[]);
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn told(arguments: &[OsString]) -> Result<Told, String> {
    let [policy, program, arguments @ ..] = arguments else {
        return Err("the launcher needs a policy and a program".to_owned());
    };
    let policy = step("read the policy", serde_json::from_slice(policy.as_encoded_bytes()))?;
    let program = (!program.is_empty()).then(|| PathBuf::from(program));
    Ok(Told { policy, program, arguments: arguments.to_vec() })
}

/// Stage 1.
fn outside(arguments: &[OsString], control: BorrowedFd<'_>) -> Result<ExitCode, String> {
    let told = told(arguments)?;
    let policy = &told.policy;
    for group in &policy.groups {
        let entered = fs::OpenOptions::new().write(true).open(group.join("cgroup.procs")).and_then(|mut door| {
            // Itself.
            door.write_all(b"0")
        });
        step(&format!("enter the control group `{}`", group.display()), entered)?;
    }
    let folder = step("find its folder", std::env::current_dir())?;
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let mut root = None;
    if let Some(uid) = policy.uid {
        // While it may still see everything.
        unshare("mounts", UnshareFlags::NEWNS)?;
        root = Some(Root::build(policy)?);
        step(&format!("become the user {uid}"), become_user(uid))?;
    }
    own_users()?;
    let rest = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    unshare("processes, mounts and the network", rest)?;
    let root = match root {
        Some(root) => root,
        None => Root::build(policy)?,
    };
    step("take the loopback up", network::up())?;
    let listeners = step("listen on the loopback", network::listen(&policy.listen))?;
    // Open as long as stage 1 lives, and nothing is ever written to it.
    let (alive, still_alive) = step("make a pipe", rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC))?;
    match step("start its first process", fork_alone())? {
        ForkResult::Parent { child } => {
            drop((listeners, alive));
            let child = Pid::from_raw(child.as_raw()).ok_or("the first process has no number")?;
            step("wait for the program", wait(child, control, &still_alive))
        }
        ForkResult::Child => {
            drop(still_alive);
            let reason = match inside(&told, root, &folder, control, &listeners, &alive) {
                Ok(code) => return Ok(code),
                Err(reason) => reason,
            };
            let _ = say(control, &Word::Failed { reason }, &[]);
            Ok(ExitCode::from(NOT_STARTED))
        }
    }
}

/// Makes a user namespace with nobody but the own user in it.
pub(crate) fn own_users() -> Result<(), String> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare("users", UnshareFlags::NEWUSER)?;
    let maps = [("setgroups", "deny".to_owned())];
    let ids = [("uid_map", uid.as_raw()), ("gid_map", gid.as_raw())].map(|(map, id)| (map, format!("{INSIDE} {id} 1")));
    for (map, text) in maps.into_iter().chain(ids) {
        // Not emptied first, which Landlock takes for more than writing.
        let file = fs::File::options().write(true).open(Path::new("/proc/self").join(map));
        step("name its user", file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())))?;
    }
    Ok(())
}

fn unshare(what: &str, flags: UnshareFlags) -> Result<(), String> {
    #[expect(deprecated, reason = "it is unsound only with `CLONE_FILES`, beside other threads")]
    step(&format!("make a namespace of {what}"), rustix::thread::unshare(flags))
}

pub(crate) fn fork_alone() -> nix::Result<ForkResult> {
    // SAFETY: the launcher has one thread, so the child may do whatever this process may.
    #[expect(unsafe_code, reason = "there is no safe way to become two processes")]
    unsafe {
        fork()
    }
}

fn become_user(id: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // What changes its user becomes root's, as far as `/proc` goes, where it has to write.
    set_dumpable_behavior(DumpableBehavior::Dumpable)
}

/// Waits for the program, and ends it, with all that it started, when the other end of the control socket is closed.
fn wait(child: Pid, control: BorrowedFd<'_>, _alive: &OwnedFd) -> io::Result<ExitCode> {
    let process = pidfd_open(child, PidfdFlags::empty())?;
    loop {
        let mut events = [PollFd::new(&process, PollFlags::IN), PollFd::from_borrowed_fd(control, PollFlags::empty())];
        match poll(&mut events, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !events[1].revents().is_empty() {
            // The first process of a namespace takes all others with it.
            let _ = pidfd_send_signal(&process, Signal::KILL);
        } else if events[0].revents().is_empty() {
            continue;
        }
        break;
    }
    let (_, status) = waitpid(Some(child), WaitOptions::empty())?.ok_or(io::ErrorKind::NotFound)?;
    Ok(code_of(status))
}

/// Stage 2: returns only when the program could not be started, or when there is none.
fn inside(
    told: &Told,
    root: Root,
    folder: &Path,
    control: BorrowedFd<'_>,
    listeners: &[OwnedFd],
    alive: &OwnedFd,
) -> Result<ExitCode, String> {
    let Told { policy, program, arguments } = told;
    root.enter()?;
    step("name itself", rustix::system::sethostname(b"napt"))?;
    step("set its limits", limit(&policy.limits))?;
    step("make a session", setsid())?;
    step("die with its launcher", set_parent_process_death_signal(Some(Signal::KILL)))?;
    // It may have died before that.
    let mut events = [PollFd::new(alive, PollFlags::empty())];
    step("see its launcher", poll(&mut events, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    if !events[0].revents().is_empty() {
        return Err("the launcher has died".to_owned());
    }
    if !policy.serves {
        step("drop its capabilities", drop_capabilities())?;
    }
    step("give up new privileges", set_no_new_privs(true))?;
    step("enter its folder", std::env::set_current_dir(folder))?;
    if let Some(program) = program {
        step(&format!("run `{}`", program.display()), rustix::fs::access(program, rustix::fs::Access::EXEC_OK))?;
    }
    step("keep no other descriptors", keep_no_descriptors())?;
    let landlock = step("shut itself in by Landlock", landlock::restrict(policy))?;
    let seccomp = seccomp::restrict(policy);
    step("say so", say(control, &Word::Sealed { landlock, seccomp }, listeners))?;
    let Some(program) = program else { return Ok(ExitCode::SUCCESS) };
    if policy.serves {
        return serve(program, Some(policy), control);
    }
    if policy.init
        && let ForkResult::Parent { child } = step("start the program", fork_alone())?
    {
        return step("wait for the program", reap_until(child.as_raw()));
    }
    let error = Command::new(program).args(arguments.iter().map(OsString::as_os_str).collect::<Vec<&OsStr>>()).exec();
    Err(format!("cannot run `{}`: {error}", program.display()))
}

/// What whoever started the node has left open does not reach the program; what Rust opens does not anyway.
fn keep_no_descriptors() -> nix::Result<()> {
    // SAFETY: nothing is closed here, only marked to be closed by `exec`.
    #[expect(unsafe_code, reason = "there is no safe way to mark descriptors that others have opened")]
    let result = unsafe { nix::libc::close_range(3, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC as nix::libc::c_int) };
    nix::errno::Errno::result(result).map(drop)
}

/// Waits for whatever ends, until the program does. What is left then ends with this process.
pub(crate) fn reap_until(program: i32) -> io::Result<ExitCode> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((process, status))) if process.as_raw_nonzero().get() == program => return Ok(code_of(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// An exit code as shells have it.
fn code_of(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

pub(crate) fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let given = [
        (Resource::Core, Some(0)),
        (Resource::Cpu, limits.cpu),
        (Resource::Data, limits.memory),
        (Resource::Nproc, limits.processes),
        (Resource::Nofile, limits.files),
        (Resource::Fsize, limits.file_size),
    ];
    for (resource, value) in given {
        let Some(value) = value else { continue };
        // Nobody gets more than its caller has.
        let bounded = |value: u64| getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
        // Whoever ignores the signal at the first second of too much is killed at the next.
        let more = u64::from(resource == Resource::Cpu);
        setrlimit(resource, Rlimit { current: Some(bounded(value)), maximum: Some(bounded(value + more)) })?;
    }
    Ok(())
}

pub(crate) fn drop_capabilities() -> rustix::io::Result<()> {
    for bit in 0..u64::BITS {
        // The kernel knows fewer than there are bits.
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
