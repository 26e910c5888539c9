//! Rust modules: built from source where they run, once for each archive and owner.

mod build;
mod crates;
mod toolchain;

use std::path::PathBuf;

use super::environment::EnvironmentError;

pub(in crate::node) use build::Binaries;

/// An installed Rust module.
#[derive(Debug, Clone)]
pub(in crate::node) struct RustModule {
    /// `type:name`.
    pub id: String,
    /// Its archive's digest.
    pub sha256: String,
    /// The unpacked archive.
    pub root: PathBuf,
    /// The name of the binary that is run.
    pub binary: String,
}

/// Why a Rust module cannot be built.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum BuildError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// There is no toolchain.
    #[error(
        "no Rust was found in the node's `PATH`; install `cargo` and `rustc` (https://rustup.rs) on the node and deploy again"
    )]
    NoRust,
    /// The archive is not one of a Rust module.
    #[error("{0}")]
    Unfit(String),
    /// The lock file asks for what nodes do not fetch.
    #[error("`Cargo.lock` cannot be used: {0}")]
    Lock(String),
    /// A program failed, or took more than it may.
    #[error(transparent)]
    Step(#[from] EnvironmentError),
}
