//! The first phase: wheels are put into a new environment. Nothing of them is run.

use std::{
    ffi::OsString,
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    super::scratch,
    EnvironmentError, VENV,
    settings::{CONFIG_FILE, Settings},
    sources::Built,
    step::{Code, Reach, Step, Steps},
    tools::{Interpreter, Tools},
};
use crate::{
    crash,
    module::{PythonLock, PythonNeeds},
    report::Reporter,
};

/// What the installer is doing, for people.
pub(super) const INSTALLING: &str = "installing the module's dependencies";

/// How the installer says that versions do not fit.
const NO_SOLUTION: &str = "No solution found";

/// An environment that is being made.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) steps: &'a Steps,
    pub(super) settings: &'a Settings,
    pub(super) tools: &'a Tools,
    pub(super) interpreter: &'a Interpreter,
    /// Its own.
    pub(super) folder: &'a Path,
    /// What all environments have in common.
    pub(super) common: &'a Path,
    pub(super) reporter: &'a dyn Reporter,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) requirements: &'a [String],
    pub(super) lock: Option<&'a PythonLock>,
}

impl Site<'_> {
    /// Installs what is needed, at the versions of the lock file. One that does not fit what is asked for is older than
    /// that; this is only said, by the warning that is given back.
    pub(super) async fn install(&self, needs: &PythonNeeds) -> Result<Option<String>, EnvironmentError> {
        let unlocked = Wanted { requirements: &needs.requirements, lock: None };
        let Some(lock) = &needs.lock else { return self.wheels_and_sources(unlocked).await.map(|()| None) };
        let file = lock.file;
        match self.wheels_and_sources(Wanted { lock: Some(lock), ..unlocked }).await {
            Ok(()) if lock.missing.is_empty() => Ok(None),
            Ok(()) => Ok(Some(format!("`{file}` is out of date: it lacks `{}`", lock.missing.join("`, `")))),
            // Other bytes than those that were locked are never a matter of age.
            Err(EnvironmentError::Failed { output, .. }) if output.contains(NO_SOLUTION) => {
                self.wheels_and_sources(unlocked).await?;
                Ok(Some(format!(
                    "`{file}` is out of date, and was not followed: it does not fit what the module asks for"
                )))
            }
            Err(error) => Err(error),
        }
    }

    async fn wheels_and_sources(&self, wanted: Wanted<'_>) -> Result<(), EnvironmentError> {
        let built = Built::of(self);
        // With all versions locked the index has nothing new to say.
        if wanted.lock.is_some_and(|lock| lock.missing.is_empty()) && self.wheels(wanted, &built, true).await.is_ok() {
            return Ok(());
        }
        let failed = match self.wheels(wanted, &built, false).await {
            Err(error @ EnvironmentError::Failed { .. }) => error,
            done => return done,
        };
        if !self.build_sources(wanted, &built).await? {
            return Err(failed);
        }
        self.wheels(wanted, &built, false).await
    }

    /// A new environment out of wheels, and nothing of it where that fails.
    async fn wheels(&self, wanted: Wanted<'_>, built: &Built, offline: bool) -> Result<(), EnvironmentError> {
        let key = self.folder.file_name().unwrap_or_default();
        let new = self.shared().join("new").join(key);
        // Of a node that was stopped.
        scratch::removed(&new).await?;
        let installed = self.wheels_into(&new, wanted, built, offline).await;
        let cleared = scratch::removed(&new).await;
        if matches!(installed, Err(EnvironmentError::Limit { .. })) {
            self.prune().await;
        }
        installed?;
        Ok(cleared?)
    }

    /// A new environment out of wheels: those of the index, and those that were built here.
    ///
    /// The environment's files are hard links of the cache's, which all environments share, so writing to one would
    /// write to all. No code of packages runs while they can be written to: here only the installer does, which may not
    /// build and not compile (to compile, it would start the environment's interpreter, and that runs what `.pth` files
    /// say). It asks the interpreter about itself while the environment is empty. Builds see neither; compilation sees
    /// this environment, and makes files anew; and runs have their environment read-only.
    async fn wheels_into(
        &self,
        new: &Path,
        wanted: Wanted<'_>,
        built: &Built,
        offline: bool,
    ) -> Result<(), EnvironmentError> {
        let shared = self.shared();
        let venv = new.join(VENV);
        let inputs = self.folder.join("inputs");
        for folder in [&shared.join("cache"), &inputs] {
            fs_err::tokio::create_dir_all(folder).await?;
        }
        make_empty(&venv, self.interpreter)?;
        crash::point("install.environment")?;
        let before = identity(&venv)?;
        if !wanted.requirements.is_empty() {
            let mut arguments = words(&["pip", "install", "--quiet", "--no-build", "--python"]);
            arguments.push(venv.join("bin").join("python").into_os_string());
            if offline {
                arguments.push("--offline".into());
            }
            for folder in built.folders(wanted) {
                arguments.extend(["--find-links".into(), folder.into_os_string()]);
            }
            if let Some(lock) = wanted.lock {
                let constraints = inputs.join("constraints.txt");
                fs_err::tokio::write(&constraints, built.constraints(lock)?.join("\n")).await?;
                arguments.extend(["--constraint".into(), constraints.into_os_string()]);
            }
            arguments.extend(built.requirements(wanted).into_iter().map(OsString::from));
            let config = self.config(&inputs, self.settings.installer_config())?;
            // A URL may lead anywhere.
            let is_named = wanted.requirements.iter().any(|requirement| requirement.contains("://"));
            self.steps
                .run(Step {
                    what: INSTALLING,
                    code: Code::Own,
                    program: &self.tools.uv,
                    arguments,
                    variables: self.variables(self.settings.for_installer(), &shared.join("cache"), config),
                    read: [self.readable(Code::Own), vec![built.folder.clone(), inputs]].concat(),
                    // One folder, since nothing is linked from one mount into another.
                    write: vec![shared],
                    work: new,
                    reach: if is_named { Reach::Public } else { Reach::Indexes },
                    proxies: self.settings.proxies(),
                })
                .await?;
        }
        // Which interpreter runs, and where it looks, is the node's to say.
        if identity(&venv)? != before {
            return Err(EnvironmentError::Failed {
                what: INSTALLING.to_owned(),
                output: "a package replaces the environment's interpreter or its `pyvenv.cfg`".to_owned(),
            });
        }
        Ok(fs_err::tokio::rename(&venv, self.folder.join(VENV)).await?)
    }

    /// Removes from the cache what an installer that was ended has left half done. Others that are at work keep theirs.
    async fn prune(&self) {
        let cache = self.shared().join("cache");
        let mut variables = self.variables(Vec::new(), &cache, None);
        // It waits for whoever uses the cache; the next one that is ended removes this too.
        variables.push(("UV_LOCK_TIMEOUT".to_owned(), "30".to_owned()));
        let pruned = self.steps.run(Step {
            what: "pruning the installer's cache",
            code: Code::Own,
            program: &self.tools.uv,
            arguments: words(&["cache", "prune", "--quiet"]),
            variables,
            read: self.readable(Code::Own),
            write: vec![self.shared()],
            work: &cache,
            reach: Reach::Nothing,
            proxies: Vec::new(),
        });
        if let Err(error) = pruned.await {
            tracing::warn!(%error, "the installer's cache keeps what an install has left");
        }
    }

    /// What is left besides the environment.
    pub(super) async fn clear(&self) -> std::io::Result<()> {
        for name in ["inputs", "work"] {
            scratch::removed(&self.folder.join(name)).await?;
        }
        Ok(())
    }

    /// The cache of all environments, and those that are being made out of it.
    pub(super) fn shared(&self) -> PathBuf {
        self.common.join("shared")
    }

    /// What each program of an install may read, by whose code it runs.
    pub(super) fn readable(&self, code: Code) -> Vec<PathBuf> {
        [self.interpreter.paths(), vec![self.tools.uv.clone()], self.settings.paths(code)].concat()
    }

    /// Puts the installer's configuration into a folder; where it is, if there is any.
    pub(super) fn config(&self, inputs: &Path, text: Option<String>) -> std::io::Result<Option<PathBuf>> {
        let Some(text) = text else { return Ok(None) };
        let file = inputs.join("uv.toml");
        fs_err::write(&file, text)?;
        Ok(Some(file))
    }

    /// The installer's variables, with a cache folder.
    pub(super) fn variables(
        &self,
        mut settings: Vec<(String, String)>,
        cache: &Path,
        config: Option<PathBuf>,
    ) -> Vec<(String, String)> {
        // Only what the operator's variables name shapes an environment.
        let is_named = settings.iter().any(|(name, _)| name == CONFIG_FILE);
        let mut set = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
        set("UV_CACHE_DIR", &cache.to_string_lossy());
        set("UV_LINK_MODE", "hardlink");
        set("UV_PYTHON_DOWNLOADS", "never");
        match config {
            Some(file) => set(CONFIG_FILE, &file.to_string_lossy()),
            None if !is_named => set("UV_NO_CONFIG", "1"),
            None => {}
        }
        settings
    }
}

