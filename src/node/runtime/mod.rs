//! Runtimes: what turns an installed module and a run into a process, and its output into events and a result.

mod caps;
mod cgroups;
mod converse;
mod environment;
mod execute;
mod frames;
mod imports;
mod parents;
mod python;
mod redact;
mod rust;
mod scratch;
mod shared;
mod walls;
mod worker;

pub use caps::{Cap, CapError, Caps};
pub(in crate::node) use cgroups::Cgroups;
pub(in crate::node) use converse::{Answered, Calls};
pub(in crate::node) use environment::{EnvironmentError, Environments, Reach, Steps, WayOut};
pub(in crate::node) use execute::{Ended, Execution, execute};
pub(in crate::node) use imports::imports_of;
pub(in crate::node) use parents::{Origin, Parents};
pub(in crate::node) use python::{Call, Network, Parent, PythonModule, RunFrame};
pub(in crate::node) use redact::Redactor;
pub(in crate::node) use rust::{Binaries, BuildError, RustModule};
pub(in crate::node) use scratch::Scratch;
pub(in crate::node) use shared::Interpreters;
pub(in crate::node) use walls::{Inside, Place, Walls};
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
    /// The parent interpreter did not come up.
    #[error("the module's Python interpreter did not get ready: it ended, or it took longer than {} s", python::READY_TIMEOUT.as_secs())]
    NotReady,
    /// It cannot fork now.
    #[error("the module's Python interpreter cannot start another process: {0}")]
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
    /// The parent interpreter died before it had forked.
    #[error("the module's Python interpreter died before the run began; run it again")]
    ParentDied,
}
