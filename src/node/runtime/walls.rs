//! The walls around what runs modules: each parent is started by the launcher of the sandbox, sees a folder of its own with
//! the modules that run in it, and reaches this node on a loopback of its own. Where the machine has no sandbox, the same
//! process is started without walls.

use std::{
    ffi::OsStr,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use napt_sandbox::{Launcher, Limits, Mechanisms, Policy, SandboxError, sealed};
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use serde::Serialize;
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    RuntimeError,
    caps::Caps,
    scratch::{self, Scratch},
};

/// How long the launcher may take.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// The first of the users that parents become when root runs the node; no system gives such numbers away.
const FIRST_USER: u32 = 0x7000_0000;

/// Where the egress proxy is, on the loopback of each parent.
const PROXY_PORT: u16 = 3128;

/// Processes and threads of an interpreter and of all runs that come from it.
const PROCESSES: u64 = 32_768;

/// Who serves what listens inside of the walls.
#[async_trait]
pub(in crate::node) trait Inside: std::fmt::Debug + Send + Sync {
    /// Serves the node's port and the proxy's until it is dropped.
    async fn serve(&self, node: TcpListener, proxy: TcpListener);
}

/// How this node shuts in.
#[derive(Debug)]
pub(in crate::node) struct Walls {
    launcher: Launcher,
    mechanisms: Mechanisms,
    caps: Caps,
    /// The node's port and the proxy's, as modules see them.
    ports: [u16; 2],
    views: PathBuf,
    scratch: PathBuf,
    /// Parents that there have been.
    places: AtomicU32,
    inside: OnceLock<Arc<dyn Inside>>,
    /// Cancelled when the node stops.
    over: CancellationToken,
}

/// What belongs to one parent: a view of modules and a folder for its runs. Both go with it.
#[derive(Debug)]
pub(in crate::node) struct Place {
    view: PathBuf,
    scratch: PathBuf,
    user: Option<u32>,
    /// One module is brought in at a time.
    bringing: Mutex<()>,
}

/// What a child needs to shut itself in further.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Seal {
    /// A seccomp filter, in hex.
    filter: String,
    /// The version of Landlock; 0 for none.
    landlock: i32,
    /// What every run of this parent may read and execute.
    read: Vec<PathBuf>,
    /// The ports that it may connect to.
    ports: [u16; 2],
}

/// How a program is confined, beside its place.
#[derive(Debug, Default)]
pub(super) struct Confined {
    /// What it may read and execute.
    pub(super) read: Vec<PathBuf>,
    /// The folder that it may write to, if not all of its place's scratch.
    pub(super) write: Option<PathBuf>,
    /// Limits of each of its processes.
    pub(super) limits: Limits,
    /// Whether it shuts in what it starts.
    pub(super) nested: bool,
    /// Whether it is started by a fork server, and not by itself.
    pub(super) serves: bool,
}

/// A program that was started, and is shut in where there are walls.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The other end of its standard input.
    pub(super) stream: UnixStream,
    /// Of its walls; nothing where there are none.
    pub(super) seal: Option<Seal>,
    /// What serves it ends when this is dropped.
    pub(super) served: Option<DropGuard>,
}

impl Walls {
    /// Walls for a node at this port, in its data folder. What an earlier process left there is cleared.
    pub(in crate::node) fn new(
        launcher: Launcher,
        mechanisms: Mechanisms,
        caps: Caps,
        port: u16,
        data: &Path,
    ) -> std::io::Result<Self> {
        let [views, scratch] = ["views", "scratch"].map(|name| data.join(name));
        for folder in [&views, &scratch] {
            scratch::remove(folder)?;
            fs_err::create_dir_all(folder)?;
        }
        let proxy = if port == PROXY_PORT { PROXY_PORT + 1 } else { PROXY_PORT };
        let (places, inside, over) = (AtomicU32::new(0), OnceLock::new(), CancellationToken::new());
        Ok(Walls { launcher, mechanisms, caps, ports: [port, proxy], views, scratch, places, inside, over })
    }

