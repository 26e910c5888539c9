//! Control groups: what all processes of a run, an interpreter or an install use together is counted and bounded there, and
//! they are killed by them. Version 2 where the node may make one, version 1 else, and none where it may make neither.

mod seat;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use self::seat::{Idle, Seat};
use super::caps::Limit;

/// What a process cannot allocate it is told; only what is past that is for the kernel to kill for.
const SLACK: u64 = 32 << 20;

/// What the names of nodes' places begin with.
const PREFIX: &str = "napt-";

/// How often a group is looked at that has processes which are about to be gone, and how long between.
const PASSES: u32 = 400;
const BETWEEN: Duration = Duration::from_millis(5);

/// Where a node makes its groups.
#[derive(Debug)]
pub(in crate::node) struct Cgroups {
    folders: Folders,
    /// Locks by which other nodes know that its place is somebody's.
    held: Mutex<Vec<File>>,
    /// Of runs that are over, for the next ones.
    idle: Arc<Idle>,
}

/// A group in each hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Folders {
    /// One folder for all.
    V2(PathBuf),
    /// A folder for each of those controllers that are there.
    V1 { memory: Option<PathBuf>, pids: Option<PathBuf>, cpuacct: Option<PathBuf> },
}

/// What the processes of a group may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) struct Bounds {
    /// Bytes of memory.
    pub(in crate::node) memory: u64,
    /// Processes and threads at a time.
    pub(in crate::node) processes: u64,
    /// Time of processors; not counted when absent.
    pub(in crate::node) cpu: Option<Duration>,
}

/// The groups of one run, interpreter or program.
#[derive(Debug)]
pub(in crate::node) struct Group {
    seat: Arc<Seat>,
    bounds: Bounds,
    /// Time of processors that those have taken who were here before.
    before: Duration,
    /// What it had hit before it ended.
    hit: OnceLock<Option<Limit>>,
    is_removed: AtomicBool,
    /// Where its seat goes when it is vacant.
    idle: Arc<Idle>,
    is_vacant: AtomicBool,
}

impl Cgroups {
    /// Looks for what this process may make, and clears what an earlier one of this node has left.
    pub(in crate::node) fn find(node: &str) -> Option<Self> {
        let id: String = node.chars().skip_while(|c| *c != ':').skip(1).take(16).collect();
        let found = Self::find_at(Path::new("/proc/self"), &format!("{PREFIX}{id}"))?;
        found.folders.sweep();
        Some(found)
    }

    /// `proc` has the `mountinfo` and the `cgroup` of this process.
    fn find_at(proc: &Path, name: &str) -> Option<Self> {
        let mounts = Mount::all(&fs_err::read_to_string(proc.join("mountinfo")).ok()?);
        let member = fs_err::read_to_string(proc.join("cgroup")).ok()?;
        let own = |controller: &str| {
            let mount = mounts.iter().find(|mount| mount.has(controller))?;
            let path = member.lines().find_map(|line| {
                let (_, line) = line.split_once(':')?;
                let (controllers, path) = line.split_once(':')?;
                controllers.split(',').any(|one| one == controller).then_some(path)
            })?;
            Some(mount.folder_of(path))
        };
        if let Some((folder, held)) = own("").and_then(|own| version_2(&own, name)) {
            return Some(Cgroups { folders: Folders::V2(folder), held: Mutex::new(vec![held]), idle: Arc::default() });
        }
        let mut held = Vec::new();
        let mut made = |controller: &str| {
            let own = own(controller)?;
            remove_unused(&own);
            let folder = own.join(name);
            // Controllers may share a hierarchy.
            if !held.iter().any(|(known, _)| *known == folder) {
                held.push((folder.clone(), hold(&folder)?));
            }
            Some(folder)
        };
        let (memory, pids, cpuacct) = (made("memory"), made("pids"), made("cpuacct"));
        memory.as_ref().or(pids.as_ref()).or(cpuacct.as_ref())?;
        let held = Mutex::new(held.into_iter().map(|(_, file)| file).collect());
        Some(Cgroups { folders: Folders::V1 { memory, pids, cpuacct }, held, idle: Arc::default() })
    }

