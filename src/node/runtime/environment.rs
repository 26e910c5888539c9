//! Python environments, shared by content: the same interpreter and dependencies are the same environment.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex},
};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::{
    crash,
    module::{PythonNeeds, PythonNeedsError, python_needs},
    report::Reporter,
};

/// The installer's version when the machine has none of its own.
const UV: &str = "uv==0.13.9";

/// Interpreters that modules may run on, best first.
const PYTHONS: [&str; 4] = ["python3.12", "python3.11", "python3.10", "python3"];

/// Written last into a finished environment.
const COMPLETE: &str = "complete";

/// What is to be said of it, if anything.
const WARNING: &str = "warning";

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
    /// The project does not say what it needs, or what cannot be installed.
    #[error(transparent)]
    Needs(PythonNeedsError),
}

/// All environments of a node.
#[derive(Debug)]
pub(in crate::node) struct Environments {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    path: String,
    tools: tokio::sync::Mutex<Option<Tools>>,
    /// One build at a time for each environment.
    building: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Clone)]
struct Tools {
    /// Interpreters with their versions, best first; at least one.
    pythons: Vec<(String, PathBuf)>,
    uv: PathBuf,
}

impl Tools {
    /// The best interpreter that a project runs on; else the best.
    fn python(&self, needs: &PythonNeeds) -> Result<&(String, PathBuf), EnvironmentError> {
        let fitting = self.pythons.iter().find(|(version, _)| needs.runs_on(version));
        fitting.or(self.pythons.first()).ok_or(EnvironmentError::NoPython)
    }
}

impl Environments {
    /// Environments below `folder`. `variables` let the installer reach the network.
    pub(in crate::node) fn new(folder: PathBuf, variables: Vec<(String, String)>, path: String) -> Self {
        Environments { folder, variables, path, tools: tokio::sync::Mutex::default(), building: Mutex::default() }
    }

    /// The interpreter of an environment with what the project in `root` depends on; built when it is new. `sdk` is the
    /// SDK's version where the project takes it from git.
    pub(in crate::node) async fn prepare(
        &self,
        root: &Path,
        sdk: Option<&str>,
        reporter: &dyn Reporter,
    ) -> Result<PathBuf, EnvironmentError> {
        let needs = needs(root, sdk)?;
        let tools = {
            let mut found = self.tools.lock().await;
            match &*found {
                Some(tools) => tools.clone(),
                None => found.insert(self.find_tools(reporter).await?).clone(),
            }
        };
        let mut digest = Sha256::new();
        let (python_version, interpreter) = tools.python(&needs)?;
        digest.update(python_version);
        for requirement in &needs.requirements {
            digest.update([0]);
            digest.update(requirement);
        }
        for constraint in needs.lock.iter().flat_map(|lock| &lock.constraints) {
            digest.update([1]);
            digest.update(constraint);
        }
        let key = hex::encode(&digest.finalize()[..16]);
        let target = self.folder.join(&key);
        let locked = self.folder.join(format!("{key}.lock"));
        let lock =
            self.building.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(key).or_default().clone();
        let _one = lock.lock().await;
        let python = target.join("bin").join("python");
        let ready = || {
            // What was to be said when it was made is true of each module that has it.
            if let Ok(warning) = fs_err::read_to_string(target.join(WARNING)) {
                reporter.warn(&warning);
            }
            Ok(python.clone())
        };
        if target.join(COMPLETE).is_file() {
            return ready();
        }
        let _other_nodes = lock_file(locked).await?;
        if target.join(COMPLETE).is_file() {
            return ready();
        }
        // An unfinished one is of a node that was stopped.
        if target.exists() {
            fs_err::tokio::remove_dir_all(&target).await?;
        }
        reporter.step("Building", &format!("environment ({} and what it needs)", summary(&needs.requirements)));
        if let Err(error) = self.build(&tools, interpreter, &target, &needs).await {
            // Should it stay, the next try removes it.
            let _ = fs_err::tokio::remove_dir_all(&target).await;
            return Err(error);
        }
        ready()
    }

    async fn build(
        &self,
        tools: &Tools,
        interpreter: &Path,
        target: &Path,
        needs: &PythonNeeds,
    ) -> Result<(), EnvironmentError> {
        let requirements = &needs.requirements;
        self.run(
            "making the environment",
            Command::new(&tools.uv).args(["venv", "--quiet", "--no-project", "--python"]).arg(interpreter).arg(target),
        )
        .await?;
        crash::point("install.environment")?;
        if !requirements.is_empty() {
            self.install(tools, target, needs).await?;
        }
        crash::point("install.dependencies")?;
        fs_err::tokio::write(target.join(COMPLETE), requirements.join("\n")).await?;
        crash::point("install.complete")?;
        Ok(())
    }

