//! The registries that a command may ask, by name, each with what is kept of its answers.
//!
//! An index is asked for again with its ETag, so that an unchanged one costs no more than a 304; an archive is kept under
//! its digest for good. Offline, what is kept is all there is.

mod cache;
mod error;
mod git;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

pub use cache::Cache;
use cache::Kept;
pub use error::RegistriesError;
pub(crate) use error::unknown_name;
pub use git::Git;
use napt_registry_client::{IndexAnswer, IndexEntry, ModuleDetails, ModuleSummary, Page, RegistryClient};
use semver::Version;
use url::Url;

use crate::{
    identity::body_digest,
    module::{ModuleId, ModuleType, near_id},
    report::{Amount, Reporter},
};

/// One registry.
#[derive(Debug)]
pub struct Registry {
    /// As `napt.lock` says it: without credentials and final slash.
    address: String,
    client: RegistryClient,
    cache: Option<Cache>,
    offline: bool,
    /// What was asked for already: within one command an index does not change.
    seen: Mutex<BTreeMap<ModuleId, Vec<IndexEntry>>>,
}

/// The default registry and those with a name.
#[derive(Debug)]
pub struct Registries {
    default: Arc<Registry>,
    named: BTreeMap<String, Arc<Registry>>,
    /// How modules are had that a registry only points at, or that are named by their place in git.
    git: Option<Git>,
}

/// A registry's URL as `napt.lock` says it. A lock file is committed: no credentials in it.
pub fn address(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that can have no credentials has none to take away.
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

impl Registry {
    /// The registry at `url`, which `client` talks to. Nothing is kept.
    pub fn new(client: RegistryClient, url: &Url) -> Self {
        Registry { address: address(url), client, cache: None, offline: false, seen: Mutex::default() }
    }

    /// The same, keeping its answers.
    #[must_use]
    pub fn cached(self, cache: Cache) -> Self {
        Registry { cache: Some(cache), ..self }
    }

    /// The same, never asked: its answers are those that were kept.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Registry { offline, ..self }
    }

    /// Its URL, as `napt.lock` says it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is never asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// All versions of a module; none when there is no such module.
    pub async fn index(&self, id: &ModuleId) -> Result<Vec<IndexEntry>, RegistriesError> {
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = seen().get(id) {
            return Ok(entries.clone());
        }
        let entries = self.index_anew(id).await?;
        seen().insert(id.clone(), entries.clone());
        Ok(entries)
    }

    async fn index_anew(&self, id: &ModuleId) -> Result<Vec<IndexEntry>, RegistriesError> {
        let (module_type, name) = (id.module_type.as_str(), id.name.as_str());
        let kept = self.cache.as_ref().and_then(|cache| cache.index(&self.address, id));
        // What cannot be read is as good as nothing.
        let kept = kept.and_then(|Kept { etag, body }| {
            let entries = self.client.read_index(module_type, name, &body).ok()?;
            Some((etag, entries))
        });
        let (etag, entries) = kept.unzip();
        if self.offline {
            return entries.ok_or_else(|| self.not_kept(format!("the index of `{id}`")));
        }
        let etag = etag.flatten();
        match self.client.index_if_changed(module_type, name, etag.as_deref()).await? {
            IndexAnswer::NotModified => Ok(entries.unwrap_or_default()),
            IndexAnswer::Missing => {
                if let Some(cache) = &self.cache {
                    cache.forget_index(&self.address, id);
                }
                Ok(Vec::new())
            }
            IndexAnswer::Found { entries, body, etag } => {
                if let Some(cache) = &self.cache {
                    cache.keep_index(&self.address, id, &Kept { etag, body });
                }
                Ok(entries)
            }
        }
    }

    /// All about a module; nothing when there is no such module.
    pub async fn details(&self, id: &ModuleId) -> Result<Option<ModuleDetails>, RegistriesError> {
        if self.offline {
            let kept = self.cache.as_ref().and_then(|cache| cache.details(&self.address, id));
            return kept.map(Some).ok_or_else(|| self.not_kept(format!("what the registry says of `{id}`")));
        }
        let details = self.client.module(id.module_type.as_str(), id.name.as_str()).await?;
        if let (Some(details), Some(cache)) = (&details, &self.cache) {
            cache.keep_details(&self.address, id, details);
        }
        Ok(details)
    }

    /// A version's archive with this digest, downloaded unless it was kept.
    pub async fn archive(
        &self,
        id: &ModuleId,
        version: &Version,
        sha256: &str,
        reporter: &dyn Reporter,
    ) -> Result<PathBuf, RegistriesError> {
        let cache = self.cache.as_ref().ok_or(RegistriesError::NoCache)?;
        let path = cache.archive(sha256)?;
        if is_intact(&path, sha256) {
            return Ok(path);
        }
        if self.offline {
            return Err(self.not_kept(format!("the archive of `{id}@{version}`")));
        }
        reporter.step("Downloading", &format!("{id}@{version} from {}", self.address));
        let progress = reporter.progress("Downloading", Amount::Bytes(None));
        let client = self.client.clone().watched(progress.watch());
        client.download(id.module_type.as_str(), id.name.as_str(), version, sha256, &path).await?;
        Ok(path)
    }

    /// Modules whose name, description or keywords hold all words of `query`: a page of them.
    pub async fn search(
        &self,
        query: &str,
        module_type: Option<ModuleType>,
        page: u32,
    ) -> Result<Page<ModuleSummary>, RegistriesError> {
        if self.offline {
            return Err(RegistriesError::Offline { registry: self.address.clone() });
        }
        Ok(self.client.search(query, module_type.map(ModuleType::as_str), page).await?)
    }

    /// A module of a similar name, for a hint: when there is no answer, there is no hint.
    pub async fn near(&self, wanted: &ModuleId) -> Option<String> {
        let start: String = wanted.name.as_str().chars().take(3).collect();
        let found = self.search(&start, None, 1).await.ok()?.items;
        let ids: Vec<String> = found.iter().map(|found| format!("{}:{}", found.module_type, found.name)).collect();
        near_id(wanted, &ids)
    }

    fn not_kept(&self, what: String) -> RegistriesError {
        RegistriesError::NotKept { what, registry: self.address.clone() }
    }
}