pub(super) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Makes an environment with nothing in it, which others may read. It can be moved, as it is when it is done.
fn make_empty(venv: &Path, interpreter: &Interpreter) -> std::io::Result<()> {
    let python = format!("python{}", interpreter.minor());
    let packages = Path::new("lib").join(&python).join("site-packages");
    for folder in [Path::new("bin"), &packages] {
        fs_err::create_dir_all(venv.join(folder))?;
    }
    // Of some systems' interpreters, what is not pure Python has a folder of its own.
    fs_err::os::unix::fs::symlink("lib", venv.join("lib64"))?;
    fs_err::os::unix::fs::symlink(&interpreter.program, venv.join("bin/python"))?;
    for name in ["python3", &python] {
        fs_err::os::unix::fs::symlink("python", venv.join("bin").join(name))?;
    }
    let home = interpreter.program.parent().unwrap_or(Path::new("/")).display();
    let config = venv.join("pyvenv.cfg");
    fs_err::write(
        &config,
        format!(
            "home = {home}\nimplementation = CPython\nversion_info = {}\ninclude-system-site-packages = false\n\
             relocatable = true\n",
            interpreter.version
        ),
    )?;
    // Whatever the umask of the node is.
    fs_err::set_permissions(&config, Permissions::from_mode(0o644))?;
    packages
        .ancestors()
        .chain([Path::new("bin")])
        .try_for_each(|folder| fs_err::set_permissions(venv.join(folder), Permissions::from_mode(0o755)))
}

/// What says which interpreter an environment has.
fn identity(venv: &Path) -> std::io::Result<(PathBuf, Vec<u8>)> {
    let config = venv.join("pyvenv.cfg");
    if !fs_err::symlink_metadata(&config)?.is_file() {
        return Ok((PathBuf::new(), Vec::new()));
    }
    Ok((fs_err::read_link(venv.join("bin").join("python"))?, fs_err::read(config)?))
}