    /// Installs what is needed, at the versions of the lock file. One that does not fit what is asked for is older than
    /// that, and then only said.
    async fn install(&self, tools: &Tools, target: &Path, needs: &PythonNeeds) -> Result<(), EnvironmentError> {
        let what = "installing the module's dependencies";
        let install = || {
            let mut command = Command::new(&tools.uv);
            command.args(["pip", "install", "--quiet", "--compile-bytecode", "--python"]);
            command.arg(target.join("bin").join("python"));
            command
        };
        let Some(lock) = &needs.lock else {
            return self.run(what, install().args(&needs.requirements)).await;
        };
        let constraints = target.join("constraints.txt");
        fs_err::tokio::write(&constraints, lock.constraints.join("\n")).await?;
        let locked = self.run(what, install().arg("--constraint").arg(&constraints).args(&needs.requirements)).await;
        let warning = match locked {
            Ok(()) if lock.missing.is_empty() => return Ok(()),
            Ok(()) => format!("`{}` is out of date: it lacks `{}`", lock.file, lock.missing.join("`, `")),
            // Other bytes than those that were locked are never a matter of age.
            Err(EnvironmentError::Failed { output, .. }) if output.contains("No solution found") => {
                self.run(what, install().args(&needs.requirements)).await?;
                format!(
                    "`{}` is out of date, and was not followed: it does not fit what the module asks for",
                    lock.file
                )
            }
            Err(error) => return Err(error),
        };
        Ok(fs_err::tokio::write(target.join(WARNING), warning).await?)
    }

    async fn find_tools(&self, reporter: &dyn Reporter) -> Result<Tools, EnvironmentError> {
        let mut pythons: Vec<(String, PathBuf)> = Vec::new();
        for name in PYTHONS {
            let script = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.executable)";
            let Ok(output) = self.output(Command::new(name).args(["-I", "-c", script])).await else { continue };
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if let Some((version, executable)) = text.split_once(' ')
                && ["3.10.", "3.11.", "3.12."].iter().any(|minor| version.starts_with(minor))
                && !pythons.iter().any(|(known, _)| known == version)
            {
                pythons.push((version.to_owned(), PathBuf::from(executable)));
            }
        }
        let (_, python) = pythons.first().cloned().ok_or(EnvironmentError::NoPython)?;
        if let Ok(output) = self.output(Command::new("uv").arg("--version")).await
            && output.status.success()
        {
            return Ok(Tools { pythons, uv: PathBuf::from("uv") });
        }
        let own = self.folder.join("installer");
        let uv = own.join("bin").join("uv");
        let _other_nodes = lock_file(self.folder.join("installer.lock")).await?;
        if !own.join(COMPLETE).is_file() {
            reporter.step("Fetching", "uv, the Python installer");
            if own.exists() {
                fs_err::tokio::remove_dir_all(&own).await?;
            }
            self.run("making a folder for uv", Command::new(&python).args(["-I", "-m", "venv"]).arg(&own)).await?;
            self.run(
                "installing uv",
                Command::new(own.join("bin").join("python")).args([
                    "-I",
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    UV,
                ]),
            )
            .await?;
            fs_err::tokio::write(own.join(COMPLETE), UV).await?;
        }
        Ok(Tools { pythons, uv })
    }

    async fn output(&self, command: &mut Command) -> std::io::Result<Output> {
        command
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", &self.path)
            // uv and pip keep their caches where the node keeps its data, so that a home folder is not needed.
            .env("HOME", self.folder.join("home"))
            .env("UV_LINK_MODE", "hardlink")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
    }

    async fn run(&self, what: &str, command: &mut Command) -> Result<(), EnvironmentError> {
        let output = self.output(command).await?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        let last = match lines.len() {
            // Killed, for example.
            0 => format!("it said nothing ({})", output.status),
            count => lines[count.saturating_sub(20)..].join("\n"),
        };
        Err(EnvironmentError::Failed { what: what.to_owned(), output: crate::secrets::redact(&last) })
    }
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
    python_needs(root, sdk).map_err(|error| match error {
        PythonNeedsError::Io(error) => EnvironmentError::Io(error),
        error => EnvironmentError::Needs(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_failed_and_how_is_told() {
        let environments = Environments::new(PathBuf::from("/nowhere"), Vec::new(), "/usr/bin:/bin".to_owned());
        let mut told = Vec::new();
        for script in ["exit 3", "echo no such package >&2; exit 1", "kill -9 $$"] {
            let failed = environments.run("installing", Command::new("sh").args(["-c", script])).await;
            told.push(failed.expect_err(script).to_string());
        }
        assert_eq!(
            told,
            [
                "installing failed\nit said nothing (exit status: 3)",
                "installing failed\nno such package",
                "installing failed\nit said nothing (signal: 9 (SIGKILL))",
            ]
        );
    }
}
