//! Python environments, shared by content: the same interpreter, settings and dependencies are the same environment.
//!
//! Installing is running strangers' code, so it goes in phases, and what is shared is never writable in one in which
//! such code runs:
//!
//! 1. **Wheels** (`install`): the installer puts wheels into a new environment, out of the cache that all environments
//!    share. It may not build anything, so nothing of the packages is run.
//! 2. **Sources** (`sources`), only when something has no wheel: each such package is built by itself, with a cache that
//!    is thrown away. What it gives is a wheel of that package and nothing else; then comes the first phase again.
//! 3. **Bytecode** (`bytecode`): sources are compiled by the base interpreter, which imports nothing of the environment. So are the module's own, in the background (`modules`).
//!
//! Each program of a phase is a `Step`, shut in as far as this machine can.

mod bounds;
mod bytecode;
mod install;
mod library;
mod modules;
mod settings;
mod sources;
pub(super) mod step;
mod tools;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

pub(super) use self::modules::is_compiled;
pub(in crate::node) use self::step::{Reach, Steps, WayOut};
use self::{install::Site, settings::Settings, tools::Tools};
use super::{python::Python, scratch};
use crate::{
    crash,
    module::{PythonNeeds, PythonNeedsError, python_needs},
    report::Reporter,
};

/// Changes when an environment is made in another way, so that those of older versions are not used.
const FORMAT: &str = "3";

/// The environment itself, beside what the node notes about it: a package may put any file into it.
const VENV: &str = "venv";

/// Written last beside a finished environment.
const COMPLETE: &str = "complete";

/// What is to be said of it, if anything.
const WARNING: &str = "warning";

/// Hosts of indexes that are remembered.
const MAX_INDEXES: usize = 256;

/// Why a module's environment cannot be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum EnvironmentError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// There is no usable interpreter.
    #[error("no Python 3.10, 3.11 or 3.12 was found in the node's `PATH`; install one of them and deploy again")]
    NoPython,
    /// A program failed; its last lines are kept.
    #[error("{what} failed\n{output}")]
    Failed {
        /// What was being done.
        what: String,
        /// What it said.
        output: String,
    },
    /// A program took more than it may.
    #[error("{what} failed: {limit} reached")]
    Limit {
        /// What was being done.
        what: String,
        /// The limit's name and value.
        limit: String,
    },
    /// The project does not say what it needs, or what cannot be installed.
    #[error(transparent)]
    Needs(PythonNeedsError),
}

