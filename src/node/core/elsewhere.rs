//! Modules that the registry only points at: their archives are made here, of what is in git.

use semver::VersionReq;

use super::{Core, NodeError};
use crate::{
    module::{GitSource, ModuleId},
    registries::Git,
    report::{Fault, Silent},
    resolve::Need,
    sources,
    wire::ModulePin,
};

/// A module that was fetched: its archive is kept.
pub(super) struct Pointed {
    pub(super) pin: ModulePin,
    /// What it needs besides.
    pub(super) needs: Vec<Need>,
}

/// Whether a URL is a place's own or below it: `https://a.b/c` allows neither `https://a.b/cd` nor `https://a.b.c`.
fn is_below(url: &str, place: &str) -> bool {
    url.strip_prefix(place).is_some_and(|rest| rest.is_empty() || place.ends_with('/') || rest.starts_with('/'))
}

impl Core {
    /// Where a module is kept that the registry has no archive of: the URL, and a tag, branch or commit.
    pub(super) async fn source_of(&self, id: &ModuleId) -> Result<Option<(String, String)>, NodeError> {
        let details = self.installs.registry().module(id.module_type.as_str(), id.name.as_str()).await;
        let details = details.map_err(|error| NodeError::Upstream(format!("cannot look up `{id}`: {error}")))?;
        Ok(details.and_then(|details| details.summary.source).map(|source| (source.url, source.version)))
    }

    /// Fetches a module from where the registry points; `None` when it does not. `version` is a tag, branch or commit
    /// that is asked for instead of the registry's.
    pub(super) async fn pointed(&self, id: &ModuleId, version: Option<&str>) -> Result<Option<Pointed>, NodeError> {
        let Some((url, of_record)) = self.source_of(id).await? else { return Ok(None) };
        let failed = |reason: String| NodeError::Install { module: id.to_string(), reason };
        let source = GitSource::of_naptha(&url, Some(version.unwrap_or(&of_record)));
        let source = source.map_err(|error| failed(error.to_string()))?;
        if !self.options.sources.iter().any(|allowed| is_below(source.url(), allowed)) {
            let allowed = self.options.sources.iter().map(|allowed| format!("`{allowed}`")).collect::<Vec<_>>();
            return Err(NodeError::Forbidden(format!(
                "`{id}` is at `{}`, and this node takes modules from {} only",
                source.url(),
                allowed.join(", ")
            )));
        }
        let fetched = sources::fetch(&self.git(), &source, Some(id), &Silent).await.map_err(|error| {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            failed(format!("{error}{hint}"))
        })?;
        let packed = fetched.packed;
        let bytes = fs_err::tokio::read(&packed.path).await.map_err(NodeError::internal("read an archive"))?;
        self.installs.keep_archive(&packed.sha256, bytes.into()).await?;
        let (version, sha256) = (packed.manifest.version, packed.sha256);
        let dependencies = fetched.dependencies.keys().cloned().collect();
        let needs = fetched.dependencies.into_iter().map(|(id, dependency)| {
            // Of git, the registry's own pointer says where it is.
            let req = if dependency.git.is_some() { VersionReq::STAR } else { dependency.req };
            Need { id, req, registry: None, git: None }
        });
        Ok(Some(Pointed { pin: ModulePin { id: id.clone(), version, sha256, dependencies }, needs: needs.collect() }))
    }

    /// Git as the operator allows it.
    fn git(&self) -> Git {
        let mut environment = self.options.installer.clone();
        environment.push(("PATH".to_owned(), self.options.path.clone()));
        let mut git = Git::for_server(&self.options.data, environment);
        for scheme in ["http", "file"] {
            if self.options.sources.iter().any(|allowed| allowed.starts_with(&format!("{scheme}:"))) {
                git.schemes.push(scheme);
            }
        }
        git
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_allows_what_is_below_it_and_no_look_alike() {
        for (url, place, allowed) in [
            ("https://a.b/c/d", "https://", true),
            ("https://a.b/c/d", "https://a.b/c", true),
            ("https://a.b/c/d", "https://a.b/c/", true),
            ("https://a.b/c", "https://a.b/c", true),
            ("https://a.b/c-evil/d", "https://a.b/c", false),
            ("https://a.b.evil.org/d", "https://a.b", false),
            ("http://a.b/c", "https://", false),
        ] {
            assert_eq!(is_below(url, place), allowed, "{url} below {place}");
        }
    }
}
