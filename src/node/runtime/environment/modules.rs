//! Bytecode of modules' own sources. A run is a process of its own: without bytecode each compiles its module anew, and
//! what Python needs for that takes it two milliseconds even when the module is empty.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use super::{
    EnvironmentError, Environments,
    bytecode::{bytecode_of, compile, without_bytecode},
    needs,
};

/// Written last into the folder of a module that has its bytecode. It says what kind of interpreter that is for.
const COMPILED: &str = ".napt-compiled";

/// Bytes of sources that are compiled at the most. Of more, runs compile what they import.
const SOURCES: u64 = 8 << 20;

impl Environments {
    /// Compiles the sources of a module that was prepared, beside them. Nothing of the module runs for it. Without it
    /// everything works too, only slower.
    pub(in crate::node) async fn compile_module(
        &self,
        root: PathBuf,
        sdk: Option<&str>,
    ) -> Result<(), EnvironmentError> {
        let Some(tools) = self.tools.get() else { return Ok(()) };
        let interpreter = tools.python(self, &needs(&root, sdk)?).await?;
        let tag = interpreter.tag.clone();
        if fs_err::read_to_string(root.join(COMPILED)).is_ok_and(|compiled| compiled == tag) {
            return Ok(());
        }
        let parent = root.parent().unwrap_or(&root);
        let work = tempfile::Builder::new().prefix(".compiled-").tempdir_in(parent)?;
        let [inputs, bytecode] = ["inputs", "bytecode"].map(|name| work.path().join(name));
        for folder in [work.path(), &inputs, &bytecode] {
            fs_err::create_dir_all(folder)?;
            // The program that compiles may be another user.
            fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        let sources = tokio::task::spawn_blocking({
            let (root, tag) = (root.clone(), tag.clone());
            move || few(without_bytecode(&root, &tag)?)
        });
        let sources = sources.await.map_err(std::io::Error::other)??;
        if !sources.is_empty() {
            compile(&self.steps, interpreter, &inputs, &sources, [&root, &bytecode]).await?;
        }
        let kept = tokio::task::spawn_blocking(move || {
            keep(&sources, &bytecode, &root, &tag)?;
            drop(work);
            fs_err::write(root.join(COMPILED), tag)
        });
        Ok(kept.await.map_err(std::io::Error::other)??)
    }
}

/// Whether a module's folder has its bytecode.
pub(in crate::node::runtime) fn is_compiled(root: &Path) -> bool {
    root.join(COMPILED).exists()
}

/// All of them, or none when that would take long.
fn few(sources: Vec<PathBuf>) -> std::io::Result<Vec<PathBuf>> {
    let mut size = 0;
    for source in &sources {
        size += fs_err::symlink_metadata(source)?.len();
    }
    Ok(if size <= SOURCES { sources } else { Vec::new() })
}

/// Brings bytecode beside its sources. It belongs to whoever they belong to.
fn keep(sources: &[PathBuf], bytecode: &Path, root: &Path, tag: &str) -> std::io::Result<()> {
    let owner = fs_err::symlink_metadata(root)?;
    let bytecode = bytecode.canonicalize()?;
    for source in sources {
        let Some(target) = bytecode_of(source, tag) else { continue };
        let compiled = bytecode.join(target.strip_prefix(root).map_err(std::io::Error::other)?);
        // What cannot be compiled has none: whoever imports it is told why. And there are no links.
        if !compiled.canonicalize().is_ok_and(|real| real == compiled && real.is_file()) {
            continue;
        }
        lchown(&compiled, Some(owner.uid()), Some(owner.gid()))?;
        fs_err::set_permissions(&compiled, std::fs::Permissions::from_mode(0o644))?;
        // With a name it is believed.
        fs_err::File::open(&compiled)?.sync_all()?;
        // Not what is above it: the module may have been removed meanwhile, and stays so.
        match fs_err::create_dir(target.parent().unwrap_or(root)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs_err::rename(compiled, target)?,
        }
    }
    Ok(())
}
