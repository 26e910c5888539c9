//! The third phase: bytecode. What was compiled once goes beside the unpacked wheel in the cache, so that the next
//! environment gets it with the wheel.

use std::{
    collections::HashMap,
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    EnvironmentError, VENV,
    install::Site,
    step::{Code, Reach, Step, Steps},
    tools::Interpreter,
};

/// It starts with `-I -S`: nothing of the environment is on its path, and no `.pth` file is read.
const COMPILE: &str = include_str!("compile.py");

impl Site<'_> {
    /// Compiles what has no bytecode yet. Without it everything works too, only slower; so nothing fails for it.
    pub(super) async fn compile(&self) -> Result<(), EnvironmentError> {
        let venv = self.folder.join(VENV);
        let tag = self.interpreter.tag.clone();
        let found = tokio::task::spawn_blocking({
            let libraries = venv.join("lib");
            move || without_bytecode(&libraries, &tag)
        });
        let sources = found.await.map_err(std::io::Error::other)??;
        if sources.is_empty() {
            return Ok(());
        }
        let inputs = self.folder.join("inputs");
        let compiled = compile(self.steps, self.interpreter, &inputs, &sources, [&venv, &venv]);
        if let Err(error) = compiled.await {
            tracing::warn!(%error, "an environment has not all of its bytecode");
        }
        let (cache, tag) = (self.shared().join("cache"), self.interpreter.tag.clone());
        let shared = tokio::task::spawn_blocking(move || share(&venv, &cache, &sources, &tag)).await;
        if let Ok(Err(error)) | Err(error) = shared.map_err(std::io::Error::other) {
            tracing::warn!(%error, "bytecode is not shared with other environments");
        }
        Ok(())
    }
}

/// Compiles sources that are below the first folder into the second, laid out as Python wants it beside them. `inputs` is a
/// folder for what the program is told.
pub(super) async fn compile(
    steps: &Steps,
    interpreter: &Interpreter,
    inputs: &Path,
    sources: &[PathBuf],
    [from, into]: [&Path; 2],
) -> Result<(), EnvironmentError> {
    let list = inputs.join("sources");
    let mut listed = Vec::new();
    for source in sources {
        listed.extend_from_slice(source.as_os_str().as_encoded_bytes());
        listed.push(0);
    }
    fs_err::tokio::write(&list, listed).await?;
    // Some cores are left to whoever else installs.
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut arguments: Vec<OsString> = ["-I", "-S", "-c", COMPILE].into_iter().map(OsString::from).collect();
    arguments.extend([list.into(), workers.to_string().into(), from.into(), into.into()]);
    let compiling = steps.run(Step {
        what: "compiling Python sources",
        code: Code::Own,
        program: &interpreter.program,
        arguments,
        variables: Vec::new(),
        read: [interpreter.paths(), vec![inputs.to_owned(), from.to_owned()]].concat(),
        write: vec![into.to_owned()],
        work: into,
        reach: Reach::Nothing,
        proxies: Vec::new(),
    });
    compiling.await.map(drop)
}

/// Where the bytecode of a source is.
pub(super) fn bytecode_of(source: &Path, tag: &str) -> Option<PathBuf> {
    let name = format!("{}.{tag}.pyc", source.file_stem()?.to_str()?);
    Some(source.parent()?.join("__pycache__").join(name))
}

/// The sources below a folder that have no bytecode. Links are not followed.
pub(super) fn without_bytecode(folder: &Path, tag: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && path.extension().is_some_and(|suffix| suffix == "py")
                && bytecode_of(&path, tag).is_some_and(|bytecode| !bytecode.exists())
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Links bytecode beside its source in the cache, where that is the very same file.
fn share(venv: &Path, cache: &Path, sources: &[PathBuf], tag: &str) -> std::io::Result<()> {
    let mut compiled = HashMap::new();
    for source in sources {
        let is_file = |path: &PathBuf| fs_err::symlink_metadata(path).is_ok_and(|about| about.is_file());
        let Some(bytecode) = bytecode_of(source, tag).filter(is_file) else { continue };
        // A source of its own, such as one that was copied, has no other name.
        let about = fs_err::symlink_metadata(source)?;
        if about.nlink() > 1 {
            compiled.insert((about.dev(), about.ino()), bytecode);
        }
    }
    let mut folders = wheels(venv, cache)?;
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if about.is_dir() {
                folders.push(path);
            } else if let Some(bytecode) = compiled.get(&(about.dev(), about.ino()))
                && let Some(target) = bytecode_of(&path, tag)
            {
                match link(bytecode, &target, &folder) {
                    // Somebody else has compiled it too.
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    done => done?,
                }
            }
        }
    }
    Ok(())
}

/// The unpacked wheels in the installer's cache that an environment is made of.
fn wheels(venv: &Path, cache: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let archives = fs_err::read_dir(cache)?.filter_map(|entry| Some(entry.ok()?.path()));
    let archives =
        archives.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"archive")));
    let mut libraries = Vec::new();
    for library in fs_err::read_dir(venv.join("lib"))? {
        libraries.push(library?.path().join("site-packages"));
    }
    for archive in archives.collect::<Vec<_>>() {
        for wheel in fs_err::read_dir(archive)? {
            let wheel = wheel?.path();
            // Another install may be at work there.
            let entries = fs_err::read_dir(&wheel).into_iter().flatten().filter_map(Result::ok);
            let mut infos =
                entries.map(|entry| entry.file_name()).filter(|name| name.as_encoded_bytes().ends_with(b".dist-info"));
            if let Some(info) = infos.next()
                && libraries
                    .iter()
                    .any(|library| is_same(&library.join(&info).join("METADATA"), &wheel.join(&info).join("METADATA")))
            {
                found.push(wheel);
            }
        }
    }
    Ok(found)
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs_err::symlink_metadata(one), fs_err::symlink_metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn link(bytecode: &Path, target: &Path, folder: &Path) -> std::io::Result<()> {
    let into = folder.join("__pycache__");
    if !into.exists() {
        fs_err::create_dir_all(&into)?;
        // The installer's, as its neighbours are.
        let about = fs_err::symlink_metadata(folder)?;
        std::os::unix::fs::lchown(&into, Some(about.uid()), Some(about.gid()))?;
    }
    fs_err::hard_link(bytecode, target)
}
