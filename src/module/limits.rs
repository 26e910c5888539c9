//! What a run may use: as a manifest asks for it ([`LimitsTable`]) and in units ([`Limits`]).

use std::{fmt, num::NonZeroU32};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::manifest::ManifestError;

/// `[limits]` as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsTable {
    /// Wall time.
    #[schemars(extend("default" = "10m"))]
    pub timeout: Option<String>,
    /// Time of processors, of all its processes together.
    #[schemars(extend("default" = "10m"))]
    pub cpu: Option<String>,
    /// Memory that it allocates.
    #[schemars(extend("default" = "512MiB"))]
    pub memory: Option<String>,
    /// Processes and threads at a time.
    #[schemars(extend("default" = 64))]
    pub processes: Option<NonZeroU32>,
    /// Files that a process has open at a time.
    #[schemars(extend("default" = 1024))]
    pub files: Option<NonZeroU32>,
    /// Size of a file that it writes.
    #[schemars(extend("default" = "1GiB"))]
    pub file_size: Option<String>,
    /// Size of its scratch folder.
    #[schemars(extend("default" = "1GiB"))]
    pub disk: Option<String>,
    /// What it prints.
    #[schemars(extend("default" = "10MiB"))]
    pub output: Option<String>,
    /// How runs are kept apart.
    #[schemars(extend("default" = "process"))]
    pub isolation: Option<Isolation>,
}

/// How runs of one module are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A fresh process a run.
    #[default]
    Process,
    /// One interpreter for all runs of a user, where the node allows it; else a process too.
    Shared,
}

/// What a run asks for, in units. A node may give less, never more than its own caps. An archive of an older version of
/// napt does not name all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Wall time in seconds.
    pub timeout_seconds: u64,
    /// Time of processors in seconds.
    #[serde(skip_serializing_if = "usual::cpu_seconds")]
    pub cpu_seconds: u64,
    /// Bytes that it allocates.
    pub memory_bytes: u64,
    /// Processes and threads.
    #[serde(skip_serializing_if = "usual::processes")]
    pub processes: u64,
    /// Open files of a process.
    #[serde(skip_serializing_if = "usual::files")]
    pub files: u64,
    /// Bytes of a file that it writes.
    #[serde(skip_serializing_if = "usual::file_size_bytes")]
    pub file_size_bytes: u64,
    /// Bytes of its scratch folder.
    #[serde(skip_serializing_if = "usual::disk_bytes")]
    pub disk_bytes: u64,
    /// Bytes that it prints.
    #[serde(skip_serializing_if = "usual::output_bytes")]
    pub output_bytes: u64,
    /// How runs are kept apart.
    pub isolation: Isolation,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout_seconds: 600,
            cpu_seconds: 600,
            memory_bytes: 512 << 20,
            processes: 64,
            files: 1024,
            file_size_bytes: 1 << 30,
            disk_bytes: 1 << 30,
            output_bytes: 10 << 20,
            isolation: Isolation::Process,
        }
    }
}

/// What is as usual is not written, so that a module packs to the same bytes as it did before there was such a limit.
mod usual {
    use super::Limits;

    macro_rules! usual {
        ($($field:ident)*) => {$(
            pub(super) fn $field(value: &u64) -> bool {
                *value == Limits::default().$field
            }
        )*};
    }

    usual! { cpu_seconds processes files file_size_bytes disk_bytes output_bytes }
}

/// A duration such as `90s` or `1h 30m`, in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let seconds = u64::try_from(span.as_secs()).ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| "it must be at least a second, for example `10m`".to_owned())
}

/// A size such as `512MiB`, in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}

impl LimitsTable {
    /// Reads durations and sizes; `invalid` makes the error of a key and a reason.
    pub(crate) fn parse(
        &self,
        invalid: &dyn Fn(&str, &dyn fmt::Display) -> ManifestError,
    ) -> Result<Limits, ManifestError> {
        let default = Limits::default();
        let read = |key: &str, text: &Option<String>, parse: fn(&str) -> Result<u64, String>, default: u64| {
            let Some(text) = text else { return Ok(default) };
            parse(text).map_err(|reason| invalid(&format!("limits.{key}"), &reason))
        };
        let count = |given: Option<NonZeroU32>, default| given.map_or(default, |count| count.get().into());
        Ok(Limits {
            timeout_seconds: read("timeout", &self.timeout, seconds, default.timeout_seconds)?,
            cpu_seconds: read("cpu", &self.cpu, seconds, default.cpu_seconds)?,
            memory_bytes: read("memory", &self.memory, bytes, default.memory_bytes)?,
            processes: count(self.processes, default.processes),
            files: count(self.files, default.files),
            file_size_bytes: read("file-size", &self.file_size, bytes, default.file_size_bytes)?,
            disk_bytes: read("disk", &self.disk, bytes, default.disk_bytes)?,
            output_bytes: read("output", &self.output, bytes, default.output_bytes)?,
            isolation: self.isolation.unwrap_or_default(),
        })
    }
}
