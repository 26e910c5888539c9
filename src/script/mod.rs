//! Verb: a user's program, run with what Naptha's SDK looks for in its environment, and with the shims that it needs.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use sha2::{Digest, Sha256};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};
use url::Url;

use crate::{
    compat, files,
    report::{Fault, Kind},
};

/// What Python finds in the folder on its path.
const LAYER: [(&str, &str); 3] = [
    ("napt_sdk.py", compat::SDK),
    ("napt_script.py", include_str!("napt_script.py")),
    ("sitecustomize.py", include_str!("sitecustomize.py")),
];

/// Why a program has not run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A file or a signal handler of napt's own.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is none of this name, or it cannot be executed.
    #[error("cannot start `{}`: {error}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Fault for ScriptError {
    fn kind(&self) -> Kind {
        match self {
            ScriptError::Io(_) => Kind::Failed,
            ScriptError::Start { .. } => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ScriptError::Start { error, .. } if error.kind() == io::ErrorKind::NotFound => Some(
                "write the program and its arguments after `--`, for example `napt exec -- python script.py`"
                    .to_owned(),
            ),
            ScriptError::Start { .. } | ScriptError::Io(_) => None,
        }
    }
}

/// A program and what it gets.
#[derive(Debug)]
pub struct Options<'a> {
    /// Its name or path, then its arguments.
    pub command: &'a [OsString],
    /// Where it runs.
    pub folder: &'a Path,
    /// Where its shims are kept.
    pub cache: &'a Path,
    /// `PYTHONPATH` as it is, which goes on behind the shims.
    pub python_path: Option<&'a OsStr>,
    /// The node, with a credential in it.
    pub node: &'a Url,
    /// The registry.
    pub registry: &'a Url,
    /// A file with the user's key.
    pub key: &'a Path,
    /// Whether its stdout is napt's stderr.
    pub aside: bool,
}

/// Runs a program to its end; its exit code, which after a signal is 128 and the signal's number, as a shell has it.
pub async fn run(options: Options<'_>) -> Result<u8, ScriptError> {
    let Some((program, arguments)) = options.command.split_first() else { return Ok(0) };
    let layer = write_layer(options.cache)?;
    let paths = [layer.as_os_str()].into_iter().chain(options.python_path);
    // Handlers first: from now on the program decides what Ctrl-C, which reaches the whole group, means.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(options.folder)
        .env("NODE_URL", without_slash(options.node))
        .env("HUB_URL", hub(options.registry))
        .env("PRIVATE_KEY", options.key)
        .env("PYTHONPATH", paths.collect::<Vec<_>>().join(OsStr::new(":")));
    if options.aside {
        command.stdout(Stdio::from(io::stderr()));
    }
    let start = |error| ScriptError::Start { program: program.into(), error };
    let mut child = command.spawn().map_err(start)?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(code(ended?)),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            // These come to napt alone.
            _ = terminate.recv() => pass_on(&child, rustix::process::Signal::TERM),
            _ = hang_up.recv() => pass_on(&child, rustix::process::Signal::HUP),
        }
    }
}

fn pass_on(child: &Child, signal: rustix::process::Signal) {
    let id = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(id) = id {
        // It may have ended just now.
        let _ = rustix::process::kill_process(id, signal);
    }
}

fn code(status: ExitStatus) -> u8 {
    let of_signal = || 128 + status.signal().unwrap_or_default();
    // Both are below 256.
    u8::try_from(status.code().unwrap_or_else(of_signal)).unwrap_or(1)
}

/// The folder with the shims of this version, written when it is not there.
fn write_layer(cache: &Path) -> io::Result<PathBuf> {
    let mut digest = Sha256::new();
    LAYER.iter().for_each(|(_, text)| digest.update(text));
    let folder = cache.join(&hex::encode(digest.finalize())[..16]);
    fs_err::create_dir_all(&folder)?;
    for (name, text) in LAYER {
        let path = folder.join(name);
        if fs_err::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            files::write(&path, text.as_bytes())?;
        }
    }
    Ok(folder)
}

/// The SDK puts paths behind it.
fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Where a registry speaks Naptha's hub protocol.
fn hub(registry: &Url) -> String {
    let scheme = if registry.scheme() == "https" { "wss" } else { "ws" };
    let address = without_slash(registry);
    let rest = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    format!("{scheme}://{rest}/rpc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_at_the_registry() {
        let hub = |url: &str| hub(&url.parse().expect("a URL"));
        assert_eq!(hub("http://127.0.0.1:7080"), "ws://127.0.0.1:7080/rpc");
        assert_eq!(hub("https://registry.example/napt/"), "wss://registry.example/napt/rpc");
    }
}
