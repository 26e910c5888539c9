//! The operator's Rust: Cargo and the compiler that nodes build with.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::BuildError;

/// Where Cargo and the compiler are.
#[derive(Debug, Clone)]
pub(super) struct Toolchain {
    /// The folder that all of it is below.
    pub root: PathBuf,
    pub cargo: PathBuf,
    pub rustc: PathBuf,
}

impl Toolchain {
    /// The toolchain of the `rustc` in `path`. What is found there may be rustup's proxy; `variables` tell it where its
    /// toolchains are.
    pub(super) async fn find(path: &str, variables: &[(String, String)]) -> Result<Self, BuildError> {
        let mut command = Command::new("rustc");
        command.args(["--print", "sysroot"]).env_clear().env("PATH", path).envs(variables.iter().cloned());
        // Away from any folder that names a toolchain.
        let output = command.current_dir("/").kill_on_drop(true).output().await.map_err(|_| BuildError::NoRust)?;
        if !output.status.success() {
            return Err(BuildError::NoRust);
        }
        let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let own = |name: &str| Some(root.join("bin").join(name)).filter(|program| program.is_file());
        let found = |name: &str| {
            let folders = path.split(':').filter(|folder| Path::new(folder).is_absolute());
            folders.map(|folder| Path::new(folder).join(name)).find(|program| program.is_file())
        };
        // A distribution may have them apart.
        let cargo = own("cargo").or_else(|| found("cargo")).ok_or(BuildError::NoRust)?;
        let rustc = own("rustc").or_else(|| found("rustc")).ok_or(BuildError::NoRust)?;
        Ok(Toolchain { root, cargo, rustc })
    }
}