    /// What they are called, and what is missing of them, in words.
    pub(in crate::node) fn told(found: Option<&Self>) -> (Option<&'static str>, Option<String>) {
        match found.map(|found| &found.folders) {
            Some(Folders::V2(_)) => (Some("v2"), None),
            Some(Folders::V1 { memory, pids, cpuacct }) => {
                let parts = [(memory, "memory"), (pids, "processes"), (cpuacct, "processor time")];
                let missing: Vec<&str> =
                    parts.into_iter().filter(|(folder, _)| folder.is_none()).map(|(_, name)| name).collect();
                let told = || format!("control groups (v1) do not count {}: {EACH}", missing.join(" and "));
                (Some("v1"), (!missing.is_empty()).then(told))
            }
            None => {
                let told = format!(
                    "control groups are missing: {EACH}; give the node some (v2: `Delegate=yes` in a systemd unit)"
                );
                (None, Some(told))
            }
        }
    }

    /// Whether they count processes.
    pub(in crate::node) fn count_processes(&self) -> bool {
        matches!(self.folders, Folders::V2(_) | Folders::V1 { pids: Some(_), .. })
    }

    /// Ends all that is in any of them, and removes them.
    pub(in crate::node) fn close(&self) {
        self.idle.clear();
        self.folders.sweep();
        for folder in self.folders.all() {
            // Another process of this node may have made a group there by now.
            let _ = fs_err::remove_dir(folder);
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Makes a group of this name.
    pub(in crate::node) fn group(&self, name: &str, bounds: Bounds) -> io::Result<Group> {
        let folders = self.folders.below(name, bounds.cpu.is_some());
        for folder in folders.all() {
            match (make(folder), folder.parent()) {
                // A node of an older version has taken its place for one that nobody uses.
                (Err(error), Some(place)) if error.kind() == io::ErrorKind::NotFound => {
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(hold(place));
                    make(folder)?;
                }
                (made, _) => made?,
            }
        }
        let group = self.on(Arc::new(Seat::at(folders)?), bounds);
        group.write_bounds()?;
        Ok(group)
    }

    /// A group in which another run was, and left nothing.
    pub(in crate::node) fn used(&self, bounds: Bounds) -> Option<Group> {
        let (seat, of_last) = self.idle.take()?;
        let mut group = self.on(seat, of_last);
        // What cannot be bounded is removed.
        group.bound(bounds).ok()?;
        Some(group)
    }

    fn on(&self, seat: Arc<Seat>, bounds: Bounds) -> Group {
        Group {
            before: seat.cpu().unwrap_or_default(),
            seat,
            bounds,
            hit: OnceLock::new(),
            is_removed: AtomicBool::new(false),
            idle: self.idle.clone(),
            is_vacant: AtomicBool::new(false),
        }
    }
}

/// What limits are without control groups.
const EACH: &str =
    "limits are then kept by each process, not by all processes of a run, an interpreter or an install together";

impl Folders {
    /// Each once: controllers may share one.
    fn all(&self) -> BTreeSet<&Path> {
        match self {
            Folders::V2(folder) => BTreeSet::from([folder.as_path()]),
            Folders::V1 { memory, pids, cpuacct } => {
                [memory, pids, cpuacct].into_iter().flatten().map(PathBuf::as_path).collect()
            }
        }
    }

    fn below(&self, name: &str, is_timed: bool) -> Folders {
        let below = |folder: &Option<PathBuf>| folder.as_ref().map(|folder| folder.join(name));
        match self {
            Folders::V2(folder) => Folders::V2(folder.join(name)),
            Folders::V1 { memory, pids, cpuacct } => {
                Folders::V1 { memory: below(memory), pids: below(pids), cpuacct: below(cpuacct).filter(|_| is_timed) }
            }
        }
    }

    /// Removes the groups of a process that was killed.
    fn sweep(&self) {
        self.all().into_iter().for_each(sweep);
    }
}

impl Group {
    /// Its folders, for a program that is to be started in them.
    pub(in crate::node) fn folders(&self) -> Vec<PathBuf> {
        self.seat.folders().all().into_iter().map(Path::to_owned).collect()
    }

    /// Sets what its processes may use from now on.
    pub(in crate::node) fn bound(&mut self, bounds: Bounds) -> io::Result<()> {
        let is_new = self.bounds != bounds;
        self.bounds = bounds;
        if is_new { self.write_bounds() } else { Ok(()) }
    }

    fn write_bounds(&self) -> io::Result<()> {
        let memory = self.bounds.memory.saturating_add(SLACK).to_string();
        match self.seat.folders() {
            Folders::V2(folder) => {
                write(folder, "memory.max", &memory)?;
                // Without swap there is no such file.
                let _ = write(folder, "memory.swap.max", "0");
                let _ = write(folder, "memory.oom.group", "1");
                write(folder, "pids.max", &self.bounds.processes.to_string())?;
            }
            Folders::V1 { memory: of_memory, pids, .. } => {
                if let Some(folder) = of_memory {
                    // Only where swap is counted. It is never less than the other one: raised before it, lowered after it.
                    let with_swap = || write(folder, "memory.memsw.limit_in_bytes", &memory);
                    let _ = with_swap();
                    write(folder, "memory.limit_in_bytes", &memory)?;
                    let _ = with_swap();
                }
                if let Some(folder) = pids {
                    write(folder, "pids.max", &self.bounds.processes.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// What a process enters by: the `cgroup.procs` of each.
    pub(in crate::node) fn doors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.seat.doors().iter().map(AsFd::as_fd)
    }

    /// Brings a process in that cannot enter by itself.
    pub(in crate::node) fn bring(&self, process: Pid) -> io::Result<()> {
        let number = process.as_raw_nonzero().to_string();
        self.seat.folders().all().into_iter().try_for_each(|folder| match write(folder, "cgroup.procs", &number) {
            // It has ended already.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
            written => written,
        })
    }

    /// Bytes that all of it may have.
    pub(in crate::node) fn memory(&self) -> u64 {
        self.bounds.memory
    }

    /// The limit that it has hit, if it has.
    pub(in crate::node) fn hit(&self) -> Option<Limit> {
        self.hit.get().copied().unwrap_or_else(|| self.look())
    }

    fn look(&self) -> Option<Limit> {
        let is_some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        let used = self.seat.cpu().map(|used| used.saturating_sub(self.before));
        if is_some(self.seat.killed()) {
            Some(Limit::Memory)
        } else if is_some(self.seat.refused()) {
            Some(Limit::Processes)
        } else if used.zip(self.bounds.cpu).is_some_and(|(used, most)| used >= most) {
            Some(Limit::Cpu)
        } else {
            None
        }
    }

    /// Whether the kernel has killed of it because it had no more memory.
    pub(in crate::node) fn is_spent(&self) -> bool {
        self.hit() == Some(Limit::Memory)
    }

    /// Its processes.
    pub(in crate::node) fn processes(&self) -> Vec<u32> {
        let folder = self.seat.folders().all().into_iter().next();
        folder.into_iter().flat_map(processes).map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect()
    }

    /// Kills all that is in it, and whatever that starts meanwhile, and removes it.
    pub(in crate::node) fn end(&self) {
        // Killing keeps it from starting processes, which counts as a limit too.
        self.hit.get_or_init(|| self.look());
        self.seat.folders().all().into_iter().for_each(clear);
        self.is_removed.store(true, Ordering::Release);
    }

    /// Whether a run is over that was in it: nothing is left, and no limit was hit. Then the next run may have it.
    pub(in crate::node) fn vacate(&self) -> bool {
        let is_vacant = self.hit().is_none() && self.seat.is_clean();
        self.is_vacant.store(is_vacant, Ordering::Release);
        is_vacant
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_removed.load(Ordering::Acquire) {
            return;
        }
        if self.is_vacant.load(Ordering::Acquire) && self.idle.keep(&self.seat, self.bounds) {
            return;
        }
        let folders = self.seat.folders().clone();
        let ending = move || folders.all().into_iter().for_each(clear);
        // What is in it takes a moment to go.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(ending)),
            Err(_) => ending(),
        }
    }
}

/// The folder for runs below this process's own group, once it has the controllers. A group that has processes of its own gives
/// none to those below it: so this one goes into a leaf.
fn version_2(own: &Path, name: &str) -> Option<(PathBuf, File)> {
    let has = |folder: &Path, file: &str| {
        let controllers = fs_err::read_to_string(folder.join(file)).unwrap_or_default();
        ["memory", "pids"].iter().all(|wanted| controllers.split_whitespace().any(|one| one == *wanted))
    };
    if !has(own, "cgroup.controllers") {
        return None;
    }
    let runs = own.join(name);
    let leaf = own.join(format!("{name}.node"));
    if !has(own, "cgroup.subtree_control") {
        make(&leaf).and_then(|()| write(&leaf, "cgroup.procs", "0")).ok()?;
        if write(own, "cgroup.subtree_control", "+memory +pids").is_err() {
            // Others are in it.
            let _ = write(own, "cgroup.procs", "0");
            let _ = fs_err::remove_dir(&leaf);
            return None;
        }
    }
    remove_unused(own);
    let held = hold(&runs)?;
    write(&runs, "cgroup.subtree_control", "+memory +pids").ok()?;
    Some((runs, held))
}

/// Removes the places of nodes that are no more, and what they have left there. Whoever may not leaves them.
fn remove_unused(folder: &Path) {
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let place = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Held meanwhile, so that a node that starts just now waits.
        if let Ok(held) = File::open(&place)
            && held.try_lock().is_ok()
            && rustix::fs::access(&place, rustix::fs::Access::WRITE_OK).is_ok()
        {
            sweep(&place);
            let _ = fs_err::remove_dir(place);
        }
    }
}

/// Makes a place, and holds it as long as the file is open.
fn hold(folder: &Path) -> Option<File> {
    for _ in 0..PASSES {
        make(folder).ok()?;
        let is_it = |held: &File| Some(held.metadata().ok()?.ino() == fs_err::metadata(folder).ok()?.ino());
        if let Ok(held) = File::open(folder)
            && held.try_lock().is_ok()
            && is_it(&held).unwrap_or_default()
        {
            return Some(held);
        }
        // Another node has just found that it was nobody's, and clears it.
        std::thread::sleep(BETWEEN);
    }
    None
}

/// Removes what is in a place.
fn sweep(folder: &Path) {
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            clear(&entry.path());
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs_err::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    // Such a file is never made, only written to.
    io::Write::write_all(&mut fs_err::OpenOptions::new().write(true).open(folder.join(file))?, text.as_bytes())
}

fn processes(folder: &Path) -> Vec<Pid> {
    let text = fs_err::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // A process that is not in this one's namespace is shown as 0.
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

/// Kills what is in a group until nothing is.
fn kill(folder: &Path) {
    for pass in 0..PASSES {
        if processes(folder).is_empty() {
            return;
        }
        if write(folder, "cgroup.kill", "1").is_err() {
            // Nothing is started there any more, so that it comes to an end.
            let _ = write(folder, "pids.max", "0");
            kill_each(folder);
        }
        // The first time they are just about to go.
        std::thread::sleep(if pass == 0 { Duration::from_micros(200) } else { BETWEEN });
    }
    tracing::warn!(group = %folder.display(), "processes of a control group cannot be killed");
}

fn kill_each(folder: &Path) {
    let held: Vec<_> = processes(folder)
        .into_iter()
        .filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok().map(|process| (pid, process)))
        .collect();
    // What is still there with that number is what is held.
    let still = processes(folder);
    for (pid, process) in held {
        if still.contains(&pid) {
            // It may have ended by itself.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

/// Removes a group and what is in it.
fn clear(folder: &Path) {
    for _ in 0..PASSES {
        match fs_err::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                kill(folder);
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a control group is left; the node's next start removes it");
                return;
            }
            _ => return,
        }
    }
}

/// A mounted hierarchy.
#[derive(Debug)]
struct Mount {
    /// What of the hierarchy is mounted.
    root: PathBuf,
    place: PathBuf,
    /// Of version 1; version 2 has one without a name.
    controllers: Vec<String>,
}

impl Mount {
    /// Those in a `mountinfo`.
    fn all(mountinfo: &str) -> Vec<Self> {
        mountinfo
            .lines()
            .filter_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                let mut before = before.split(' ').skip(3);
                let (root, place) = (before.next()?, before.next()?);
                let mut after = after.split(' ');
                let (kind, options) = (after.next()?, after.nth(1)?);
                let controllers = match kind {
                    "cgroup" => options.split(',').map(str::to_owned).collect(),
                    "cgroup2" => vec![String::new()],
                    _ => return None,
                };
                Some(Mount { root: root.into(), place: place.into(), controllers })
            })
            .collect()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// Where the group is. In a container it may be outside of what is mounted: then that is all there is.
    fn folder_of(&self, path: &str) -> PathBuf {
        let inside = Path::new(path).strip_prefix(&self.root).map(|rest| self.place.join(rest));
        inside.ok().filter(|folder| folder.is_dir()).unwrap_or_else(|| self.place.clone())
    }
}

#[cfg(test)]
mod tests;
