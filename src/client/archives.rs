//! Archives of a workspace's members, as a deployment needs them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use tempfile::TempDir;

use crate::{
    module::{ModuleId, Project},
    package::{PackageError, Packed, pack},
    report::Reporter,
};

/// Makes archives in a temporary folder. Whoever deploys again and again keeps it, and tells what modules are made of:
/// then what is made of the same as before is not packed again.
#[derive(Debug)]
pub struct Archives {
    folder: TempDir,
    digests: BTreeMap<ModuleId, String>,
    known: Mutex<HashMap<ModuleId, (String, Packed)>>,
}

impl Archives {
    /// None yet.
    pub fn new() -> std::io::Result<Self> {
        Ok(Archives { folder: tempfile::tempdir()?, digests: BTreeMap::new(), known: Mutex::default() })
    }

    /// What the members are made of from now on. One without a digest is packed each time.
    pub fn made_of(&mut self, digests: BTreeMap<ModuleId, String>) {
        self.digests = digests;
    }

    /// Forgets the archives, where it is not certain what they were made of.
    pub fn forget(&mut self) {
        self.known.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The archive of a member; it stays as long as this does.
    pub(super) fn of(&self, project: &Project, reporter: &dyn Reporter) -> Result<Packed, PackageError> {
        let id = project.id();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = self.digests.get(id);
        if let Some((made_of, packed)) = known.get(id)
            && Some(made_of) == digest
        {
            return Ok(packed.clone());
        }
        // Members of several types may have one name.
        let packed = pack(project, &self.folder.path().join(id.module_type.as_str()), reporter)?;
        if let Some(digest) = digest {
            known.insert(id.clone(), (digest.clone(), packed.clone()));
        }
        Ok(packed)
    }
}
