//! The warm parents of a node: one for each environment, set of imports and tenant, or for each binary and tenant. Those that
//! nobody has needed for long rest: they end, and there are new ones when a run needs them.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    ahead::Ahead,
    parent::Parent,
    python::{Python, PythonModule},
    walls::Walls,
};

/// What the processes of runs come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::node) enum Origin {
    /// A Python interpreter with these imported.
    Interpreter { python: Python, imports: Vec<String> },
    /// The binary of a Rust module.
    Binary(PathBuf),
}

impl Origin {
    /// Of runs of a Python module. Two versions have the same one unless their needs differ.
    pub(in crate::node) fn of(module: &PythonModule) -> Self {
        Origin::Interpreter { python: module.python.clone(), imports: module.imports.clone() }
    }
}

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
    /// What new ones begin with.
    ahead: Ahead,
    /// What could not be forked with its imports. There are no more of them than environments and sets of imports.
    threaded: Mutex<HashSet<Origin>>,
}

impl Parents {
    /// Parents within these walls.
    pub(in crate::node) fn new(walls: Arc<Walls>) -> Self {
        let ahead = Ahead::new(walls.clone());
        Parents { walls, known: Mutex::default(), kept: Mutex::default(), ahead, threaded: Mutex::default() }
    }

    /// The parent for runs of a module for this tenant. Its process ends when nobody holds it any more.
    pub(in crate::node) fn of(&self, origin: Origin, tenant: &str) -> Arc<Parent> {
        let key = Key { origin, tenant: tenant.to_owned() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = known.get(&key).and_then(Weak::upgrade) {
            return parent;
        }
        known.retain(|_, parent| parent.strong_count() > 0);
        let ahead = match &key.origin {
            Origin::Interpreter { python, .. } => self.ahead.take(python),
            Origin::Binary(_) => None,
        };
        let is_threaded = self.threaded.lock().unwrap_or_else(PoisonError::into_inner).contains(&key.origin);
        let parent = Arc::new(Parent::new(key.origin.clone(), self.walls.clone(), ahead, is_threaded));
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

    /// All that there are.
    pub(super) fn all(&self) -> Vec<Arc<Parent>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter_map(Weak::upgrade).collect()
    }

    /// Ends one, unless somebody has it beside the deployments and the caller. Its place goes with it.
    pub(super) fn rest(&self, parent: &Arc<Parent>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |other: &Arc<Parent>| Arc::ptr_eq(other, parent);
        let keeping = kept.values().flat_map(|kept| &kept.parents).filter(|other| is_it(other)).count();
        if Arc::strong_count(parent) > keeping + 1 {
            return;
        }
        for kept in kept.values_mut() {
            kept.parents.retain(|other| !is_it(other));
        }
        if let Origin::Interpreter { python, .. } = parent.origin() {
            self.ahead.want(python);
        }
        if parent.is_threaded() {
            self.threaded.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.origin().clone());
        }
    }

    /// What is started ahead for new ones.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Takes out of all views what is neither among these archives nor in a run's hands.
    pub(in crate::node) fn keep_shown(&self, archives: &HashSet<String>) {
        for parent in self.all() {
            parent.place().keep_shown(archives);
        }
    }

    /// Keeps none for a deployment that was removed by this revision.
    pub(in crate::node) fn let_go(&self, deployment: &str, revision: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(deployment.to_owned(), Kept { revision, parents: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &[&str]) -> Origin {
        let imports = imports.iter().map(|name| (*name).to_owned()).collect();
        let python = Python { interpreter: PathBuf::from("/e/bin/python"), library: PathBuf::from("/e/library") };
        Origin::Interpreter { python, imports }
    }

    fn parents(data: &std::path::Path) -> Parents {
        let launcher = napt_sandbox::Launcher::new(PathBuf::new());
        let launches = super::super::launch::Launches::new(launcher, napt_sandbox::Mechanisms::default(), None);
        let walls = Walls::new(Arc::new(launches), crate::node::Caps::default(), 8, 7001, data).expect("folders");
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
