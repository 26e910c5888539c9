//! One program of an install, shut in.

use std::{
    ffi::OsString,
    io::ErrorKind,
    os::unix::{
        fs::{MetadataExt, lchown},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytesize::ByteSize;
use napt_sandbox::{Limits, Policy};
use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Semaphore,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    super::{
        RuntimeError,
        caps::Limit,
        cgroups::{Bounds, Group},
        launch::{Launched, Launches, PROXY_PORT},
    },
    EnvironmentError,
};

/// How long a program of an install may take.
const TIME: Duration = Duration::from_secs(600);

/// How much each process of a build may allocate, and all of one program together.
const MEMORY: u64 = 4 << 30;

/// Processes and threads of a program at a time.
const PROCESSES: u64 = 256;

const TOGETHER: Bounds = Bounds { memory: MEMORY, processes: PROCESSES, cpu: None };

/// How much a build may write.
const DISK: u64 = 4 << 30;

/// How much an install leaves of a disk, however large the packages are.
const RESERVE: u64 = 256 << 20;

/// How much a program may print.
const OUTPUT: u64 = 16 << 20;

/// How much of what it printed last is kept, to tell what failed.
const KEPT: usize = 64 << 10;

/// How many lines of that are told.
const LINES: usize = 60;

/// How often it is looked how much a build has written.
const LOOK: Duration = Duration::from_millis(500);

/// How long a program may take to go away once it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Who the installer is when root runs the node: the cache and environments are its, and no run is it.
const INSTALLER: u32 = 0x6fff_fffe;

/// The first of the users that builds are, and how many there are.
const FIRST_BUILDER: u32 = 0x6000_0000;
const BUILDERS: u32 = 0x0fff_0000;

/// How programs are told of it.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Whose code a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node::runtime) enum Code {
    /// The installer's and the interpreter's own.
    Own,
    /// That of packages too.
    Strangers,
}

/// What a program of an install reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Reach {
    /// Nothing.
    Nothing,
    /// Package indexes, whatever networks they are in. Only for the installer, and only when no module tells it where
    /// to go: it goes where the operator's indexes send it.
    Indexes,
    /// The public network, and indexes that are known.
    Public,
}

/// One program of an install.
#[derive(Debug)]
pub(in crate::node::runtime) struct Step<'a> {
    /// What is being done, for people.
    pub(in crate::node::runtime) what: &'a str,
    pub(in crate::node::runtime) code: Code,
    pub(in crate::node::runtime) program: &'a Path,
    pub(in crate::node::runtime) arguments: Vec<OsString>,
    pub(in crate::node::runtime) variables: Vec<(String, String)>,
    /// What it may read beside the system.
    pub(in crate::node::runtime) read: Vec<PathBuf>,
    /// Folders that it may write to, which are there.
    pub(in crate::node::runtime) write: Vec<PathBuf>,
    /// One of them, or a folder below, that it works in.
    pub(in crate::node::runtime) work: &'a Path,
    pub(in crate::node::runtime) reach: Reach,
    /// The operator's proxies, for where there are no walls.
    pub(in crate::node::runtime) proxies: Vec<(String, String)>,
}

/// Who serves the proxy by which the programs of installs reach package indexes.
#[async_trait]
pub(in crate::node) trait WayOut: std::fmt::Debug + Send + Sync {
    /// Serves it until it is dropped.
    async fn serve(&self, proxy: std::net::TcpListener, reach: Reach);
}

/// Runs the programs of installs.
#[derive(Debug)]
pub(in crate::node) struct Steps {
    /// For those that want a whole one.
    cores: Semaphore,
    /// More than cores: a build that only waits must not hold up the others.
    builds: Semaphore,
    launches: Arc<Launches>,
    way_out: OnceLock<Arc<dyn WayOut>>,
    /// Builds that there have been.
    users: AtomicU32,
    /// Whoever holds it gives folders away.
    giving: Arc<Mutex<()>>,
}

impl Steps {
    pub(in crate::node) fn new(launches: Arc<Launches>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Steps {
            cores: Semaphore::new(cores),
            builds: Semaphore::new((2 * cores).max(8)),
            launches,
            way_out: OnceLock::new(),
            users: AtomicU32::new(0),
            giving: Arc::default(),
        }
    }

    /// From now on this is how indexes are reached.
    pub(in crate::node::runtime) fn reach_by(&self, way_out: Arc<dyn WayOut>) {
        // A node has one, and says so once.
        let _ = self.way_out.set(way_out);
    }

    /// Who a program becomes, when root runs the node.
    fn user(&self, code: Code) -> Option<u32> {
        self.launches.has_users().then(|| match code {
            Code::Own => INSTALLER,
            Code::Strangers => FIRST_BUILDER + self.users.fetch_add(1, Ordering::Relaxed) % BUILDERS,
        })
    }

