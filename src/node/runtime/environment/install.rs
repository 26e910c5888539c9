//! The first phase: wheels are put into a new environment. Nothing of them is run.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    EnvironmentError, VENV,
    settings::Settings,
    sources::Built,
    step::{Code, Step, Steps},
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

    /// A new environment out of wheels: those of the index, and those that were built here.
    ///
    /// The environment's files are hard links of the cache's, which all environments share, so writing to one would
    /// write to all. No code of packages runs while they can be written to: here only the installer does, which may not
    /// build and not compile (to compile, it would start the environment's interpreter, and that runs what `.pth` files
    /// say). It asks the interpreter about itself while the environment is empty. Builds see neither; compilation sees
    /// this environment, and makes files anew; and runs have their environment read-only.
    async fn wheels(&self, wanted: Wanted<'_>, built: &Built, offline: bool) -> Result<(), EnvironmentError> {
        let shared = self.shared();
        let key = self.folder.file_name().unwrap_or_default();
        let new = shared.join("new").join(key);
        // Of a try before, or of a node that was stopped.
        if new.exists() {
            fs_err::tokio::remove_dir_all(&new).await?;
        }
        let (venv, work) = (new.join(VENV), new.join("work"));
        let inputs = self.folder.join("inputs");
        for folder in [&work, &venv, &shared.join("cache"), &inputs] {
            fs_err::tokio::create_dir_all(folder).await?;
        }
        let step = |what, arguments, network: bool| Step {
            what,
            code: Code::Own,
            program: &self.tools.uv,
            arguments,
            variables: self.variables(self.settings.for_installer(), &shared.join("cache")),
            read: [self.readable(), vec![built.folder.clone(), inputs.clone()]].concat(),
            // One folder, since nothing is linked from one mount into another.
            write: vec![shared.clone()],
            work: &work,
            network,
            proxies: self.settings.proxies(),
        };
        // Relocatable: it is moved when it is done.
        let mut arguments =
            words(&["venv", "--quiet", "--no-project", "--allow-existing", "--relocatable", "--python"]);
        arguments.extend([self.interpreter.program.clone().into_os_string(), venv.clone().into_os_string()]);
        self.steps.run(step("making the environment", arguments, false)).await?;
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
            self.steps.run(step(INSTALLING, arguments, true)).await?;
        }
        // Which interpreter runs, and where it looks, is the node's to say.
        if identity(&venv)? != before {
            return Err(EnvironmentError::Failed {
                what: INSTALLING.to_owned(),
                output: "a package replaces the environment's interpreter or its `pyvenv.cfg`".to_owned(),
            });
        }
        fs_err::tokio::rename(&venv, self.folder.join(VENV)).await?;
        Ok(fs_err::tokio::remove_dir_all(&new).await?)
    }

    /// What is left besides the environment.
    pub(super) async fn clear(&self) -> std::io::Result<()> {
        for name in ["inputs", "work"] {
            let folder = self.folder.join(name);
            if folder.exists() {
                fs_err::tokio::remove_dir_all(folder).await?;
            }
        }
        Ok(())
    }

    /// The cache of all environments, and those that are being made out of it.
    pub(super) fn shared(&self) -> PathBuf {
        self.common.join("shared")
    }

    /// What each program of an install may read.
    pub(super) fn readable(&self) -> Vec<PathBuf> {
        let base = &self.interpreter.base;
        let parts = ["bin", "lib", "lib64", "include", "share"].map(|part| base.join(part));
        let mut paths = vec![self.tools.uv.clone(), self.interpreter.program.clone()];
        paths.extend(parts.into_iter().filter(|part| part.is_dir()));
        paths.extend(self.settings.paths());
        paths
    }

    /// The installer's variables, with a cache folder.
    pub(super) fn variables(&self, mut settings: Vec<(String, String)>, cache: &Path) -> Vec<(String, String)> {
        let mut set = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
        set("UV_CACHE_DIR", &cache.to_string_lossy());
        set("UV_LINK_MODE", "hardlink");
        set("UV_PYTHON_DOWNLOADS", "never");
        // Only what the operator's variables name shapes an environment.
        if !self.settings.all().iter().any(|(name, _)| name == "UV_CONFIG_FILE") {
            set("UV_NO_CONFIG", "1");
        }
        settings
    }
}

pub(super) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// What says which interpreter an environment has.
fn identity(venv: &Path) -> std::io::Result<(PathBuf, Vec<u8>)> {
    let config = venv.join("pyvenv.cfg");
    if !fs_err::symlink_metadata(&config)?.is_file() {
        return Ok((PathBuf::new(), Vec::new()));
    }
    Ok((fs_err::read_link(venv.join("bin").join("python"))?, fs_err::read(config)?))
}
