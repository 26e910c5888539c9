//! How git is used for modules that are kept there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const MIB: u64 = 1024 * 1024;

/// How git is used.
#[derive(Debug, Clone)]
pub struct Git {
    /// Where what was fetched is kept.
    pub folder: PathBuf,
    /// Whether only what is kept is used.
    pub offline: bool,
    /// Which URLs may be fetched: some of `https`, `http`, `ssh` and `file`.
    pub schemes: Vec<&'static str>,
    /// The environment of git; that of this process when absent.
    pub environment: Option<Vec<(String, String)>>,
    /// How long git may take for one thing.
    pub timeout: Duration,
    /// How large what it fetches may be, in bytes.
    pub max_bytes: u64,
}

impl Git {
    /// For the user of a command, with the user's own git: by any scheme.
    pub fn for_user(cache: &Path, offline: bool) -> Self {
        Git {
            folder: cache.join("git"),
            offline,
            schemes: vec!["https", "ssh", "http", "file"],
            environment: None,
            timeout: Duration::from_secs(300),
            max_bytes: 1024 * MIB,
        }
    }

    /// For a server that others ask: by `https` alone, and with nothing of its own environment but `environment`.
    pub fn for_server(cache: &Path, environment: Vec<(String, String)>) -> Self {
        let schemes = vec!["https"];
        let (timeout, max_bytes) = (Duration::from_secs(120), 512 * MIB);
        Git { schemes, environment: Some(environment), timeout, max_bytes, ..Self::for_user(cache, false) }
    }
}
