//! The warm parents of a node: one for each environment, set of imports and tenant, or for each binary and tenant. Those that nobody has needed for long
//! rest: their processes end, and start again when a run needs them.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use super::{
    python::{Parent, Python, PythonModule},
    walls::Walls,
};

/// What the processes of runs come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::node) enum Origin {
    /// A Python interpreter with these imported.
    Interpreter {
        python: Python,
        imports: Vec<String>,
    },
    /// The binary of a Rust module.
    Binary(PathBuf),
}

impl Origin {
    /// Of runs of a Python module. Two versions have the same one unless their needs differ.
    pub(in crate::node) fn of(module: &PythonModule) -> Self {
        Origin::Interpreter { python: module.python.clone(), imports: module.imports.clone() }
    }
}

/// Parents that are warm without a run.
const MAX_IDLE: usize = 64;

/// How long a parent stays warm when memory is short.
const IDLE_WHEN_SHORT: Duration = Duration::from_secs(10);

/// Percent of the time that processes may wait for memory before it is short, as Linux averages it over ten seconds.
const MAX_STALLED: f64 = 10.0;

/// All that a parent depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    origin: Origin,
    /// Whose runs they are. Nobody's are forked from a process that ran for somebody else.
    tenant: String,
}

/// The parents that a live deployment keeps warm.
#[derive(Debug, Default)]
struct Kept {
    revision: u64,
    parents: Vec<Arc<Parent>>,
}

/// All parents of a node.
#[derive(Debug)]
pub(in crate::node) struct Parents {
    walls: Arc<Walls>,
    known: Mutex<HashMap<Key, Weak<Parent>>>,
    /// By the deployment's name.
    kept: Mutex<HashMap<String, Kept>>,
}

impl Parents {
    /// Parents within these walls.
    pub(in crate::node) fn new(walls: Arc<Walls>) -> Self {
        Parents { walls, known: Mutex::default(), kept: Mutex::default() }
    }

    /// The parent for runs of a module for this tenant. Its process ends when nobody holds it any more.
    pub(in crate::node) fn of(&self, origin: Origin, tenant: &str) -> Arc<Parent> {
        let key = Key { origin, tenant: tenant.to_owned() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = known.get(&key).and_then(Weak::upgrade) {
            return parent;
        }
        known.retain(|_, parent| parent.strong_count() > 0);
        let parent = Arc::new(Parent::new(key.origin.clone(), self.walls.clone()));
        known.insert(key, Arc::downgrade(&parent));
        parent
    }

    /// Keeps parents as long as this revision of the deployment is the newest that was kept warm. One that is needed no
    /// more ends when no run needs it either.
    pub(in crate::node) fn keep(
        &self,
        deployment: &str,
        revision: u64,
        parents: impl IntoIterator<Item = Arc<Parent>>,
    ) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = kept.entry(deployment.to_owned()).or_default();
        if revision > newest.revision {
            *newest = Kept { revision, parents: Vec::new() };
        }
        if revision == newest.revision {
            for parent in parents {
                if !newest.parents.iter().any(|known| Arc::ptr_eq(known, &parent)) {
                    newest.parents.push(parent);
                }
            }
        }
    }

    /// Has those rest that have been idle for so long, the longest first when there are too many, and nearly all when memory
    /// is short.
    pub(in crate::node) fn have_idle_rest(&self, after: Duration) {
        let known: Vec<Arc<Parent>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().filter_map(Weak::upgrade).collect()
        };
        let mut idle: Vec<(Duration, Arc<Parent>)> =
            known.into_iter().filter_map(|parent| Some((parent.idle()?, parent))).collect();
        idle.sort_by_key(|(since, _)| *since);
        let after = if memory_is_short() { after.min(IDLE_WHEN_SHORT) } else { after };
        for (number, (since, parent)) in idle.iter().enumerate() {
            if *since >= after || number >= MAX_IDLE {
                parent.rest();
            }
        }
    }

    /// Keeps none for a deployment that was removed by this revision.
    pub(in crate::node) fn let_go(&self, deployment: &str, revision: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(deployment.to_owned(), Kept { revision, parents: Vec::new() });
    }
}

/// Whether the machine is short of memory; no, where the system does not tell.
fn memory_is_short() -> bool {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    is_short(&read("/proc/meminfo"), &read("/proc/pressure/memory"))
}

/// Less than a tenth is available, or processes wait for it.
fn is_short(memory: &str, pressure: &str) -> bool {
    let size = |name: &str| -> Option<u64> {
        memory.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let stalled = pressure.lines().find_map(|line| line.strip_prefix("some avg10="));
    let stalled = stalled.and_then(|rest| rest.split(' ').next()?.parse().ok());
    let (available, total) = (size("MemAvailable:"), size("MemTotal:"));
    available.zip(total).is_some_and(|(available, total)| available < total / 10)
        || stalled.is_some_and(|stalled: f64| stalled >= MAX_STALLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_when_little_is_left_or_processes_wait_for_it() {
        let memory = |available| format!("MemTotal:  1000 kB\nMemFree:  5 kB\nMemAvailable:  {available} kB\n");
        let pressure = |avg| format!("some avg10={avg} avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00\n");
        assert!(!is_short(&memory(100), &pressure("9.99")));
        assert!(is_short(&memory(99), &pressure("0.00")));
        assert!(is_short(&memory(900), &pressure("10.00")));
        assert!(!is_short("", ""));
    }

    fn module(imports: &[&str]) -> Origin {
        let imports = imports.iter().map(|name| (*name).to_owned()).collect();
        let python = Python { interpreter: PathBuf::from("/e/bin/python"), library: PathBuf::from("/e/library") };
        Origin::Interpreter { python, imports }
    }

    fn parents(data: &std::path::Path) -> Parents {
        let launcher = napt_sandbox::Launcher::new(PathBuf::new());
        let walls = Walls::new(launcher, napt_sandbox::Mechanisms::default(), crate::node::Caps::default(), 7001, data)
            .expect("folders");
        Parents::new(Arc::new(walls))
    }

    #[tokio::test]
    async fn versions_share_a_parent_and_tenants_do_not() {
        let data = tempfile::tempdir().expect("a folder");
        let parents = parents(data.path());
        let first = parents.of(module(&["a"]), "user:1");
        assert!(Arc::ptr_eq(&first, &parents.of(module(&["a"]), "user:1")));
        assert!(!Arc::ptr_eq(&first, &parents.of(module(&["a"]), "user:2")));
        assert!(!Arc::ptr_eq(&first, &parents.of(module(&["a", "b"]), "user:1")));
    }

    #[tokio::test]
    async fn a_new_revision_lets_go_of_what_only_the_old_one_needs() {
        let data = tempfile::tempdir().expect("a folder");
        let parents = parents(data.path());
        let (old, stays) = (parents.of(module(&["a"]), "u"), parents.of(module(&["b"]), "u"));
        parents.keep("d", 1, [old.clone(), stays.clone()]);
        parents.keep("d", 2, [stays.clone()]);
        // A run of the first revision that starts late.
        parents.keep("d", 1, [old.clone()]);
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&stays)), (1, 2));
    }
}