/// All environments of a node.
#[derive(Debug)]
pub(in crate::node) struct Environments {
    folder: PathBuf,
    settings: Settings,
    steps: Arc<Steps>,
    path: String,
    /// Hosts that indexes have sent to.
    indexes: Mutex<HashSet<(String, u16)>>,
    tools: tokio::sync::OnceCell<Tools>,
    /// One build at a time for each environment.
    building: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Environments {
    /// Environments below `folder`. `variables` let the installer reach the network; `steps` shut it in.
    pub(in crate::node) fn new(
        folder: PathBuf,
        variables: Vec<(String, String)>,
        path: String,
        steps: Arc<Steps>,
    ) -> Self {
        let settings = Settings::new(variables);
        Environments {
            folder,
            steps,
            settings,
            path,
            indexes: Mutex::default(),
            tools: tokio::sync::OnceCell::new(),
            building: Mutex::default(),
        }
    }

    /// From now on this is how the programs of installs reach package indexes.
    pub(in crate::node) fn reach_by(&self, way_out: Arc<dyn WayOut>) {
        self.steps.reach_by(way_out);
    }

    /// Whether the operator's variables name a host.
    pub(in crate::node) fn names_index(&self, host: &str, port: u16) -> bool {
        self.settings.hosts().contains(&(host.to_owned(), port))
    }

    /// Whether an index has sent there.
    pub(in crate::node) fn knows_index(&self, host: &str, port: u16) -> bool {
        self.indexes().contains(&(host.to_owned(), port))
    }

    /// Remembers a host of an index.
    pub(in crate::node) fn learn_index(&self, host: &str, port: u16) {
        let mut indexes = self.indexes();
        if indexes.len() < MAX_INDEXES {
            indexes.insert((host.to_owned(), port));
        }
    }

    fn indexes(&self) -> MutexGuard<'_, HashSet<(String, u16)>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs code in an environment with what the project in `root` depends on; built when it is new. `sdk` is the
    /// SDK's version where the project takes it from git.
    pub(in crate::node) async fn prepare(
        &self,
        root: &Path,
        sdk: Option<&str>,
        reporter: &dyn Reporter,
    ) -> Result<Python, EnvironmentError> {
        let needs = needs(root, sdk)?;
        let tools = self.tools.get_or_try_init(|| Tools::find(self, reporter)).await?;
        let interpreter = tools.python(self, &needs).await?;
        let mut digest = Sha256::new();
        let mut add = |kind: u8, text: &str| {
            digest.update([kind]);
            digest.update(text);
            digest.update([0]);
        };
        add(0, FORMAT);
        add(1, &interpreter.version);
        add(2, &interpreter.program.to_string_lossy());
        add(3, &self.settings.fingerprint());
        needs.requirements.iter().for_each(|requirement| add(4, requirement));
        needs.lock.iter().flat_map(|lock| &lock.constraints).for_each(|constraint| add(5, constraint));
        let key = hex::encode(&digest.finalize()[..16]);
        let target = self.folder.join(&key);
        let library = self.library(interpreter).await?;
        let lock = self.building.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        let _one = lock.lock().await;
        let ready = || {
            // What was to be said when it was made is true of each module that has it.
            if let Ok(warning) = fs_err::read_to_string(target.join(WARNING)) {
                reporter.warn(&warning);
            }
            Ok(Python { interpreter: target.join(VENV).join("bin").join("python"), library: library.clone() })
        };
        if target.join(COMPLETE).is_file() {
            return ready();
        }
        let _other_nodes = lock_file(self.folder.join(format!("{key}.lock"))).await?;
        if target.join(COMPLETE).is_file() {
            return ready();
        }
        // An unfinished one is of a node that was stopped.
        scratch::removed(&target).await?;
        fs_err::tokio::create_dir_all(&target).await?;
        reporter.step("Building", &format!("environment ({} and what it needs)", summary(&needs.requirements)));
        let site = Site {
            steps: &self.steps,
            settings: &self.settings,
            tools,
            interpreter,
            folder: &target,
            common: &self.folder,
            reporter,
        };
        if let Err(error) = build(&site, &needs).await {
            // Should it stay, the next try removes it.
            let _ = scratch::removed(&target).await;
            return Err(error);
        }
        ready()
    }
}

async fn build(site: &Site<'_>, needs: &PythonNeeds) -> Result<(), EnvironmentError> {
    let warning = site.install(needs).await?;
    if !needs.requirements.is_empty() {
        site.compile().await?;
    }
    site.clear().await?;
    crash::point("install.dependencies")?;
    if let Some(warning) = warning {
        fs_err::tokio::write(site.folder.join(WARNING), warning).await?;
    }
    fs_err::tokio::write(site.folder.join(COMPLETE), needs.requirements.join("\n")).await?;
    crash::point("install.complete")?;
    Ok(())
}

/// Waits until no other process holds the lock; it is released when the file is dropped.
pub(super) async fn lock_file(path: PathBuf) -> std::io::Result<std::fs::File> {
    let locked = tokio::task::spawn_blocking(move || {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = fs_err::File::create(&path)?.into_parts().0;
        file.lock()?;
        Ok(file)
    });
    locked.await.map_err(std::io::Error::other)?
}

fn summary(requirements: &[String]) -> String {
    requirements.first().cloned().unwrap_or_else(|| "nothing".to_owned())
}

/// What the project in a folder asks for.
fn needs(root: &Path, sdk: Option<&str>) -> Result<PythonNeeds, EnvironmentError> {
    let needs = python_needs(root, sdk).map_err(|error| match error {
        PythonNeedsError::Io(error) => EnvironmentError::Io(error),
        error => EnvironmentError::Needs(error),
    })?;
    // The installer would put the operator's variables there, and send them to whoever the URL names.
    match needs.requirements.iter().find(|requirement| requirement.contains('$')) {
        Some(requirement) => Err(EnvironmentError::Failed {
            what: "reading the module's dependencies".to_owned(),
            output: format!("`{requirement}` refers to a variable; write its value, percent-encoded where it is a `$`"),
        }),
        None => Ok(needs),
    }
}
