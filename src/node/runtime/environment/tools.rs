//! The programs that make environments: the operator's interpreters, and uv, which is fetched where there is none.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{process::Command, sync::OnceCell};

use super::{COMPLETE, EnvironmentError, Environments, lock_file, step::last_lines};
use crate::{module::PythonNeeds, report::Reporter};

/// The installer's version when the machine has none of its own.
const UV: &str = "uv==0.13.9";

/// Interpreters that modules may run on, best first.
const PYTHONS: [&str; 4] = ["python3.12", "python3.11", "python3.10", "python3"];

/// What an interpreter says of itself, a line each. One of a virtual environment tells what that was made of.
const ABOUT: &str = "\
import os, sys
print('%d.%d.%d' % sys.version_info[:3])
print(os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable))
print(sys.base_prefix)
print(sys.implementation.cache_tag)
";

#[derive(Debug, Default)]
pub(super) struct Tools {
    /// In the order of [`PYTHONS`]; nothing of one that there is not. Each is asked when it is needed, which takes seconds where
    /// it is a script that looks for versions.
    pythons: [OnceCell<Option<Interpreter>>; PYTHONS.len()],
    pub(super) uv: PathBuf,
}

/// An interpreter of the operator's.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) version: String,
    pub(super) program: PathBuf,
    /// The folder that it is installed in.
    pub(super) base: PathBuf,
    /// What is in the names of its files of bytecode.
    pub(super) tag: String,
}

impl Interpreter {
    /// What a program that runs on it has to read.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let parts = ["bin", "lib", "lib64", "include", "share"].map(|part| self.base.join(part));
        parts.into_iter().filter(|part| part.is_dir()).chain([self.program.clone()]).collect()
    }

    /// `3.12`, for `3.12.4`.
    pub(super) fn minor(&self) -> &str {
        self.version.rsplit_once('.').map_or(&self.version, |(minor, _)| minor)
    }
}

impl Tools {
    /// The best interpreter that a project runs on; else the best.
    pub(super) async fn python(
        &self,
        of: &Environments,
        needs: &PythonNeeds,
    ) -> Result<&Interpreter, EnvironmentError> {
        self.first(of, |python| needs.runs_on(&python.version)).await
    }

    /// Looks for them in `PATH`.
    pub(super) async fn find(of: &Environments, reporter: &dyn Reporter) -> Result<Self, EnvironmentError> {
        let mut tools = Tools::default();
        let python = &tools.first(of, |_| true).await?.program;
        tools.uv = match std::env::split_paths(&of.path).find_map(|folder| program(&folder.join("uv"))) {
            Some(uv) => uv,
            None => fetch(of, python, reporter).await?,
        };
        Ok(tools)
    }

    /// The first that fits; else the first.
    async fn first(
        &self,
        of: &Environments,
        fits: impl Fn(&Interpreter) -> bool,
    ) -> Result<&Interpreter, EnvironmentError> {
        let mut best = None;
        for (name, python) in PYTHONS.iter().zip(&self.pythons) {
            match python.get_or_init(|| ask(of, name)).await {
                Some(python) if fits(python) => return Ok(python),
                other => best = best.or(other.as_ref()),
            }
        }
        best.ok_or(EnvironmentError::NoPython)
    }
}

/// What an interpreter says of itself; nothing when there is none, or one of another kind or version.
async fn ask(of: &Environments, name: &str) -> Option<Interpreter> {
    let said = run(of, "asking an interpreter", Command::new(name).args(["-I", "-c", ABOUT])).await.ok()?;
    let mut lines = said.lines().map(str::to_owned);
    let [version, program, base, tag] = std::array::from_fn(|_| lines.next());
    let python = Interpreter { version: version?, program: program?.into(), base: base?.into(), tag: tag? };
    let is_known = python.tag.starts_with("cpython-") && ["3.10", "3.11", "3.12"].contains(&python.minor());
    is_known.then_some(python)
}

/// A program by its real path. A script that only finds the program is none: what it needs to do so is not known.
fn program(path: &Path) -> Option<PathBuf> {
    let path = fs_err::canonicalize(path).ok()?;
    let mut start = [0; 2];
    fs_err::File::open(&path).ok()?.read_exact(&mut start).ok()?;
    (start != *b"#!").then_some(path)
}

/// uv of a known version, where no build can write.
async fn fetch(of: &Environments, python: &Path, reporter: &dyn Reporter) -> Result<PathBuf, EnvironmentError> {
    let own = of.folder.join("installer");
    let uv = own.join("bin").join("uv");
    let _other_nodes = lock_file(of.folder.join("installer.lock")).await?;
    if !own.join(COMPLETE).is_file() {
        reporter.step("Fetching", "uv, the Python installer");
        if own.exists() {
            fs_err::tokio::remove_dir_all(&own).await?;
        }
        run(of, "making a folder for uv", Command::new(python).args(["-I", "-m", "venv"]).arg(&own)).await?;
        let mut pip = Command::new(own.join("bin").join("python"));
        pip.args(["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(of, "installing uv", pip.args(["--only-binary", ":all:", "--no-deps", UV])).await?;
        fs_err::tokio::write(own.join(COMPLETE), UV).await?;
    }
    Ok(fs_err::canonicalize(uv)?)
}

/// Runs a program of the operator's, as the operator; what it prints.
pub(super) async fn run(of: &Environments, what: &str, command: &mut Command) -> Result<String, EnvironmentError> {
    let command = command
        .env_clear()
        .envs(of.settings.all().iter().map(|(name, value)| (name, value)))
        .env("PATH", &of.path)
        // pip keeps its cache where the node keeps its data, so that a home folder is not needed.
        .env("HOME", of.folder.join("home"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(EnvironmentError::Failed { what: what.to_owned(), output: last_lines(&output.stderr, output.status) })
}
