//! How much of everything a run may use, and how it is told that it was too much.

use std::{str::FromStr, time::Duration};

use bytesize::ByteSize;
use serde::Serialize;

use super::cgroups::{Bounds, Cgroups};
use crate::module::{Limits, bytes, seconds};

/// Upper bounds of one run.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Wall time.
    pub timeout: Duration,
    /// Time of processors.
    pub cpu: Duration,
    /// Bytes that it may allocate.
    pub memory: u64,
    /// Processes and threads at a time.
    pub processes: u64,
    /// Open files of one of its processes.
    pub files: u64,
    /// Bytes of a file that it writes.
    pub file_size: u64,
    /// Bytes of its scratch folder.
    pub disk: u64,
    /// Bytes that it may print.
    pub output: u64,
    /// Bytes of its result.
    pub result: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Caps {
            timeout: Duration::from_secs(3600),
            cpu: Duration::from_secs(3600),
            memory: 4 << 30,
            processes: 1024,
            files: 4096,
            file_size: 4 << 30,
            disk: 4 << 30,
            output: 10 << 20,
            result: 16 << 20,
        }
    }
}

/// What a run may use too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Limit {
    Time,
    Cpu,
    Memory,
    Processes,
    Files,
    FileSize,
    Disk,
    Output,
    Result,
}

impl Limit {
    /// The one that goes by this name, as in a manifest.
    pub(in crate::node) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, limit)| *limit)
    }
}

/// The limits that a run's process sets for itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::node) struct ProcessLimits {
    pub cpu: u64,
    pub memory: u64,
    /// Absent where a control group counts them.
    pub processes: Option<u64>,
    pub files: u64,
    pub file_size: u64,
}

impl Caps {
    /// What a run of a module that asks for these limits gets.
    pub(in crate::node) fn within(&self, limits: &Limits) -> Caps {
        Caps {
            timeout: self.timeout.min(Duration::from_secs(limits.timeout_seconds)),
            cpu: self.cpu.min(Duration::from_secs(limits.cpu_seconds)),
            memory: self.memory.min(limits.memory_bytes),
            processes: self.processes.min(limits.processes),
            files: self.files.min(limits.files),
            file_size: self.file_size.min(limits.file_size_bytes),
            disk: self.disk.min(limits.disk_bytes),
            output: self.output.min(limits.output_bytes),
            result: self.result,
        }
    }

    /// Sets one.
    pub fn set(&mut self, cap: Cap) {
        let Cap { limit, value } = cap;
        match limit {
            Limit::Time => self.timeout = Duration::from_secs(value),
            Limit::Cpu => self.cpu = Duration::from_secs(value),
            Limit::Memory => self.memory = value,
            Limit::Processes => self.processes = value,
            Limit::Files => self.files = value,
            Limit::FileSize => self.file_size = value,
            Limit::Disk => self.disk = value,
            Limit::Output => self.output = value,
            Limit::Result => self.result = value,
        }
    }

    /// For the process itself.
    pub(in crate::node) fn of_process(&self, cgroups: Option<&Cgroups>) -> ProcessLimits {
        let are_counted = cgroups.is_some_and(Cgroups::count_processes);
        ProcessLimits {
            cpu: self.cpu.as_secs(),
            memory: self.memory,
            processes: (!are_counted).then_some(self.processes),
            files: self.files,
            file_size: self.file_size,
        }
    }

    /// For all processes of a run together.
    pub(in crate::node) fn of_all(&self) -> Bounds {
        Bounds { memory: self.memory, processes: self.processes, cpu: Some(self.cpu) }
    }

    /// The error of a run that has reached a limit.
    pub(in crate::node) fn reached(&self, limit: Limit) -> String {
        let (name, value) = match limit {
            Limit::Time => ("time", format!("{} s", self.timeout.as_secs())),
            Limit::Cpu => ("CPU", format!("{} s", self.cpu.as_secs())),
            Limit::Memory => ("memory", size(self.memory)),
            Limit::Processes => ("process", self.processes.to_string()),
            Limit::Files => ("open file", self.files.to_string()),
            Limit::FileSize => ("file size", size(self.file_size)),
            Limit::Disk => ("disk", size(self.disk)),
            Limit::Output => ("output", size(self.output)),
            Limit::Result => ("result", size(self.result)),
        };
        format!("{name} limit of {value} reached")
    }
}

/// `512 MiB`, `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).to_string().replacen(".0 ", " ", 1)
}

/// One cap as an operator sets it: `NAME=VALUE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    limit: Limit,
    /// Seconds, bytes or a number.
    value: u64,
}

const NAMES: [(&str, Limit); 9] = [
    ("timeout", Limit::Time),
    ("cpu", Limit::Cpu),
    ("memory", Limit::Memory),
    ("processes", Limit::Processes),
    ("files", Limit::Files),
    ("file-size", Limit::FileSize),
    ("disk", Limit::Disk),
    ("output", Limit::Output),
    ("result", Limit::Result),
];

/// Why a text is no cap.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CapError(String);

impl FromStr for Cap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, CapError> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| CapError("write it as `NAME=VALUE`, for example `memory=2GiB`".to_owned()))?;
        let limit = Limit::named(name).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| format!("`{name}`")).join(", ");
            CapError(format!("there is no limit `{name}`; there are {names}"))
        })?;
        let value = match limit {
            Limit::Time | Limit::Cpu => seconds(value),
            Limit::Processes | Limit::Files => value
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| format!("`{value}` is no number of at least 1")),
            _ => bytes(value),
        };
        Ok(Cap { limit, value: value.map_err(CapError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_by_name_and_value() {
        let mut caps = Caps::default();
        for text in ["memory=512MiB", "timeout=10m", "processes=64", "file-size=1.5GiB"] {
            caps.set(text.parse().expect("a cap"));
        }
        assert_eq!(caps.reached(Limit::Memory), "memory limit of 512 MiB reached");
        assert_eq!(caps.reached(Limit::Time), "time limit of 600 s reached");
        assert_eq!(caps.reached(Limit::Processes), "process limit of 64 reached");
        assert_eq!(caps.reached(Limit::FileSize), "file size limit of 1.5 GiB reached");
        for wrong in ["memory", "memory=much", "processes=0", "cpu=0s", "colour=red"] {
            assert!(wrong.parse::<Cap>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_module_gets_what_it_asks_for_and_no_more_than_the_cap() {
        let mut caps = Caps::default();
        caps.set("memory=1GiB".parse().expect("a cap"));
        let given = caps.within(&Limits { memory_bytes: 2 << 30, processes: 3, ..Limits::default() });
        assert_eq!((given.memory, given.processes, given.files), (1 << 30, 3, 1024));
    }
}