    /// Whether there are any.
    pub(in crate::node) fn stand(&self) -> bool {
        self.mechanisms.namespaces
    }

    /// Bounds of an interpreter that runs come from: what it imports is strangers' code as well.
    pub(super) fn bounds(&self) -> Limits {
        Limits {
            memory: Some(self.caps.memory),
            files: Some(self.caps.files),
            file_size: Some(self.caps.file_size),
            processes: Some(PROCESSES),
            ..Limits::default()
        }
    }

    /// From now on this serves what is inside.
    pub(in crate::node) fn serve_by(&self, inside: Arc<dyn Inside>) {
        // A node has one router, and says so once.
        let _ = self.inside.set(inside);
    }

    /// The place of a new parent.
    pub(super) fn place(&self) -> Place {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}");
        Place {
            view: self.views.join(&name),
            scratch: self.scratch.join(&name),
            user: self.mechanisms.users.then_some(FIRST_USER + number % FIRST_USER),
            bringing: Mutex::default(),
        }
    }

    /// The proxy's port, as modules see it; nothing where it is this machine's.
    pub(in crate::node) fn proxy_port(&self) -> Option<u16> {
        self.stand().then_some(self.ports[1])
    }

    /// Ends what is served inside.
    pub(in crate::node) fn close(&self) {
        self.over.cancel();
    }

    /// What starts a program that may read `read` and its view, and write its scratch folder. It works in its view, and
    /// its standard input has to become one end of a socket, whose other end is to be [admitted](Walls::admit).
    pub(super) fn command(&self, place: &Place, inner: &Confined, program: &Path) -> std::io::Result<Command> {
        place.make()?;
        let mut command = if self.stand() {
            let policy = Policy {
                read: inner.read.iter().chain([&place.view]).cloned().collect(),
                write: vec![inner.write.clone().unwrap_or_else(|| place.scratch.clone())],
                listen: self.ports.to_vec(),
                uid: place.user,
                limits: inner.limits.clone(),
                nested: inner.nested,
                // A warm parent waits for its children itself.
                init: !inner.nested && !inner.serves,
                serves: inner.serves,
            };
            self.launcher.command(&policy, program)
        } else if inner.serves {
            self.launcher.fork_server(program)
        } else {
            Command::new(program)
        };
        command.current_dir(&place.view).env_clear().env("LANG", "C.UTF-8");
        Ok(command)
    }

    /// Waits until a program that was started is shut in, and serves it. The stream is then the program's.
    pub(super) async fn admit(
        &self,
        inner: &Confined,
        stream: std::os::unix::net::UnixStream,
    ) -> Result<Admitted, RuntimeError> {
        if !self.stand() {
            stream.set_nonblocking(true)?;
            return Ok(Admitted { stream: UnixStream::from_std(stream)?, seal: None, served: None });
        }
        let shut_in = tokio::task::spawn_blocking(move || {
            let sealed = sealed(&stream, LAUNCH_TIMEOUT)?;
            Ok::<_, SandboxError>((stream, sealed))
        });
        let (stream, inside) = shut_in.await.map_err(std::io::Error::other)??;
        if !inside.is_as(&self.mechanisms) {
            return Err(SandboxError::Failed("it is not shut in as it was at the node's start".to_owned()).into());
        }
        stream.set_nonblocking(true)?;
        let read = napt_sandbox::system_paths().into_iter().chain(inner.read.iter().cloned());
        let seal = Seal {
            filter: hex::encode(napt_sandbox::child_filter()),
            landlock: inside.landlock,
            // Of its view, each run has its own module.
            read: read.collect(),
            ports: self.ports,
        };
        let served = self.inside.get().zip(<[TcpListener; 2]>::try_from(inside.listeners).ok());
        let served = served.map(|(service, [node, proxy])| {
            let (service, over) = (service.clone(), self.over.child_token());
            let guard = over.clone().drop_guard();
            tokio::spawn(over.run_until_cancelled_owned(async move { service.serve(node, proxy).await }));
            guard
        });
        Ok(Admitted { stream: UnixStream::from_std(stream)?, seal: Some(seal), served })
    }

    /// Starts a program that says nothing but on its socket.
    pub(super) async fn start(
        &self,
        place: &Place,
        inner: &Confined,
        program: &Path,
        arguments: &[&OsStr],
    ) -> Result<(Box<dyn ChildWrapper>, Admitted), RuntimeError> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let mut command = self.command(place, inner, program)?;
        command.args(arguments).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
        let mut command = CommandWrap::from(tokio::process::Command::from(command));
        let process = command.wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn()?;
        // It holds the other end, whose closing must be noticed.
        drop(command);
        Ok((process, self.admit(inner, ours).await?))
    }
}