    /// What the program prints. Nothing of it is left when this returns.
    pub(in crate::node::runtime) async fn run(&self, step: Step<'_>) -> Result<Vec<u8>, EnvironmentError> {
        let _turn = match (step.code, step.reach) {
            (Code::Strangers, _) => self.builds.acquire().await.ok(),
            (Code::Own, Reach::Nothing) => self.cores.acquire().await.ok(),
            // It waits for the network, most of the time.
            (Code::Own, _) => None,
        };
        let failed = |output: String| EnvironmentError::Failed { what: step.what.to_owned(), output };
        let stands = self.launches.stand();
        let user = self.user(step.code);
        if let Some(user) = user {
            let (write, work, giving) = (step.write.clone(), step.work.to_owned(), self.giving.clone());
            let given = tokio::task::spawn_blocking(move || {
                // What all installs share is given away by the first of them, before any of them works in it.
                let _one = giving.lock().unwrap_or_else(PoisonError::into_inner);
                let is_given = |folder: &Path| fs_err::symlink_metadata(folder).is_ok_and(|it| it.uid() == user);
                write.iter().filter(|folder| !is_given(folder)).try_for_each(|folder| give(folder, user))?;
                // One below them may have been made, and not been filled yet, while they were given away.
                if write.contains(&work) { Ok(()) } else { give(&work, user) }
            });
            given.await.map_err(std::io::Error::other)??;
        }
        let group = self.launches.group("install", TOGETHER).await?;
        let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
        let launched = self.launches.start(step.program, step.policy(user), group.as_deref(), |command| {
            command
                .args(&step.arguments)
                .current_dir(if stands { Path::new("/") } else { step.work })
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("LANG", "C.UTF-8")
                .envs(step.variables.iter().map(|(name, value)| (name, value)))
                .env("HOME", step.work)
                .env("TMPDIR", step.work)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            match (stands, step.reach != Reach::Nothing) {
                (true, true) => drop(command.envs(PROXY_VARIABLES.map(|name| (name, &proxy)))),
                (false, true) => drop(command.envs(step.proxies.iter().map(|(name, value)| (name, value)))),
                _ => {}
            }
        });
        let Launched { mut process, control, listeners, .. } = launched.await.map_err(|error| match error {
            RuntimeError::Io(error) => error.into(),
            RuntimeError::Walls(error) => failed(format!("it cannot be shut in: {error}")),
            error => failed(error.to_string()),
        })?;
        let _served = self.serve(listeners, step.reach);
        let (stdout, stderr) = (process.stdout().take(), process.stderr().take());
        let limit = |limit: String| EnvironmentError::Limit { what: step.what.to_owned(), limit };
        let ended = {
            let working = async {
                let (status, printed, said) =
                    tokio::join!(process.wait(), collect(stdout, OUTPUT, usize::MAX), collect(stderr, OUTPUT, KEPT));
                let told = || limit(format!("output limit of {}", size_of(OUTPUT)));
                Ok::<_, EnvironmentError>((status?, printed.ok_or_else(told)?, said.ok_or_else(told)?))
            };
            let too_large = async {
                match step.code {
                    Code::Own => filled(step.work).await,
                    Code::Strangers => grown(&step.write, DISK).await,
                }
            };
            tokio::select! {
                done = working => done,
                () = tokio::time::sleep(TIME) => Err(limit(format!("time limit of {} s", TIME.as_secs()))),
                () = out_of_memory(group.as_deref()) => Err(limit(format!("memory limit of {}", size_of(MEMORY)))),
                () = too_large => Err(limit(match step.code {
                    Code::Own => format!("disk reserve of {}", size_of(RESERVE)),
                    Code::Strangers => format!("disk limit of {}", size_of(DISK)),
                })),
            }
        };
        // Where there are walls, all that it started ends with it.
        drop(control);
        if ended.is_err() {
            let _ = process.start_kill();
            let _ = tokio::time::timeout(END_TIMEOUT, process.wait()).await;
        }
        let hit = match group {
            // Nor of what has detached itself is anything left, where there are no walls.
            Some(group) => tokio::task::spawn_blocking(move || {
                group.end();
                group.hit()
            })
            .await
            .map_err(std::io::Error::other)?,
            None => None,
        };
        let (status, printed, said) = ended?;
        match hit {
            Some(Limit::Memory) => return Err(limit(format!("memory limit of {}", size_of(MEMORY)))),
            // It has coped, or not.
            _ if status.success() => return Ok(printed),
            Some(Limit::Processes) => return Err(limit(format!("process limit of {PROCESSES}"))),
            _ => {}
        }
        let output = last_lines(&said, status);
        match limit_in(&said, status).filter(|_| step.code == Code::Strangers) {
            Some(reached) => Err(EnvironmentError::Limit { what: step.what.to_owned(), limit: reached }),
            None => Err(failed(output)),
        }
    }

    /// Serves the proxy as long as what it gives is held.
    fn serve(&self, listeners: Vec<std::net::TcpListener>, reach: Reach) -> Option<DropGuard> {
        let (way_out, listener) = (self.way_out.get()?.clone(), listeners.into_iter().next()?);
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        tokio::spawn(over.run_until_cancelled_owned(async move { way_out.serve(listener, reach).await }));
        Some(guard)
    }
}

