//! Folders of a control group with their files open, and those that wait for the next run: to make and to remove them takes
//! the kernel longer than all that it is asked of them meanwhile.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Bounds, Folders};

/// Seats that wait for a run.
const IDLE: usize = 64;

/// Bytes that may be counted of those who were there before. The kernel counts pages of files for who has read them first.
const LEFT: u64 = 4 << 20;

/// The longest file that is read here.
const LENGTH: usize = 4096;

/// Where the processes of a group are.
#[derive(Debug)]
pub(super) struct Seat {
    folders: Folders,
    /// A `cgroup.procs` for each folder.
    doors: Vec<File>,
    /// Processes that the kernel has killed for memory.
    killed: Option<Counter>,
    /// Processes that could not be started.
    refused: Option<Counter>,
    /// Time of processors, in this many nanoseconds.
    cpu: Option<Counter>,
    cpu_unit: u64,
    /// Bytes of memory.
    memory: Option<Counter>,
}

/// A number in a file: after a name, or alone.
#[derive(Debug)]
struct Counter {
    file: File,
    name: &'static str,
}

/// Seats of runs that are over, with the bounds that they have.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<(Arc<Seat>, Bounds)>>);

impl Seat {
    /// The seat in these folders, which are there.
    pub(super) fn at(folders: Folders) -> io::Result<Self> {
        // Such files are never made.
        let open = |folder: &Path| File::options().read(true).write(true).open(folder.join("cgroup.procs"));
        let doors = folders.all().into_iter().map(open).collect::<io::Result<_>>()?;
        let counter = |folder: Option<&PathBuf>, file: &str, name| {
            Some(Counter { file: File::open(folder?.join(file)).ok()?, name })
        };
        let (killed, refused, cpu, cpu_unit, memory) = match &folders {
            Folders::V2(folder) => (
                counter(Some(folder), "memory.events", "oom_kill"),
                counter(Some(folder), "pids.events", "max"),
                counter(Some(folder), "cpu.stat", "usage_usec"),
                1000,
                counter(Some(folder), "memory.current", ""),
            ),
            Folders::V1 { memory, pids, cpuacct } => (
                counter(memory.as_ref(), "memory.oom_control", "oom_kill "),
                counter(pids.as_ref(), "pids.events", "max"),
                counter(cpuacct.as_ref(), "cpuacct.usage", ""),
                1,
                counter(memory.as_ref(), "memory.usage_in_bytes", ""),
            ),
        };
        Ok(Seat { folders, doors, killed, refused, cpu, cpu_unit, memory })
    }

    pub(super) fn folders(&self) -> &Folders {
        &self.folders
    }

    pub(super) fn doors(&self) -> &[File] {
        &self.doors
    }

    pub(super) fn killed(&self) -> Option<u64> {
        self.killed.as_ref()?.value()
    }

    pub(super) fn refused(&self) -> Option<u64> {
        self.refused.as_ref()?.value()
    }

    pub(super) fn cpu(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.cpu.as_ref()?.value()?.saturating_mul(self.cpu_unit)))
    }

    /// Whether nobody is there, and hardly anything is counted.
    pub(super) fn is_clean(&self) -> bool {
        let is_empty = |door: &File| matches!(door.read_at(&mut [0], 0), Ok(0));
        let counted = self.memory.as_ref().and_then(Counter::value).unwrap_or_default();
        self.doors.iter().all(is_empty) && counted <= LEFT
    }
}

impl Counter {
    fn value(&self) -> Option<u64> {
        let mut text = [0; LENGTH];
        let length = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        text.lines().find_map(|line| line.strip_prefix(self.name)?.trim().parse().ok())
    }
}

impl Idle {
    /// Takes one that is still there.
    pub(super) fn take(&self) -> Option<(Arc<Seat>, Bounds)> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|(seat, _)| seat.is_clean())
    }

    /// Whether there is room for one more, which is kept then.
    pub(super) fn keep(&self, seat: &Arc<Seat>, bounds: Bounds) -> bool {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = idle.len() < IDLE;
        if has_room {
            idle.push((seat.clone(), bounds));
        }
        has_room
    }

    /// Forgets them; their folders go otherwise.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
