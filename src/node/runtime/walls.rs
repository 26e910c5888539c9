//! The walls around what runs modules: each parent is started by the launcher of the sandbox, sees a folder of its own with
//! the modules that run in it, and reaches this node on a loopback of its own. Where the machine has no sandbox, the same
//! process is started without walls.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use napt_sandbox::{Limits, Policy};
use process_wrap::tokio::ChildWrapper;
use serde::Serialize;
use tokio::{net::UnixStream, sync::Notify};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    RuntimeError,
    caps::Caps,
    cgroups::{Bounds, Group},
    environment::is_compiled,
    launch::{Launched, Launches, PROXY_PORT, end_when_spent},
    scratch::{self, Folders, Scratch},
};

/// The first of the users that parents become when root runs the node; no system gives such numbers away.
const FIRST_USER: u32 = 0x7000_0000;

/// Bytes that a fork server takes for each of its runs.
const OF_A_RUN: u64 = 256 << 10;

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
    launches: Arc<Launches>,
    caps: Caps,
    /// Runs that go on at a time.
    runs: u64,
    /// The node's port and the proxy's, as modules see them.
    ports: [u16; 2],
    views: PathBuf,
    scratch: PathBuf,
    /// Parents that there have been.
    places: AtomicU32,
    inside: OnceLock<Arc<dyn Inside>>,
    /// Cancelled when the node stops.
    over: CancellationToken,
    /// Told when something has been started that stays warm.
    started: Notify,
}

/// What belongs to one parent: a view of modules and a folder for its runs. Both go with it.
#[derive(Debug)]
pub(in crate::node) struct Place {
    view: PathBuf,
    scratch: Arc<Folders>,
    user: Option<u32>,
    /// The modules in the view. One is brought in at a time.
    shown: Mutex<HashMap<OsString, InView>>,
}

/// A module in a view.
#[derive(Debug, Default)]
struct InView {
    /// Those who look at it.
    lookers: Arc<()>,
    /// Whether it is there with its bytecode, if it has any.
    is_complete: bool,
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
    pub(super) process: Box<dyn ChildWrapper>,
    /// The other end of its standard input.
    pub(super) stream: UnixStream,
    /// Of its walls; nothing where there are none.
    pub(super) seal: Option<Seal>,
    /// What serves it ends when this is dropped.
    pub(super) served: Option<DropGuard>,
}

impl Walls {
    /// Walls for a node at this port, in its data folder, with so many runs at a time. What an earlier process left there
    /// is cleared.
    pub(in crate::node) fn new(
        launches: Arc<Launches>,
        caps: Caps,
        runs: usize,
        port: u16,
        data: &Path,
    ) -> std::io::Result<Self> {
        let [views, scratch] = ["views", "scratch"].map(|name| data.join(name));
        for folder in [&views, &scratch] {
            scratch::remove(folder)?;
            fs_err::create_dir_all(folder)?;
        }
        let ports = [port, if port == PROXY_PORT { PROXY_PORT + 1 } else { PROXY_PORT }];
        let (places, inside, over) = (AtomicU32::new(0), OnceLock::new(), CancellationToken::new());
        let started = Notify::new();
        Ok(Walls { launches, caps, runs: runs as u64, ports, views, scratch, places, inside, over, started })
    }

    /// Told when something has been started that stays warm: there may be too much of that now.
    pub(in crate::node) fn started(&self) -> &Notify {
        &self.started
    }

    /// Whether there are any.
    pub(in crate::node) fn stand(&self) -> bool {
        self.launches.stand()
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
        let user = self.launches.has_users().then_some(FIRST_USER + number % FIRST_USER);
        let scratch = Arc::new(Folders::new(self.scratch.join(&name), user));
        Place { view: self.views.join(&name), scratch, user, shown: Mutex::default() }
    }

    /// The proxy's port, as modules see it; nothing where it is this machine's.
    pub(in crate::node) fn proxy_port(&self) -> Option<u16> {
        self.stand().then_some(self.ports[1])
    }

    /// Ends what is served inside.
    pub(in crate::node) fn close(&self) {
        self.over.cancel();
    }

