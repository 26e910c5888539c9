//! The node's own Python programs as files with bytecode: an interpreter that has to compile them starts later, and stays
//! larger.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::{
    COMPLETE, EnvironmentError, Environments, lock_file,
    tools::{Interpreter, run},
};

/// By their names as modules. They need nothing but the standard library.
const PROGRAMS: [(&str, &str); 8] = [
    ("napt_sdk", crate::compat::SDK),
    ("napt_compat", include_str!("../compat.py")),
    ("napt_network", include_str!("../network.py")),
    ("napt_seal", include_str!("../seal.py")),
    ("napt_runner", include_str!("../runner.py")),
    ("napt_belongings", include_str!("../belongings.py")),
    ("napt_processor", include_str!("../processor.py")),
    ("napt_shared", include_str!("../shared.py")),
];

impl Environments {
    /// The folder of them for an interpreter, made when it is new. Nothing that strangers wrote runs to make it.
    pub(super) async fn library(&self, interpreter: &Interpreter) -> Result<PathBuf, EnvironmentError> {
        let mut digest = Sha256::new();
        digest.update(&interpreter.tag);
        for (_, text) in PROGRAMS {
            digest.update([0]);
            digest.update(text);
        }
        let libraries = self.folder.join("library");
        let folder = libraries.join(hex::encode(&digest.finalize()[..16]));
        let is_complete = || folder.join(COMPLETE).is_file();
        if is_complete() {
            return Ok(folder);
        }
        let _other_nodes = lock_file(self.folder.join("library.lock")).await?;
        if !is_complete() {
            fs_err::tokio::create_dir_all(&libraries).await?;
            let unfinished = tempfile::Builder::new().prefix(".library-").tempdir_in(&libraries)?;
            for (name, text) in PROGRAMS {
                fs_err::tokio::write(unfinished.path().join(format!("{name}.py")), text).await?;
            }
            // Its sources are never looked at again.
            let mut compile = Command::new(&interpreter.program);
            compile.args(["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]);
            run(self, "compiling napt's library", compile.arg(unfinished.path())).await?;
            fs_err::tokio::write(unfinished.path().join(COMPLETE), "").await?;
            readable(unfinished.path())?;
            if folder.exists() {
                fs_err::tokio::remove_dir_all(&folder).await?;
            }
            fs_err::tokio::rename(unfinished.keep(), &folder).await?;
        }
        Ok(folder)
    }
}

/// Lets every user read a folder and what is in it: runs are others than the node.
fn readable(folder: &Path) -> std::io::Result<()> {
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => readable(&entry.path())?,
            false => fs_err::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o644))?,
        }
    }
    Ok(())
}
