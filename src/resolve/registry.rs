//! Registries, and places in git, as an [`Index`].

use std::path::PathBuf;

use async_trait::async_trait;
use napt_registry_client::{IndexDep, IndexEntry, ModuleSource};

use super::{Candidate, GIT, Index, LockedModule, Need, ResolveError};
use crate::{
    module::{GitSource, ModuleId, ModuleType},
    registries::{Registries, RegistriesError, Registry},
    report::{Fault, Reporter, Silent},
    sources::{self, Fetched, SourceError},
};

/// A line of the index; `None` for one that cannot be used from here.
fn candidate(entry: IndexEntry, registry: &str) -> Option<Candidate> {
    Some(Candidate {
        version: entry.version,
        dependencies: entry.deps.into_iter().map(need).collect::<Option<_>>()?,
        registry: registry.to_owned(),
        git: None,
        sha256: entry.sha256,
        yanked: entry.yanked,
        yank_reason: entry.yank_reason,
    })
}

/// `None` for a type that this version of napt does not know.
fn need(dep: IndexDep) -> Option<Need> {
    let module_type: ModuleType = dep.module_type.parse().ok()?;
    let id = ModuleId { module_type, name: dep.name.parse().ok()? };
    Some(Need { id, req: dep.req, registry: dep.registry, git: None })
}

/// What is at a place in git.
async fn in_git(registries: &Registries, id: &ModuleId, source: &GitSource) -> Result<Candidate, ResolveError> {
    let Fetched { packed, source, dependencies } = fetched(registries, id, source, &Silent).await?;
    Ok(Candidate {
        version: packed.manifest.version,
        dependencies: dependencies.iter().map(Need::of).collect(),
        registry: registries.default_registry().address().to_owned(),
        git: Some(source),
        sha256: packed.sha256,
        yanked: false,
        yank_reason: None,
    })
}

/// What a registry points at that has no version of a module: the place that Naptha's users have registered it with.
async fn pointed_at(
    registries: &Registries,
    registry: &Registry,
    id: &ModuleId,
) -> Result<Option<Candidate>, ResolveError> {
    // What was never asked for has nothing that is kept.
    // Who has no way to what is in git looks for it there by other means.
    if registries.git().is_err() {
        return Ok(None);
    }
    let details = if registry.is_offline() {
        registry.details(id).await.unwrap_or_default()
    } else {
        registry.details(id).await.map_err(|error| not_kept(id, error))?
    };
    let Some(ModuleSource { url, version }) = details.and_then(|details| details.summary.source) else {
        return Ok(None);
    };
    let source = GitSource::of_naptha(&url, Some(&version)).map_err(|error| not_fetched(id, error.into()))?;
    let candidate = in_git(registries, id, &source).await?;
    Ok(Some(Candidate { registry: registry.address().to_owned(), ..candidate }))
}

async fn fetched(
    registries: &Registries,
    id: &ModuleId,
    source: &GitSource,
    reporter: &dyn Reporter,
) -> Result<Fetched, ResolveError> {
    let git = registries.git().map_err(|error| not_kept(id, error))?;
    sources::fetch(git, source, Some(id), reporter).await.map_err(|error| not_fetched(id, error))
}

fn not_fetched(id: &ModuleId, error: SourceError) -> ResolveError {
    ResolveError::Source { id: id.clone(), error: Box::new(error) }
}

fn not_kept(id: &ModuleId, error: RegistriesError) -> ResolveError {
    ResolveError::Index { id: id.clone(), kind: error.kind(), hint: error.hint(), error: Box::new(error) }
}

/// The archive of a module as it is locked, fetched unless it was kept. A member has none here.
pub async fn archive(
    module: &LockedModule,
    registries: &Registries,
    reporter: &dyn Reporter,
) -> Result<Option<PathBuf>, ResolveError> {
    let LockedModule { id, version, registry, git, sha256, .. } = module;
    let Some(sha256) = sha256 else { return Ok(None) };
    if let Some(source) = git {
        let packed = fetched(registries, id, source, reporter).await?.packed;
        if packed.sha256 != *sha256 {
            return Err(ResolveError::Changed {
                module: format!("{id}@{version}"),
                registry: source.to_string(),
                expected: sha256.clone(),
                found: packed.sha256,
            });
        }
        return Ok(Some(packed.path));
    }
    // What was just resolved is from one of them.
    let Some(registry) = registry.as_deref().and_then(|from| registries.at(from)) else { return Ok(None) };
    let path = registry.archive(id, version, sha256, reporter).await.map_err(|error| not_kept(id, error))?;
    Ok(Some(path))
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
        if let Some(place) = registry.strip_prefix(GIT) {
            let source = place.parse().map_err(|error| not_fetched(id, SourceError::from(error)))?;
            return Ok(vec![in_git(self, id, &source).await?]);
        }
        // Whoever asks has the address from `registry`, or from a lock file whose registry is not configured any more.
        let Some(source) = self.at(registry) else { return Ok(Vec::new()) };
        let entries = source.index(id).await.map_err(|error| not_kept(id, error))?;
        if entries.is_empty() {
            return Ok(pointed_at(self, source, id).await?.into_iter().collect());
        }
        Ok(entries.into_iter().filter_map(|entry| candidate(entry, source.address())).collect())
    }

    async fn near(&self, id: &ModuleId, registry: &str) -> Option<String> {
        self.at(registry)?.near(id).await
    }
}
