//! Registries as an [`Index`].

use async_trait::async_trait;
use napt_registry_client::{IndexDep, IndexEntry};

use super::{Candidate, Index, Need, ResolveError};
use crate::{
    module::{ModuleId, ModuleType},
    registries::{Registries, RegistriesError},
    report::Fault,
};

/// A line of the index; `None` for one that cannot be used from here.
fn candidate(entry: IndexEntry, registry: &str) -> Option<Candidate> {
    Some(Candidate {
        version: entry.version,
        dependencies: entry.deps.into_iter().map(need).collect::<Option<_>>()?,
        registry: registry.to_owned(),
        sha256: entry.sha256,
        yanked: entry.yanked,
        yank_reason: entry.yank_reason,
    })
}

/// `None` for a type that this version of napt does not know.
fn need(dep: IndexDep) -> Option<Need> {
    let module_type: ModuleType = dep.module_type.parse().ok()?;
    let id = ModuleId { module_type, name: dep.name.parse().ok()? };
    Some(Need { id, req: dep.req, registry: dep.registry })
}

#[async_trait]
impl Index for Registries {
    fn registry(&self, name: Option<&str>) -> Option<String> {
        self.get(name).ok().map(|registry| registry.address().to_owned())
    }

    fn names(&self) -> Vec<String> {
        Registries::names(self).map(str::to_owned).collect()
    }

    fn is_offline(&self) -> bool {
        self.default_registry().is_offline()
    }

    async fn versions(&self, id: &ModuleId, registry: &str) -> Result<Vec<Candidate>, ResolveError> {
        let failed = |error: RegistriesError| ResolveError::Index {
            id: id.clone(),
            kind: error.kind(),
            hint: error.hint(),
            error: Box::new(error),
        };
        // Whoever asks has the address from `registry`, or from a lock file whose registry is not configured any more.
        let Some(source) = self.at(registry) else { return Ok(Vec::new()) };
        let entries = source.index(id).await.map_err(failed)?;
        Ok(entries.into_iter().filter_map(|entry| candidate(entry, source.address())).collect())
    }

    async fn near(&self, id: &ModuleId, registry: &str) -> Option<String> {
        self.at(registry)?.near(id).await
    }
}
