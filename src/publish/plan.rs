//! What is published, in which order, and what of the manifests stands in the way.

use std::collections::BTreeSet;

use semver::VersionReq;

use super::{
    Options, Selection,
    error::{Problem, PublishError},
};
use crate::{
    module::{ModuleId, Project, Publish},
    registries::address,
    report::Reporter,
};

/// The selected members that may be published.
pub(super) fn select<'a>(
    options: &Options<'a>,
    reporter: &dyn Reporter,
    problems: &mut Vec<Problem>,
) -> Result<Vec<&'a Project>, PublishError> {
    let members: Vec<&Project> = match options.selection {
        Selection::Current => vec![options.workspace.current().ok_or(PublishError::NoCurrent)?],
        Selection::Workspace => options.workspace.members.iter().collect(),
    };
    let mut selected = Vec::new();
    for member in members {
        match &member.manifest.publish {
            Publish::Nowhere if options.selection == Selection::Workspace => {
                reporter.step("Skipping", &format!("{}: it says `publish = false`", member.id()));
                continue;
            }
            Publish::Nowhere => problems.push(Problem::Forbidden(member.id().clone())),
            Publish::Only(allowed) if !allowed.iter().any(|name| names(options, name)) => {
                problems.push(Problem::OtherRegistry {
                    id: member.id().clone(),
                    allowed: allowed.iter().map(|name| format!("`{name}`")).collect(),
                    registry: options.registry.to_string(),
                });
            }
            Publish::Only(_) | Publish::Anywhere => {}
        }
        selected.push(member);
    }
    Ok(selected)
}

/// Whether an entry of `publish = […]` means this registry: by its name, by URL, by host, or by host and port.
fn names(options: &Options<'_>, entry: &str) -> bool {
    let registry = options.registry;
    if let Ok(named) = options.registries.get(Some(entry)) {
        return named.address() == address(registry);
    }
    let host = registry.host_str().unwrap_or_default();
    let with_port = registry.port().map(|port| format!("{host}:{port}"));
    entry.trim_end_matches('/') == registry.as_str().trim_end_matches('/')
        || entry == host
        || with_port.is_some_and(|with_port| entry == with_port)
}

/// The members so that each comes after those it depends on; a cycle is a problem.
pub(super) fn order<'a>(members: &[&'a Project], problems: &mut Vec<Problem>) -> Vec<&'a Project> {
    let mut ordered: Vec<&Project> = Vec::new();
    let mut left: Vec<&Project> = members.to_vec();
    while !left.is_empty() {
        let waiting: BTreeSet<&ModuleId> = left.iter().map(|member| member.id()).collect();
        let is_ready = |member: &&Project| {
            !member.manifest.dependencies.keys().any(|on| waiting.contains(on) && on != member.id())
        };
        let (ready, rest): (Vec<_>, Vec<_>) = left.iter().partition(|member| is_ready(member));
        if ready.is_empty() {
            problems.push(Problem::Cycle(cycle(&left)));
            ordered.extend(left);
            break;
        }
        ordered.extend(ready);
        left = rest;
    }
    ordered
}

/// One cycle among members that all depend on another of them: followed from the first until a module comes again.
fn cycle(members: &[&Project]) -> Vec<ModuleId> {
    let mut path: Vec<&ModuleId> = Vec::new();
    let mut at = members.first().copied();
    while let Some(member) = at {
        if let Some(start) = path.iter().position(|id| *id == member.id()) {
            path.push(member.id());
            return path[start..].iter().map(|id| (*id).clone()).collect();
        }
        path.push(member.id());
        at = members
            .iter()
            .copied()
            .find(|other| other.id() != member.id() && member.manifest.dependencies.contains_key(other.id()));
    }
    path.into_iter().cloned().collect()
}

/// Whether others could resolve each member's dependencies once all of `members` are published.
pub(super) async fn check_dependencies(
    options: &Options<'_>,
    members: &[&Project],
    problems: &mut Vec<Problem>,
) -> Result<(), PublishError> {
    for member in members {
        for (on, dependency) in &member.manifest.dependencies {
            let (id, on, req) = (member.id().clone(), on.clone(), dependency.req.clone());
            let sibling = options.workspace.member(&on);
            if (dependency.path.is_some() || dependency.git.is_some()) && req == VersionReq::STAR {
                problems.push(Problem::NoVersion { id, on });
            } else if let Some(sibling) = sibling.filter(|sibling| !req.matches(&sibling.manifest.version)) {
                problems.push(Problem::Requirement { id, on, req, version: sibling.manifest.version.clone() });
            } else if dependency.registry.is_some() || !members.iter().any(|member| *member.id() == on) {
                let entries = match &dependency.registry {
                    None => options.client.index(on.module_type.as_str(), on.name.as_str()).await?.unwrap_or_default(),
                    Some(name) => match options.registries.get(Some(name)) {
                        Ok(registry) => registry.index(&on).await?,
                        Err(_) => {
                            let known = options.registries.names().map(str::to_owned).collect();
                            problems.push(Problem::UnknownRegistry { id, on, name: name.clone(), known });
                            continue;
                        }
                    },
                };
                if !entries.iter().any(|entry| !entry.yanked && req.matches(&entry.version)) {
                    let (from, in_workspace) = (dependency.registry.clone(), sibling.is_some());
                    problems.push(Problem::Missing { id, on, req, from, in_workspace });
                }
            }
        }
    }
    Ok(())
}
