//! A registry as the index that versions are chosen from.

use async_trait::async_trait;
use napt_registry_client::RegistryClient;

use super::{Candidate, Index, ResolveError};
use crate::{
    module::ModuleId,
    report::{Fault, Kind},
};

/// The versions of one registry.
#[derive(Debug)]
pub struct RegistryIndex<'a> {
    client: &'a RegistryClient,
    name: String,
}

impl<'a> RegistryIndex<'a> {
    /// The registry behind `client`; `name` is how `napt.lock` calls it.
    pub fn new(client: &'a RegistryClient, name: impl Into<String>) -> Self {
        RegistryIndex { client, name: name.into() }
    }
}

#[async_trait]
impl Index for RegistryIndex<'_> {
    async fn versions(&self, id: &ModuleId) -> Result<Vec<Candidate>, ResolveError> {
        let entries = self.client.index(id.module_type.as_str(), id.name.as_str()).await.map_err(|error| {
            ResolveError::Index { id: id.clone(), kind: error.kind(), hint: error.hint(), error: Box::new(error) }
        })?;
        entries
            .unwrap_or_default()
            .into_iter()
            .map(|entry| {
                let dependencies = entry.deps.into_iter().map(|dep| {
                    let id =
                        format!("{}:{}", dep.module_type, dep.name).parse().map_err(|error| ResolveError::Index {
                            id: id.clone(),
                            kind: Kind::Network,
                            hint: None,
                            error: Box::<crate::module::IdError>::new(error),
                        })?;
                    Ok((id, dep.req))
                });
                Ok(Candidate {
                    version: entry.version,
                    dependencies: dependencies.collect::<Result<_, ResolveError>>()?,
                    registry: self.name.clone(),
                    sha256: entry.sha256,
                    yanked: entry.yanked,
                })
            })
            .collect()
    }
}
