//! What the node and the process of a run say to each other. `runner.py` lists the frames.

use std::{collections::HashMap, path::PathBuf};

use napt_sandbox::{Launch, Limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caps::ProcessLimits;
use crate::module::{HostPattern, ModuleId};

/// What a child needs for one run.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename = "run")]
pub(in crate::node) struct RunFrame {
    pub root: PathBuf,
    /// What modules are imported from.
    pub folder: PathBuf,
    pub module: String,
    pub function: String,
    pub schemas: String,
    /// What is in `component.yaml`, for modules of 2024.
    pub component: Value,
    pub limits: ProcessLimits,
    /// The only folder that it may write to.
    pub scratch: PathBuf,
    /// Bytes that it may print, for an interpreter that has many runs.
    pub output: u64,
    pub network: Network,
    pub env: HashMap<String, String>,
    /// `None` imports the module and calls nothing.
    pub module_run: Option<Value>,
}

impl RunFrame {
    /// What a process needs to become the program of this run.
    pub(super) fn launch(&self) -> Launch {
        let ProcessLimits { cpu, memory, processes, files, file_size } = self.limits;
        let (cpu, memory, files, file_size) = (Some(cpu), Some(memory), Some(files), Some(file_size));
        let limits = Limits { cpu, memory, processes, files, file_size };
        Launch { root: self.root.clone(), scratch: self.scratch.clone(), limits }
    }
}

/// What a module reaches, for messages of those who try something else.
#[derive(Debug, Serialize)]
pub(in crate::node) struct Network {
    pub module: ModuleId,
    pub hosts: Vec<HostPattern>,
}

/// What a child says.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(in crate::node) enum FromChild {
    /// It has its run, of which nothing has been done before.
    Here,
    /// The module has been imported, and its function is being called.
    Started,
    /// It calls a module.
    Call(Call),
    /// It gives a call up.
    Cancel { id: u64 },
    /// It prints; only in a shared interpreter, since others have pipes.
    Output { stream: Stream, text: String },
    /// It is done.
    Result(ResultFrame),
}

/// What is printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::node) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// As events have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A call of a module by a run.
#[derive(Debug, Deserialize)]
pub(in crate::node) struct Call {
    /// The child's number of it.
    pub id: u64,
    /// The module's type.
    #[serde(rename = "type")]
    pub module_type: String,
    /// The node that is meant, as addresses have it.
    pub target: String,
    /// Naptha's run input.
    pub input: Value,
    /// Whether the result is wanted without the record around it.
    #[serde(default)]
    pub brief: bool,
}

/// How a child says that it is done. `limit` is what it had too little of.
#[derive(Debug, Deserialize)]
pub(in crate::node) struct ResultFrame {
    pub ok: bool,
    #[serde(default)]
    pub result: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub limit: Option<String>,
    #[serde(default)]
    pub message: String,
    /// Whether something of it goes on in a shared interpreter.
    #[serde(default)]
    pub left: bool,
}