impl Place {
    fn make(&self) -> std::io::Result<()> {
        fs_err::create_dir_all(&self.view)?;
        fs_err::create_dir_all(&self.scratch)
    }

    /// Brings an installed module into the view, unless it is there, and says where it is there.
    pub(super) fn show(&self, root: &Path) -> std::io::Result<PathBuf> {
        let name = root.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let target = self.view.join(name);
        let _one = self.bringing.lock().unwrap_or_else(PoisonError::into_inner);
        if !target.exists() {
            self.make()?;
            let unfinished = tempfile::Builder::new().prefix(".bringing-").tempdir_in(&self.view)?;
            let copy = unfinished.path().join("module");
            link_tree(root, &copy)?;
            fs_err::rename(copy, &target)?;
        }
        Ok(target)
    }

    /// A folder for a run, with what `fill` puts into it. It is the run's own.
    pub(in crate::node) fn scratch<T>(
        &self,
        run: &str,
        fill: impl FnOnce(&Path) -> std::io::Result<T>,
    ) -> std::io::Result<(Scratch, T)> {
        self.make()?;
        let folder = tempfile::Builder::new().prefix(&format!("{run}-")).tempdir_in(&self.scratch)?;
        let filled = fill(folder.path())?;
        if let Some(user) = self.user {
            // From the inside out: until the folder itself is given away, nobody else can get at what is in it.
            for entry in fs_err::read_dir(folder.path())? {
                std::os::unix::fs::lchown(entry?.path(), Some(user), Some(user))?;
            }
            std::os::unix::fs::lchown(folder.path(), Some(user), Some(user))?;
        }
        Ok((Scratch::new(folder.keep()), filled))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for folder in [&self.view, &self.scratch] {
            // What stays is cleared by the next start of the node.
            let _ = scratch::remove(folder);
        }
    }
}

/// The same files at another place, without a copy of their bytes where that can be. Whoever is shut in can read them.
fn link_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir(to)?;
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755))?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_tree(&source, &target)?;
        } else if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode();
            if mode & 0o444 != 0o444 {
                fs_err::set_permissions(&source, std::fs::Permissions::from_mode(mode | 0o444))?;
            }
            if fs_err::hard_link(&source, &target).is_err() {
                fs_err::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// What of an interpreter's installation a program that runs on it has to read, beside its own environment.
pub(super) fn interpreter_paths(python: &Path) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    let environment = python.ancestors().nth(2);
    // As the environment names it, and as it is.
    let settings = environment.and_then(|folder| fs_err::read_to_string(folder.join("pyvenv.cfg")).ok());
    let home = settings.as_deref().and_then(|text| {
        text.lines().find_map(|line| Some(line.split_once('=')?).filter(|(key, _)| key.trim() == "home"))
    });
    prefixes.extend(home.and_then(|(_, folder)| Path::new(folder.trim()).parent().map(Path::to_owned)));
    prefixes.extend(python.canonicalize().ok().and_then(|real| real.ancestors().nth(2).map(Path::to_owned)));
    prefixes.dedup();
    let parts =
        prefixes.iter().flat_map(|prefix| ["bin", "lib", "lib64", "include", "share"].map(|part| prefix.join(part)));
    environment.map(Path::to_owned).into_iter().chain(parts).filter(|path| path.exists()).collect()
}
