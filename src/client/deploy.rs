//! Deploying: choose the versions, give the node what it cannot fetch, and follow it until everything is ready.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use url::Url;

use super::{ClientError, NodeClient};
use crate::{
    config::Deployment,
    module::{ModuleId, ModuleSpec, Project, Workspace},
    package::{Packed, pack},
    registries::{Registries, address},
    report::{Failure, Kind, Reporter, plural},
    resolve::{Lock, Request, resolve, yanked},
    wire::{DeployEvent, DeployRequest, DeploymentView, ModulePin},
};

/// What to deploy.
#[derive(Debug)]
pub enum What<'a> {
    /// A module of a workspace, with all that it needs: other members as they are on disk, the rest from the registry.
    Project {
        /// The workspace; its `napt.lock` is honoured and kept up to date.
        workspace: &'a Workspace,
        /// The module.
        root: &'a ModuleId,
        /// Fail when `napt.lock` would change.
        locked: bool,
    },
    /// A published module.
    Published(&'a ModuleSpec),
}

/// How to deploy.
#[derive(Debug)]
pub struct DeployOptions<'a> {
    /// What.
    pub what: What<'a>,
    /// The deployment's name; the module's when absent.
    pub name: Option<String>,
    /// What differs from the module's own `deployment.json`.
    pub deployment: Option<Deployment>,
    /// Where published modules are looked up.
    pub registries: &'a Registries,
}

/// Deploys on the node and waits until the deployment is live.
pub async fn deploy(
    node: &NodeClient,
    options: DeployOptions<'_>,
    reporter: &dyn Reporter,
) -> Result<DeploymentView, Failure> {
    let index = options.registries;
    let (root, modules) = match options.what {
        What::Published(spec) => {
            let lock = resolve(Request::of_module(spec.id.clone(), spec.req.clone()), index).await?;
            give_fetched(node, &lock, index, reporter).await?;
            (spec.id.clone(), pins(&lock, &spec.id, &BTreeMap::new()))
        }
        What::Project { workspace, root, locked } => {
            let lock = Lock::read(&workspace.root)?;
            let lock = resolve(Request::of_workspace(workspace, lock, locked)?, index).await?;
            if !locked && lock.write(&workspace.root)? {
                reporter.step("Locking", &plural(lock.modules.len(), "module"));
            }
            let used = lock.closure([root]).unwrap_or_default();
            give_fetched(node, &used, index, reporter).await?;
            let packed = give_members(node, workspace, root, &lock, reporter).await?;
            (root.clone(), pins(&lock, root, &packed))
        }
    };
    let request = DeployRequest { name: options.name, root, modules, deployment: options.deployment };
    let mut cut = 0;
    loop {
        let mut events = Box::pin(node.start_deploy(&request).await?);
        let broken = loop {
            match events.next().await {
                Some(Ok(DeployEvent::Step { verb, what })) if verb == DeployEvent::WARNING => reporter.warn(&what),
                Some(Ok(DeployEvent::Step { verb, what })) => reporter.step(&verb, &what),
                Some(Ok(DeployEvent::Ready { deployment })) => return Ok(*deployment),
                Some(Ok(DeployEvent::Failed { problem })) => return Err(node.refused(problem).into()),
                Some(Err(error)) if !error.is_passing() => return Err(error.into()),
                Some(Err(error)) => break Failure::from(error),
                None => break Failure::new(Kind::Network, "the node went away while it deployed"),
            }
        };
        // The node goes on without us; asked again, it tells how that ends.
        cut += 1;
        let Some(wait) = node.policy.wait(cut, None) else {
            return Err(broken.hinted("deploy again: what is done already is not done twice"));
        };
        reporter.detail("the connection broke while the node deployed; asking again");
        tokio::time::sleep(wait).await;
    }
}

/// The root and everything that it needs, out of a lock.
fn closure(lock: &Lock, root: &ModuleId) -> Vec<ModuleId> {
    let mut found = vec![root.clone()];
    let mut next = 0;
    while let Some(id) = found.get(next).cloned() {
        next += 1;
        let dependencies = lock.get(&id).map(|module| module.dependencies.clone()).unwrap_or_default();
        for dependency in dependencies {
            if !found.contains(&dependency) {
                found.push(dependency);
            }
        }
    }
    found
}

fn pins(lock: &Lock, root: &ModuleId, packed: &BTreeMap<ModuleId, Packed>) -> Vec<ModulePin> {
    closure(lock, root)
        .iter()
        .filter_map(|id| lock.get(id))
        .map(|module| ModulePin {
            id: module.id.clone(),
            version: module.version.clone(),
            // Either packed here or locked with its digest: a member has no digest in the lock.
            sha256: packed
                .get(&module.id)
                .map(|packed| packed.sha256.clone())
                .or_else(|| module.sha256.clone())
                .unwrap_or_default(),
            dependencies: module.dependencies.clone(),
        })
        .collect()
}

/// Warns of what is yanked, and uploads what the node cannot fetch: modules of registries that are not its own, and
/// offline all of them.
async fn give_fetched(
    node: &NodeClient,
    lock: &Lock,
    registries: &Registries,
    reporter: &dyn Reporter,
) -> Result<(), Failure> {
    for yanked in yanked(&lock.modules, registries).await {
        reporter.warn(&yanked.to_string());
    }
    let nodes_own = match Url::parse(&node.node().await?.registry) {
        Ok(url) => address(&url),
        Err(_) => String::new(),
    };
    for module in &lock.modules {
        let (Some(from), Some(sha256)) = (&module.registry, &module.sha256) else { continue };
        let registry = registries.at(from).filter(|registry| registry.is_offline() || *from != nodes_own);
        let Some(registry) = registry else { continue };
        if node.has_archive(sha256).await? {
            continue;
        }
        let path = registry.archive(&module.id, &module.version, sha256, reporter).await?;
        reporter.step("Uploading", &format!("{} {}", module.id, module.version));
        node.give_archive(sha256, fs_err::read(path)?).await?;
    }
    Ok(())
}

/// Packs the members that the root needs and uploads those that the node lacks.
async fn give_members(
    node: &NodeClient,
    workspace: &Workspace,
    root: &ModuleId,
    lock: &Lock,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<ModuleId, Packed>, Failure> {
    let folder = tempfile::tempdir()?;
    let mut all = BTreeMap::new();
    for id in closure(lock, root) {
        let is_member = lock.get(&id).is_some_and(|module| module.sha256.is_none());
        if !is_member {
            continue;
        }
        let project = project_of(workspace, &id)?;
        let packed = pack(&project, folder.path(), reporter).map_err(ClientError::from)?;
        let bytes = fs_err::read(&packed.path)?;
        reporter.step("Uploading", &format!("{id} {}", packed.manifest.version));
        node.give_archive(&packed.sha256, bytes).await?;
        all.insert(id, packed);
    }
    Ok(all)
}

/// A member, or a module that one names by path, or that such a one names by path, and so on.
fn project_of(workspace: &Workspace, id: &ModuleId) -> Result<Project, Failure> {
    let mut known = workspace.members.clone();
    let mut next = 0;
    while let Some(project) = known.get(next).cloned() {
        if project.id() == id {
            return Ok(project);
        }
        for dependency in project.manifest.dependencies.keys() {
            if let Some(path) = project.dependency_path(dependency)
                && !known.iter().any(|project| project.id() == dependency)
            {
                known.push(Project::load(&path)?);
            }
        }
        next += 1;
    }
    Err(Failure::new(Kind::Failed, format!("cannot find the folder of `{id}`")))
}
