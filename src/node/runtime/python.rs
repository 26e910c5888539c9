//! What Python modules run on.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Runs one of the node's own programs; its arguments are their folder and the program's name.
const START: &str = "import importlib, sys; sys.path.insert(0, sys.argv[1]); program = importlib.import_module(sys.argv[2]); \
    del sys.path[0]; program.main()";

/// What runs Python code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::node) struct Python {
    /// The interpreter of an environment.
    pub interpreter: PathBuf,
    /// The folder of the node's own programs for it.
    pub library: PathBuf,
}

impl Python {
    /// The arguments by which its interpreter runs one of those programs.
    pub(super) fn arguments<'a>(&'a self, program: &'a str) -> [&'a OsStr; 5] {
        ["-I".as_ref(), "-c".as_ref(), START.as_ref(), self.library.as_ref(), program.as_ref()]
    }

    /// What an interpreter that runs one has to read.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        interpreter_paths(&self.interpreter).into_iter().chain([self.library.clone()]).collect()
    }
}

/// An installed Python module.
#[derive(Debug, Clone)]
pub(in crate::node) struct PythonModule {
    /// What it runs on.
    pub python: Python,
    /// The unpacked archive.
    pub root: PathBuf,
    /// The folder that its package is in: the root, or `src` in it.
    pub folder: PathBuf,
    /// The package's name.
    pub package: String,
    /// The entrypoint without suffix: module and function.
    pub entry: String,
    /// What its code imports from its environment, sorted.
    pub imports: Vec<String>,
    /// What is in its `component.yaml`, if it is of 2024.
    pub component: Value,
}

/// What of an interpreter's installation a program that runs on it has to read, beside its own environment.
fn interpreter_paths(python: &Path) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    let environment = python.ancestors().nth(2);
    // As the environment names it, and as it is.
    let settings = environment.and_then(|folder| fs_err::read_to_string(folder.join("pyvenv.cfg")).ok());
    let home = settings.as_deref().and_then(|text| {
        text.lines().find_map(|line| Some(line.split_once('=')?).filter(|(key, _)| key.trim() == "home"))
    });
    prefixes.extend(home.and_then(|(_, folder)| Path::new(folder.trim()).parent().map(Path::to_owned)));
    prefixes.extend(python.canonicalize().ok().and_then(|real| real.ancestors().nth(2).map(Path::to_owned)));
    prefixes.dedup();
    let parts =
        prefixes.iter().flat_map(|prefix| ["bin", "lib", "lib64", "include", "share"].map(|part| prefix.join(part)));
    environment.map(Path::to_owned).into_iter().chain(parts).filter(|path| path.exists()).collect()
}