impl Step<'_> {
    fn policy(&self, uid: Option<u32>) -> Policy {
        let limits = match self.code {
            Code::Own => Limits::default(),
            Code::Strangers => {
                Limits { memory: Some(MEMORY), processes: Some(PROCESSES), file_size: Some(DISK), ..Limits::default() }
            }
        };
        Policy {
            read: self.read.iter().filter(|path| path.exists()).cloned().collect(),
            write: self.write.clone(),
            listen: if self.reach == Reach::Nothing { Vec::new() } else { vec![PROXY_PORT] },
            uid,
            limits,
            groups: Vec::new(),
            nested: false,
            init: true,
            serves: false,
        }
    }
}

/// Gives a folder away with all that is in it.
fn give(folder: &Path, user: u32) -> std::io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let given = match entry.file_type()?.is_dir() {
            true => give(&entry.path(), user),
            false => lchown(entry.path(), Some(user), Some(user)),
        };
        // What another install has removed meanwhile is nobody's.
        given.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    // Last, since it says that all is done.
    lchown(folder, Some(user), Some(user))
}

/// The limit that a build has run into, by what it says about it.
fn limit_in(said: &[u8], status: ExitStatus) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["MemoryError", "Cannot allocate memory", "memory allocation of"]) {
        return Some(format!("memory limit of {}", size_of(MEMORY)));
    }
    if has(&["Resource temporarily unavailable", "can't start new thread"]) {
        return Some(format!("process limit of {PROCESSES}"));
    }
    let too_large = Some(Signal::XFSZ.as_raw());
    if has(&["File too large"]) || status.signal() == too_large || status.code().map(|code| code - 128) == too_large {
        return Some(format!("disk limit of {}", size_of(DISK)));
    }
    None
}

fn size_of(bytes: u64) -> impl std::fmt::Display {
    ByteSize::b(bytes)
}

/// All that comes, but only the last `kept` bytes; nothing when it is more than the limit.
async fn collect(from: Option<impl AsyncRead + Unpin>, limit: u64, kept: usize) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let Some(mut from) = from else { return Some(all) };
    let mut count = 0;
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        count += read as u64;
        if count > limit {
            return None;
        }
        all.extend_from_slice(&buffer[..read]);
        if all.len() > kept.saturating_mul(2) {
            all.drain(..all.len() - kept);
        }
    }
    Some(all)
}

/// Returns once there are more bytes in the folders.
async fn grown(folders: &[PathBuf], limit: u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        let folders = folders.to_vec();
        let size = tokio::task::spawn_blocking(move || folders.iter().map(|folder| size(folder)).sum::<u64>()).await;
        if size.is_ok_and(|size| size > limit) {
            return;
        }
    }
}

/// Returns once the kernel has killed of a group because it had no more memory.
async fn out_of_memory(group: Option<&Group>) {
    let Some(group) = group else { return std::future::pending().await };
    while !group.is_spent() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns once the disk of a folder is nearly full.
async fn filled(folder: &Path) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Ok(disk) = rustix::fs::statvfs(folder)
            && disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVE
        {
            return;
        }
    }
}

/// The bytes of a folder on disk; links are not followed.
fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What is removed meanwhile has no size.
        for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            sum += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    sum
}

/// What a program said last, without secrets: from its first error on, if it says which one that is.
pub(super) fn last_lines(said: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().collect();
    let error = lines.iter().position(|line| line.starts_with("error: ") || line.starts_with("error["));
    let first = error.unwrap_or(lines.len().saturating_sub(20));
    let last = match lines.len() {
        // Killed, for example.
        0 => format!("it said nothing ({status})"),
        count => lines[first..count.min(first + LINES)].join("\n"),
    };
    crate::secrets::redact(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_and_how_is_told() {
        let ended = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(last_lines(b"", ended(3)), "it said nothing (exit status: 3)");
        assert_eq!(last_lines(b"", ExitStatus::from_raw(9)), "it said nothing (signal: 9 (SIGKILL))");
        let said: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        assert_eq!(last_lines(said.join("\n").as_bytes(), ended(1)), said[10..].join("\n"));
        for (said, status, told) in [
            ("MemoryError", ended(1), Some("memory limit of 4.0 GiB")),
            ("fork: Resource temporarily unavailable", ended(1), Some("process limit of 256")),
            ("", ended(128 + 25), Some("disk limit of 4.0 GiB")),
            ("no such package", ended(1), None),
        ] {
            assert_eq!(limit_in(said.as_bytes(), status).as_deref(), told, "{said}");
        }
    }

    #[tokio::test]
    async fn of_what_is_printed_the_last_is_kept_and_too_much_is_refused() {
        let text = "a".repeat(100_000) + "end";
        let kept = collect(Some(text.as_bytes()), 1 << 20, 1000).await.expect("not too much");
        assert!(kept.len() <= 2000 && kept.ends_with(b"end"));
        assert_eq!(collect(Some(text.as_bytes()), 1000, usize::MAX).await, None);
    }
}
