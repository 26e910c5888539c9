//! Everything that the index knows of the modules that might be needed.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use semver::{Version, VersionReq};

use super::{
    CONCURRENT_LOOKUPS, Candidate, Choice, GIT, Index, Lock, LockedModule, Need, Origin, Request, ResolveError,
    Universe, is_pin_of,
};
use crate::module::{GitSource, ModuleId};

/// What was found.
pub(super) struct Found {
    pub(super) universe: Universe,
    /// What the request needs directly, in the order of [`Request::needs`]: its roots, then what its members need.
    pub(super) direct: Vec<(Origin, VersionReq)>,
    /// How many of these are its roots.
    pub(super) roots: usize,
    /// The members, which are all needed.
    pub(super) members: Vec<(Origin, Version)>,
    /// Modules of which a version needs a registry that has no name here: who needs it, and its name.
    pub(super) unknown_registries: BTreeMap<Origin, (String, String)>,
    /// All versions of the module that is wanted in one precise version, when it is needed at all.
    pub(super) precise: Option<Vec<Version>>,
}

/// Asks the index about every module that might be needed.
/// `previous` says what must not have changed, `kept` what may be chosen although it is yanked.
pub(super) async fn fetch(
    request: &Request,
    previous: &Lock,
    kept: &Lock,
    index: &dyn Index,
) -> Result<Found, ResolveError> {
    let default = index.registry(None);
    let mut found = Found {
        universe: Universe::new(),
        direct: Vec::new(),
        roots: request.roots.len(),
        members: Vec::new(),
        unknown_registries: BTreeMap::new(),
        precise: None,
    };
    let directly = |need: &Need, by: Option<&ModuleId>| {
        origin(request, index, need, default.as_deref()).map_err(|registry| ResolveError::Registry {
            id: need.id.clone(),
            needed_by: by.map_or_else(|| "the command".to_owned(), |by| format!("`{by}`")),
            registry,
            known: index.names(),
        })
    };
    for (need, by) in request.needs() {
        found.direct.push((directly(need, by)?, need.req.clone()));
    }
    for member in &request.members {
        let dependencies = member
            .dependencies
            .iter()
            .map(|need| Ok((directly(need, Some(&member.id))?, need.req.clone())))
            .collect::<Result<_, ResolveError>>()?;
        let choice = Choice { version: member.version.clone(), dependencies, sha256: None, git: None };
        let origin = Origin { id: member.id.clone(), registry: None };
        found.members.push((origin.clone(), member.version.clone()));
        found.universe.insert(origin, vec![choice]);
    }
    let mut wanted: BTreeSet<Origin> = found.direct.iter().map(|(origin, _)| origin.clone()).collect();
    loop {
        wanted.retain(|origin| !found.universe.contains_key(origin));
        if wanted.is_empty() {
            return Ok(found);
        }
        let lookups = std::mem::take(&mut wanted).into_iter().map(|origin| async move {
            let place = place(&origin, kept);
            let candidates = index.versions(&origin.id, &place).await?;
            Ok::<_, ResolveError>((origin, candidates))
        });
        let mut answers = stream::iter(lookups).buffer_unordered(CONCURRENT_LOOKUPS);
        while let Some((origin, candidates)) = answers.try_next().await? {
            let choices = choices(&mut found, request, [previous, kept], index, &origin, candidates)?;
            wanted.extend(choices.iter().flat_map(|choice| &choice.dependencies).map(|(origin, _)| origin.clone()));
            found.universe.insert(origin, choices);
        }
    }
}

/// Where to ask for the versions of a module: of one that is locked at a commit, there.
fn place(origin: &Origin, kept: &Lock) -> String {
    let place = origin.registry.clone().unwrap_or_default();
    let Some(LockedModule { registry, git: Some(pinned), .. }) = kept.get(&origin.id) else { return place };
    let is_same = match place.strip_prefix(GIT).map(str::parse::<GitSource>) {
        Some(meant) => meant.is_ok_and(|meant| is_pin_of(pinned, &meant)),
        None => registry.as_ref() == Some(&place),
    };
    if is_same { format!("{GIT}{pinned}") } else { place }
}

/// Where what is needed is from; else the name of a registry that there is not.
fn origin(request: &Request, index: &dyn Index, need: &Need, own: Option<&str>) -> Result<Origin, String> {
    let id = need.id.clone();
    if request.member(&id).is_some() {
        return Ok(Origin { id, registry: None });
    }
    if let Some(git) = request.git_of(need) {
        return Ok(Origin { id, registry: Some(format!("{GIT}{git}")) });
    }
    let registry = match &need.registry {
        Some(name) => Some(index.registry(Some(name)).ok_or_else(|| name.clone())?),
        None => own.map(str::to_owned),
    };
    Ok(Origin { id, registry })
}

/// What of the index may be chosen. A version's archive never changes: if it seems to, something is very wrong.
fn choices(
    found: &mut Found,
    request: &Request,
    [previous, kept]: [&Lock; 2],
    index: &dyn Index,
    from: &Origin,
    candidates: Vec<Candidate>,
) -> Result<Vec<Choice>, ResolveError> {
    let mut choices = Vec::new();
    let precise = request.precise.as_ref().filter(|(id, _)| *id == from.id).map(|(_, version)| version);
    if precise.is_some() {
        let mut versions: Vec<Version> = candidates.iter().map(|candidate| candidate.version.clone()).collect();
        versions.sort();
        found.precise = Some(versions);
    }
    for candidate in candidates {
        let of = |lock: &Lock| {
            let locked = lock.get(&from.id).cloned();
            locked.filter(|locked| {
                locked.version == candidate.version && locked.registry.as_ref() == Some(&candidate.registry)
            })
        };
        // Of a commit, another version of napt may make another archive.
        if candidate.git.is_none()
            && let Some(expected) = of(previous).filter(|locked| locked.git.is_none()).and_then(|locked| locked.sha256)
            && expected != candidate.sha256
        {
            return Err(ResolveError::Changed {
                module: format!("{}@{}", from.id, candidate.version),
                registry: candidate.registry,
                expected,
                found: candidate.sha256,
            });
        }
        let is_wanted = match precise {
            Some(precise) => candidate.version == *precise,
            None => !candidate.yanked || of(kept).is_some(),
        };
        if !is_wanted {
            continue;
        }
        let dependencies = candidate
            .dependencies
            .iter()
            .map(|need| Ok((origin(request, index, need, Some(&candidate.registry))?, need.req.clone())))
            .collect::<Result<Vec<_>, String>>();
        match dependencies {
            Ok(dependencies) => {
                let Candidate { version, sha256, git, .. } = candidate;
                choices.push(Choice { version, dependencies, sha256: Some(sha256), git });
            }
            // Never taken from another registry instead: somebody else may own the name there.
            Err(registry) => {
                let who = format!("`{}@{}`", from.id, candidate.version);
                found.unknown_registries.insert(from.clone(), (who, registry));
            }
        }
    }
    choices.sort_by(|a, b| a.version.cmp(&b.version));
    Ok(choices)
}