/// Whether a kept archive is what it should be; one that is not is removed.
fn is_intact(path: &std::path::Path, sha256: &str) -> bool {
    match fs_err::read(path) {
        Ok(bytes) if body_digest(&bytes) == sha256 => true,
        Ok(_) => {
            // Nothing is trusted because it is there; what cannot be removed is replaced by the download.
            let _ = fs_err::remove_file(path);
            false
        }
        Err(_) => false,
    }
}

impl Registries {
    /// A default registry and named ones.
    pub fn new(default: Registry, named: BTreeMap<String, Registry>) -> Self {
        let named = named.into_iter().map(|(name, registry)| (name, Arc::new(registry))).collect();
        Registries { default: Arc::new(default), named, git: None }
    }

    /// The same, with a way to modules in git.
    #[must_use]
    pub fn with_git(self, git: Git) -> Self {
        Registries { git: Some(git), ..self }
    }

    /// How modules in git are had.
    pub fn git(&self) -> Result<&Git, RegistriesError> {
        self.git.as_ref().ok_or(RegistriesError::NoCache)
    }

    /// Forgets what was asked for: an index may have changed since. What is kept on disk stays.
    pub fn refresh(&self) {
        for registry in self.named.values().chain([&self.default]) {
            registry.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The one that is asked when none is named.
    pub fn default_registry(&self) -> &Registry {
        &self.default
    }

    /// The registry of this name, or the default one.
    pub fn get(&self, name: Option<&str>) -> Result<&Registry, RegistriesError> {
        match name {
            None => Ok(&self.default),
            Some(name) => self.named.get(name).map(AsRef::as_ref).ok_or_else(|| RegistriesError::Unknown {
                name: name.to_owned(),
                known: self.named.keys().cloned().collect(),
            }),
        }
    }

    /// The registry at this address, as `napt.lock` says it.
    pub fn at(&self, address: &str) -> Option<&Registry> {
        let mut all = std::iter::once(&self.default).chain(self.named.values());
        all.find(|registry| registry.address == address).map(AsRef::as_ref)
    }

    /// The version of a module that this archive is of, when it was taken back. Where nobody can be asked, nothing is
    /// known of it.
    pub async fn yanked(&self, id: &ModuleId, sha256: &str) -> Option<IndexEntry> {
        for registry in std::iter::once(&self.default).chain(self.named.values()) {
            let entries = registry.index(id).await.unwrap_or_default();
            if let Some(entry) = entries.into_iter().find(|entry| entry.sha256 == sha256) {
                return Some(entry).filter(|entry| entry.yanked);
            }
        }
        None
    }

    /// The name of the registry at this address, if it has one.
    pub fn name_of(&self, address: &str) -> Option<&str> {
        self.named.iter().find(|(_, registry)| registry.address == address).map(|(name, _)| name.as_str())
    }

    /// The names there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}