    /// Starts a program that may read `read` and its view, and write its scratch folder. It works in its view; `prepare`
    /// adds its arguments, variables and output.
    pub(super) async fn start(
        &self,
        place: &Place,
        inner: Confined,
        program: &Path,
        group: Option<&Group>,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Admitted, RuntimeError> {
        place.make()?;
        let Confined { read, limits, nested, serves } = inner;
        let policy = Policy {
            read: read.iter().chain([&place.view]).cloned().collect(),
            write: vec![place.scratch.parent().to_owned()],
            listen: self.ports.to_vec(),
            uid: place.user,
            limits,
            groups: Vec::new(),
            nested,
            // A warm parent waits for its children itself.
            init: !nested && !serves,
            serves,
        };
        let launched = self.launches.start(program, policy, group, |command| {
            command.current_dir(&place.view).env_clear().env("LANG", "C.UTF-8");
            prepare(command);
        });
        let Launched { process, control, listeners, landlock } = launched.await?;
        control.set_nonblocking(true)?;
        let seal = landlock.map(|landlock| Seal {
            filter: hex::encode(napt_sandbox::child_filter()),
            landlock,
            // Of its view, each run has its own module.
            read: napt_sandbox::system_paths().into_iter().chain(read).collect(),
            ports: self.ports,
        });
        let served = self.inside.get().zip(<[TcpListener; 2]>::try_from(listeners).ok());
        let served = served.map(|(service, [node, proxy])| {
            let (service, over) = (service.clone(), self.over.child_token());
            let guard = over.clone().drop_guard();
            tokio::spawn(over.run_until_cancelled_owned(async move { service.serve(node, proxy).await }));
            guard
        });
        Ok(Admitted { process, stream: UnixStream::from_std(control)?, seal, served })
    }

    /// Starts an interpreter that runs come from, or are in: it says nothing but on its socket. Its group is not that of
    /// its runs, and it ends when that is out of memory.
    pub(super) async fn start_interpreter(
        &self,
        place: &Place,
        inner: Confined,
        program: &Path,
        arguments: &[&OsStr],
    ) -> Result<(Admitted, Option<Arc<Group>>), RuntimeError> {
        let group = self.launches.group("interpreter", self.together(inner.serves)).await?;
        let admitted = self.start(place, inner, program, group.as_deref(), |command| {
            command.args(arguments).env("PATH", "/usr/local/bin:/usr/bin:/bin");
            command.stdout(Stdio::null()).stderr(Stdio::null());
        });
        let admitted = admitted.await.map_err(|error| RuntimeError::of_group(group.as_deref(), error))?;
        if let Some(group) = &group {
            tokio::spawn(end_when_spent(Arc::downgrade(group)));
        }
        Ok((admitted, group))
    }

    /// Bounds of a run that has none of its own.
    pub(super) fn of_runs(&self) -> Bounds {
        self.caps.of_all()
    }

    /// A group for a run.
    pub(super) async fn group_of_run(&self, bounds: Bounds) -> std::io::Result<Option<Group>> {
        self.launches.group_of_run(bounds).await
    }

    /// Bounds of all processes of an interpreter, until those that are runs are in groups of their own: as much memory as one
    /// run may have at the most, and as many processes, and one for each run. In a fork server no stranger's code runs.
    fn together(&self, is_server: bool) -> Bounds {
        let of_runs = if is_server { self.runs.saturating_mul(OF_A_RUN) } else { 0 };
        Bounds {
            memory: self.caps.memory.saturating_add(of_runs),
            processes: self.caps.processes.saturating_add(self.runs),
            cpu: None,
        }
    }
}

impl Place {
    fn make(&self) -> std::io::Result<()> {
        fs_err::create_dir_all(&self.view)?;
        fs_err::create_dir_all(self.scratch.parent())
    }

    /// Where an installed module is in the view, if all of it is there. It stays as long as somebody has what is given beside
    /// that.
    pub(super) fn shown(&self, root: &Path) -> Option<(PathBuf, Arc<()>)> {
        let name = root.file_name()?;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let view = shown.get(name).filter(|view| view.is_complete)?;
        Some((self.view.join(name), view.lookers.clone()))
    }

    /// Brings an installed module into the view, unless it is there, and says where it is there, as [`Place::shown`].
    pub(super) fn show(&self, root: &Path, is_python: bool) -> std::io::Result<(PathBuf, Arc<()>)> {
        let name = root.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
        let target = self.view.join(name);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let view = shown.entry(name.to_owned()).or_default();
        // It may come meanwhile: then it is brought in the next time.
        let is_complete = view.is_complete || !is_python || is_compiled(root);
        if !target.exists() {
            self.make()?;
            let unfinished = tempfile::Builder::new().prefix(".bringing-").tempdir_in(&self.view)?;
            let copy = unfinished.path().join("module");
            link_tree(root, &copy)?;
            fs_err::rename(copy, &target)?;
        } else if is_complete && !view.is_complete {
            link_tree(root, &target)?;
        }
        view.is_complete = is_complete;
        Ok((target, view.lookers.clone()))
    }

    /// Takes out of the view what is neither among these names nor looked at.
    pub(super) fn keep_shown(&self, names: &HashSet<String>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|name, view| {
            let is_needed =
                Arc::strong_count(&view.lookers) > 1 || name.to_str().is_some_and(|name| names.contains(name));
            // What cannot be removed is tried again.
            is_needed || scratch::remove(&self.view.join(name)).is_err()
        });
    }

    /// A folder for a run, with its delegate key.
    pub(in crate::node) fn scratch(&self, run: &str, key: &str) -> std::io::Result<Scratch> {
        match self.scratch.take(run, key) {
            // Nothing has been started there yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.make()?;
                self.scratch.take(run, key)
            }
            taken => taken,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for folder in [self.view.as_path(), self.scratch.parent()] {
            // What stays is cleared by the next start of the node.
            let _ = scratch::remove(folder);
        }
    }
}

/// The same files at another place, without a copy of their bytes where that can be. Whoever is shut in can read them, and
/// each appears as a whole. What is there already stays.
fn link_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(to)?;
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
            match fs_err::hard_link(&source, &target) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    let unfinished = tempfile::Builder::new().prefix(".copy-").tempfile_in(to)?;
                    fs_err::copy(&source, unfinished.path())?;
                    unfinished.persist(&target)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
