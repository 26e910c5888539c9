//! Gates that modules wait at. A module sees nothing of what a test has but the environment that it runs in, so that is
//! where a gate is: a file that is there when the gate is open.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::node::cache;

/// Python that asks: `is_open(gate)`.
pub const IS_OPEN: &str =
    "import os, sys\n\ndef is_open(gate):\n    return os.path.exists(os.path.join(sys.prefix, gate))\n";

/// A gate, closed. It is removed when dropped.
pub struct Gate {
    name: String,
}

impl Gate {
    /// One that no other test has.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Gate { name: format!("gate-{}-{number}", std::process::id()) }
    }

    /// What modules know it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it for modules whose environments have been made.
    pub fn open(&self) {
        for file in self.files() {
            std::fs::write(file, "").expect("a file");
        }
    }

    /// Closes it.
    pub fn close(&self) {
        for file in self.files() {
            // Environments that were made since do not have it.
            let _ = std::fs::remove_file(file);
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let environments = Path::new(&cache()).join("environments");
        let all = std::fs::read_dir(environments).expect("environments").filter_map(Result::ok);
        all.map(|entry| entry.path().join("venv"))
            .filter(|folder| folder.join("bin/python").exists())
            .map(|folder| folder.join(&self.name))
            .collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}
