//! One program of an install, shut in.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytesize::ByteSize;
use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Semaphore,
};

use super::EnvironmentError;

/// How long a program of an install may take.
const TIME: Duration = Duration::from_secs(600);

/// How much a build may write.
const DISK: u64 = 4 << 30;

/// How much a program may print.
const OUTPUT: u64 = 16 << 20;

/// How much of what it printed last is kept, to tell what failed.
const KEPT: usize = 64 << 10;

/// How often it is looked how much a build has written.
const LOOK: Duration = Duration::from_millis(500);

/// Whose code a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The installer's and the interpreter's own.
    Own,
    /// That of packages too.
    Strangers,
}

/// One program of an install.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// What is being done, for people.
    pub(super) what: &'a str,
    pub(super) code: Code,
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: Vec<(String, String)>,
    /// What it may read beside the system.
    pub(super) read: Vec<PathBuf>,
    /// Folders that it may write to, which are there.
    pub(super) write: Vec<PathBuf>,
    /// The one of them that it works in.
    pub(super) work: &'a Path,
    /// Whether it reaches package indexes.
    pub(super) network: bool,
}

/// Runs the programs of installs, as many that want a core as there are cores.
#[derive(Debug)]
pub(super) struct Steps {
    cores: Semaphore,
}

impl Steps {
    pub(super) fn new() -> Self {
        Steps { cores: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)) }
    }

    /// What the program prints. Nothing of it is left when this returns.
    pub(super) async fn run(&self, step: Step<'_>) -> Result<Vec<u8>, EnvironmentError> {
        // What waits for the network wants no core of its own.
        let wants_core = step.code == Code::Strangers || !step.network;
        let _core = if wants_core { self.cores.acquire().await.ok() } else { None };
        let limit = |limit: String| EnvironmentError::Limit { what: step.what.to_owned(), limit };
        let mut command = CommandWrap::with_new(step.program, |command| {
            command
                .args(&step.arguments)
                .current_dir(step.work)
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("LANG", "C.UTF-8")
                .envs(step.variables.iter().map(|(name, value)| (name, value)))
                .env("HOME", step.work)
                .env("TMPDIR", step.work)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        });
        let mut process = command.wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn()?;
        let (stdout, stderr) = (process.stdout().take(), process.stderr().take());
        let working = async {
            let (status, printed, said) =
                tokio::join!(process.wait(), collect(stdout, OUTPUT, usize::MAX), collect(stderr, OUTPUT, KEPT));
            let told = || limit(format!("output limit of {}", ByteSize::b(OUTPUT).display().iec()));
            Ok::<_, EnvironmentError>((status?, printed.ok_or_else(told)?, said.ok_or_else(told)?))
        };
        let too_large = async {
            match step.code {
                Code::Own => std::future::pending().await,
                Code::Strangers => grown(&step.write, DISK).await,
            }
        };
        let (status, printed, said) = tokio::select! {
            done = working => done?,
            () = tokio::time::sleep(TIME) => return Err(limit(format!("time limit of {} s", TIME.as_secs()))),
            () = too_large => return Err(limit(format!("disk limit of {}", ByteSize::b(DISK).display().iec()))),
        };
        if status.success() {
            return Ok(printed);
        }
        Err(EnvironmentError::Failed { what: step.what.to_owned(), output: last_lines(&said, status) })
    }
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

/// What a program said last, without secrets.
pub(super) fn last_lines(said: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().collect();
    let last = match lines.len() {
        // Killed, for example.
        0 => format!("it said nothing ({status})"),
        count => lines[count.saturating_sub(20)..].join("\n"),
    };
    crate::secrets::redact(&last)
}
