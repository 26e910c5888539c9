//! The index of a registry.

use async_trait::async_trait;
use napt_registry_client::{IndexDep, IndexEntry, RegistryClient};
use semver::VersionReq;
use url::Url;

use super::{Candidate, Index, ResolveError};
use crate::{
    module::{ModuleId, ModuleType},
    report::Fault,
};

/// One registry as an [`Index`].
#[derive(Debug, Clone)]
pub struct RegistryIndex {
    client: RegistryClient,
    /// As `napt.lock` says it.
    name: String,
}

impl RegistryIndex {
    /// The index of the registry at `url`, which `client` talks to.
    pub fn new(client: RegistryClient, url: &Url) -> Self {
        let mut url = url.clone();
        // A lock file is committed: no credentials in it. A URL that can have none has none to take away.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        RegistryIndex { client, name: url.as_str().trim_end_matches('/').to_owned() }
    }

    /// A line of the index; `None` for one that cannot be used from here.
    fn candidate(&self, entry: IndexEntry) -> Option<Candidate> {
        let dependencies = entry.deps.into_iter().map(dependency).collect::<Option<_>>()?;
        Some(Candidate {
            version: entry.version,
            dependencies,
            registry: self.name.clone(),
            sha256: entry.sha256,
            yanked: entry.yanked,
        })
    }
}

/// What is to come from another registry is never taken from this one: somebody else may own the name here.
fn dependency(dep: IndexDep) -> Option<(ModuleId, VersionReq)> {
    let module_type: ModuleType = dep.module_type.parse().ok()?;
    let id = ModuleId { module_type, name: dep.name.parse().ok()? };
    dep.registry.is_none().then_some((id, dep.req))
}

#[async_trait]
impl Index for RegistryIndex {
    async fn versions(&self, id: &ModuleId) -> Result<Vec<Candidate>, ResolveError> {
        let entries = self.client.index(id.module_type.as_str(), id.name.as_str()).await;
        let entries = entries.map_err(|error| ResolveError::Index {
            id: id.clone(),
            kind: error.kind(),
            hint: error.hint(),
            error: Box::new(error),
        })?;
        Ok(entries.unwrap_or_default().into_iter().filter_map(|entry| self.candidate(entry)).collect())
    }
}
