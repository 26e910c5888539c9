//! Runtimes: what turns an installed module and a run into a process, and its output into events and a result.

mod ahead;
mod caps;
mod cgroups;
mod converse;
mod environment;
mod execute;
mod frames;
mod imports;
mod launch;
mod messages;
mod parent;
mod parents;
mod python;
mod redact;
mod rust;
mod scratch;
mod shared;
mod walls;
mod warmth;
mod worker;

pub use caps::{Cap, CapError, Caps};
pub(in crate::node) use cgroups::Cgroups;
pub(in crate::node) use converse::{Answered, Calls};
pub(in crate::node) use environment::{EnvironmentError, Environments, Reach, Steps, WayOut};
pub(in crate::node) use execute::{Ended, Execution, Leaving, execute};
pub(in crate::node) use imports::imports_of;
pub(in crate::node) use launch::Launches;
pub(in crate::node) use messages::{Call, Network, RunFrame};
pub(in crate::node) use parent::Parent;
pub(in crate::node) use parents::{Origin, Parents};
pub(in crate::node) use python::PythonModule;
pub(in crate::node) use redact::Redactor;
pub(in crate::node) use rust::{Binaries, BuildError, RustModule};
pub(in crate::node) use scratch::Scratch;
pub(in crate::node) use shared::Interpreters;
pub(in crate::node) use walls::{Inside, Place, Walls};
pub(in crate::node) use warmth::look_after;
pub(in crate::node) use worker::{Code, Worker};

/// Why a module cannot be started.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum RuntimeError {
    /// The operating system refused something.
    #[error("cannot start the module's process: {0}")]
    Io(#[from] std::io::Error),
    /// It cannot be shut in.
    #[error("the module's process cannot be shut in: {0}")]
    Walls(#[from] napt_sandbox::SandboxError),
    /// The parent did not come up.
    #[error("what the module's runs are forked from did not get ready: it ended, or it took longer than {} s", parent::READY_TIMEOUT.as_secs())]
    NotReady,
    /// It has used more than it may.
    #[error("the module's Python interpreter was ended: {0} reached")]
    Spent(String),
    /// It cannot fork now.
    #[error("what the module's runs are forked from cannot start another process: {0}")]
    Refused(String),
    /// The module's import raised.
    #[error("{message}")]
    Import {
        /// As in a result.
        kind: String,
        /// What it raised.
        message: String,
        /// For the run's log.
        traceback: String,
    },
    /// The parent died before it had forked.
    #[error("what the module's runs are forked from died before the run began; run it again")]
    ParentDied,
}

impl RuntimeError {
    /// This error of an interpreter, unless its group tells what is behind it.
    fn of_group(group: Option<&cgroups::Group>, error: RuntimeError) -> Self {
        match group.and_then(spent) {
            Some(limit) => RuntimeError::Spent(limit),
            None => error,
        }
    }
}

/// The memory limit of a group that had no more.
fn spent(group: &cgroups::Group) -> Option<String> {
    group.is_spent().then(|| format!("memory limit of {}", caps::size(group.memory())))
}
