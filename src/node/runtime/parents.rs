//! What the processes of runs come from: warm parents, one for each environment, set of imports and owner, and binaries.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    RuntimeError,
    python::{Child, Parent, PythonModule},
    rust::{Binaries, Program, RustModule},
};

/// The code of an installed module.
#[derive(Debug, Clone)]
pub(in crate::node) enum Code {
    /// Of a module in Python.
    Python(PythonModule),
    /// Of a module in Rust.
    Rust(RustModule),
}

/// What starts a process for each run of a module.
#[derive(Debug, Clone)]
pub(in crate::node) enum Host {
    /// A warm parent.
    Python(Arc<Parent>),
    /// A binary.
    Rust(Arc<Program>),
}

impl Host {
    /// Makes it ready to start a process without delay.
    pub(in crate::node) async fn warm_up(&self) -> Result<(), RuntimeError> {
        match self {
            Host::Python(parent) => parent.warm_up().await,
            Host::Rust(_) => Ok(()),
        }
    }

    /// Starts a process for a run. Its frame must then be written to its channel.
    pub(super) async fn start(&self, run: &str) -> Result<Child, RuntimeError> {
        match self {
            Host::Python(parent) => parent.fork(run).await,
            Host::Rust(program) => program.start().await,
        }
    }

    fn is(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Python(one), Host::Python(other)) => Arc::ptr_eq(one, other),
            (Host::Rust(one), Host::Rust(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// All that a parent depends on. Two versions of a module have the same one unless their needs differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// The interpreter of an environment, whose path says its content.
    python: PathBuf,
    imports: Vec<String>,
    /// Nobody's modules are forked from a process that ran for somebody else.
    owner: String,
}

/// The parents that a live deployment keeps warm.
#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    hosts: Vec<Host>,
}

/// All parents of a node.
#[derive(Debug)]
pub(in crate::node) struct Parents {
    /// Where they work.
    folder: PathBuf,
    binaries: Arc<Binaries>,
    known: Mutex<HashMap<Key, Weak<Parent>>>,
    /// By their binaries.
    programs: Mutex<HashMap<PathBuf, Weak<Program>>>,
    /// By the deployment's name.
    kept: Mutex<HashMap<String, Kept>>,
}

impl Parents {
    /// Parents that work in `folder`, which must stay.
    pub(in crate::node) fn new(folder: PathBuf, binaries: Arc<Binaries>) -> Self {
        Parents { folder, binaries, known: Mutex::default(), programs: Mutex::default(), kept: Mutex::default() }
    }

    /// What starts the processes of a module of this owner. A parent ends when nobody holds it any more.
    pub(in crate::node) fn of(&self, code: &Code, owner: &str) -> Host {
        match code {
            Code::Python(module) => Host::Python(self.parent(module, owner)),
            Code::Rust(module) => Host::Rust(self.program(module, owner)),
        }
    }

    fn program(&self, module: &RustModule, owner: &str) -> Arc<Program> {
        let binary = self.binaries.path(module, owner);
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(&binary).and_then(Weak::upgrade) {
            return program;
        }
        programs.retain(|_, program| program.strong_count() > 0);
        let program = Arc::new(Program::new(binary.clone(), self.folder.clone()));
        programs.insert(binary, Arc::downgrade(&program));
        program
    }

    fn parent(&self, module: &PythonModule, owner: &str) -> Arc<Parent> {
        let key = Key { python: module.python.clone(), imports: module.imports.clone(), owner: owner.to_owned() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = known.get(&key).and_then(Weak::upgrade) {
            return parent;
        }
        known.retain(|_, parent| parent.strong_count() > 0);
        let parent = Arc::new(Parent::new(key.python.clone(), key.imports.clone(), self.folder.clone()));
        known.insert(key, Arc::downgrade(&parent));
        parent
    }

    /// Keeps parents as long as this revision of the deployment is the newest that was kept warm. One that is needed no
    /// more ends when no run needs it either.
    pub(in crate::node) fn keep(&self, deployment: &str, revision: u64, hosts: impl IntoIterator<Item = Host>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = kept.entry(deployment.to_owned()).or_default();
        if revision > newest.revision {
            *newest = Kept { revision, hosts: Vec::new() };
        }
        if revision == newest.revision {
            for host in hosts {
                if !newest.hosts.iter().any(|known| known.is(&host)) {
                    newest.hosts.push(host);
                }
            }
        }
    }

    /// Keeps none for a deployment that was removed by this revision.
    pub(in crate::node) fn let_go(&self, deployment: &str, revision: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(deployment.to_owned(), Kept { revision, hosts: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &[&str]) -> PythonModule {
        PythonModule {
            python: PathBuf::from("/e/bin/python"),
            root: PathBuf::new(),
            folder: PathBuf::new(),
            package: String::new(),
            entry: String::new(),
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
            component: serde_json::Value::Null,
        }
    }

    fn parents_of_a_node() -> Parents {
        let nowhere = || PathBuf::from("/");
        let binaries = Binaries::new(nowhere(), nowhere(), Vec::new(), Vec::new(), String::new());
        Parents::new(nowhere(), Arc::new(binaries))
    }

    #[tokio::test]
    async fn versions_share_a_parent_and_owners_do_not() {
        let parents = parents_of_a_node();
        let first = parents.parent(&module(&["a"]), "user:1");
        let mut next = module(&["a"]);
        next.root = PathBuf::from("/next/version");
        assert!(Arc::ptr_eq(&first, &parents.parent(&next, "user:1")));
        assert!(!Arc::ptr_eq(&first, &parents.parent(&module(&["a"]), "user:2")));
        assert!(!Arc::ptr_eq(&first, &parents.parent(&module(&["a", "b"]), "user:1")));
    }

    #[tokio::test]
    async fn a_new_revision_lets_go_of_what_only_the_old_one_needs() {
        let parents = parents_of_a_node();
        let (old, stays) = (parents.parent(&module(&["a"]), "u"), parents.parent(&module(&["b"]), "u"));
        parents.keep("d", 1, [&old, &stays].map(|parent| Host::Python(parent.clone())));
        parents.keep("d", 2, [Host::Python(stays.clone())]);
        // A run of the first revision that starts late.
        parents.keep("d", 1, [Host::Python(old.clone())]);
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&stays)), (1, 2));
    }
}
