//! Which deployments of the node are `napt dev`'s own: a workspace may lose modules while nobody watches, and others may
//! deploy on the same node.

use std::{collections::BTreeSet, io, path::PathBuf};

use crate::files::write_private;

/// Names of deployments, kept in a file.
#[derive(Debug)]
pub(super) struct Made {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl Made {
    /// Those of the last time. A file that cannot be read is as good as none.
    pub(super) fn read(path: PathBuf) -> Self {
        let text = fs_err::read(&path).unwrap_or_default();
        Made { names: serde_json::from_slice(&text).unwrap_or_default(), path }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// Before it is deployed.
    pub(super) fn add(&mut self, name: &str) -> io::Result<()> {
        if self.names.insert(name.to_owned()) { self.write() } else { Ok(()) }
    }

    /// After it is undeployed.
    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        if self.names.remove(name) { self.write() } else { Ok(()) }
    }

    fn write(&self) -> io::Result<()> {
        write_private(&self.path, &serde_json::to_vec(&self.names)?)
    }
}
