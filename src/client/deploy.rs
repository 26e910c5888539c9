//! Deploying: choose the versions, give the node what it cannot fetch, and follow it until everything is ready.

use std::{collections::BTreeMap, path::Path};

use futures_util::StreamExt;
use reqwest::Method;
use semver::VersionReq;
use serde_json::json;
use url::Url;

use super::{Archives, ClientError, NodeClient, Repeat};
use crate::{
    config::Deployment,
    module::{GitSource, ModuleId, ModuleSpec, Workspace},
    package::Packed,
    registries::{Registries, address},
    report::{Amount, Failure, Kind, Relayed, Reporter, plural},
    resolve::{Lock, LockedModule, Need, Request, archive, resolve, yanked},
    sources,
    wire::{DeployEvent, DeployRequest, DeploymentView, ModulePin, Problem, RollbackRequest},
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
    /// A published module with all that it needs.
    Published {
        /// The module.
        spec: &'a ModuleSpec,
        /// Others that its sub-deployments are of, beside its dependencies.
        others: &'a [ModuleId],
    },
    /// A module in git.
    Git {
        /// Where.
        source: &'a GitSource,
        /// Which one; else the only one there.
        id: Option<&'a ModuleId>,
    },
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
    /// Members' archives of earlier deployments.
    pub archives: Option<&'a Archives>,
    /// Find all that is wrong, and change nothing.
    pub dry_run: bool,
}

/// What became of a change of a deployment.
#[derive(Debug)]
pub struct Deployed {
    /// Its latest revision; of a dry run the one that it would have.
    pub view: DeploymentView,
    /// That was so before.
    pub unchanged: bool,
}

/// Deploys on the node and waits until the deployment is live.
pub async fn deploy(
    node: &NodeClient,
    options: DeployOptions<'_>,
    reporter: &dyn Reporter,
) -> Result<Deployed, Failure> {
    let index = options.registries;
    let (root, modules) = match options.what {
        What::Published { spec, others } => {
            let mut request = Request::of_module(spec.id.clone(), spec.req.clone());
            let any = |id: &ModuleId| Need { id: id.clone(), req: VersionReq::STAR, registry: None, git: None };
            request.roots.extend(others.iter().map(any));
            let lock = resolve(request, index).await?;
            give_fetched(node, &lock, index, reporter).await?;
            (spec.id.clone(), pins(&lock, &BTreeMap::new()))
        }
        What::Git { source, id } => {
            let fetched = sources::fetch(index.git()?, source, id, reporter).await?;
            let root = fetched.packed.manifest.id;
            let lock = resolve(Request::of_git(root.clone(), fetched.source), index).await?;
            give_fetched(node, &lock, index, reporter).await?;
            (root, pins(&lock, &BTreeMap::new()))
        }
        What::Project { workspace, root, locked } => {
            let lock = Lock::read(&workspace.root)?;
            let lock = resolve(Request::of_workspace(workspace, lock, locked)?, index).await?;
            if !locked && !options.dry_run && lock.write(&workspace.root)? {
                reporter.step("Locking", &plural(lock.modules.len(), "module"));
            }
            let used = lock.closure([root]).unwrap_or_default();
            give_fetched(node, &used, index, reporter).await?;
            let packed = give_members(node, workspace, &used, options.archives, reporter).await?;
            (root.clone(), pins(&used, &packed))
        }
    };
    let DeployOptions { name, deployment, dry_run, .. } = options;
    let request = DeployRequest { name, root, modules, deployment, dry_run };
    // The same deployment twice is one.
    change(node, Method::POST, "/v1/deployments", node.encode(&request)?, Repeat::Harmless, reporter).await
}

/// Deploys the content of an earlier revision again.
pub async fn rollback(
    node: &NodeClient,
    name: &str,
    request: &RollbackRequest,
    reporter: &dyn Reporter,
) -> Result<Deployed, Failure> {
    let path = format!("/v1/deployments/{}/rollback", NodeClient::segment(name));
    // The one before the live one is another one the second time.
    let repeat = if request.revision.is_some() || request.dry_run { Repeat::Harmless } else { Repeat::Untouched };
    change(node, Method::POST, &path, node.encode(request)?, repeat, reporter).await
}

/// Removes a deployment from the node; runs that go on in it end as they would.
pub async fn undeploy(node: &NodeClient, name: &str, reporter: &dyn Reporter) -> Result<Deployed, Failure> {
    let path = format!("/v1/deployments/{}", NodeClient::segment(name));
    change(node, Method::DELETE, &path, Vec::new(), Repeat::Untouched, reporter).await
}

/// Asks for a change and follows it to its end.
async fn change(
    node: &NodeClient,
    method: Method,
    path: &str,
    body: Vec<u8>,
    repeat: Repeat,
    reporter: &dyn Reporter,
) -> Result<Deployed, Failure> {
    let mut cut = 0;
    loop {
        let mut events = Box::pin(node.change(method.clone(), path, body.clone(), repeat).await?);
        let mut bars = Relayed::default();
        let broken = loop {
            match events.next().await {
                Some(Ok(DeployEvent::Step { verb, what })) if verb == DeployEvent::WARNING => reporter.warn(&what),
                Some(Ok(DeployEvent::Step { verb, what })) => reporter.step(&verb, &what),
                Some(Ok(DeployEvent::Progress { number, verb, done, total })) => {
                    bars.tell(reporter, number, &verb, done, total);
                }
                Some(Ok(DeployEvent::Unknown)) => {}
                Some(Ok(DeployEvent::Ready { deployment, unchanged })) => {
                    return Ok(Deployed { view: *deployment, unchanged });
                }
                Some(Ok(DeployEvent::Failed { problem })) => return Err(failed(node, problem)),
                Some(Err(error)) if !error.is_passing() => return Err(error.into()),
                Some(Err(error)) => break Failure::from(error),
                None => break Failure::new(Kind::Network, "the node went away while it deployed"),
            }
        };
        // The node goes on without us; asked again, it tells how that ends.
        cut += 1;
        let wait = if repeat == Repeat::Harmless { node.policy.wait(cut, None) } else { None };
        let Some(wait) = wait else {
            return Err(broken.hinted(match repeat {
                Repeat::Harmless => "do it again: what is done already is not done twice",
                Repeat::Untouched => "`napt status NAME` shows whether it is done",
            }));
        };
        reporter.detail("the connection broke while the node deployed; asking again");
        tokio::time::sleep(wait).await;
    }
}

/// All that the node has found, with what to do about each.
fn failed(node: &NodeClient, problem: Problem) -> Failure {
    fn hints(problem: &Problem, found: &mut Vec<String>) {
        found.extend(problem.hint.clone().filter(|hint| !found.contains(hint)));
        for problem in parts(problem) {
            hints(&problem, found);
        }
    }
    fn parts(problem: &Problem) -> Vec<Problem> {
        let listed = problem.extra.get("problems").cloned();
        listed.and_then(|listed| serde_json::from_value(listed).ok()).unwrap_or_default()
    }
    let mut all = parts(&problem);
    if all.is_empty() {
        all.push(problem.clone());
    }
    let mut found = Vec::new();
    hints(&problem, &mut found);
    let mut failure = Failure::from(node.refused(problem));
    failure.hints = found;
    failure.with_data(json!({ "problems": all }))
}

fn pins(used: &Lock, packed: &BTreeMap<ModuleId, Packed>) -> Vec<ModulePin> {
    used.modules
        .iter()
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
        let Some(sha256) = &module.sha256 else { continue };
        let registry = module.registry.as_deref().filter(|_| module.git.is_none()).and_then(|from| registries.at(from));
        let is_nodes_own = registry.is_some_and(|registry| !registry.is_offline() && registry.address() == nodes_own);
        if is_nodes_own || node.has_archive(sha256).await? {
            continue;
        }
        let Some(path) = archive(module, registries, reporter).await? else { continue };
        reporter.step("Uploading", &format!("{} {}", module.id, module.version));
        upload(node, sha256, &path, reporter).await?;
    }
    Ok(())
}

async fn upload(node: &NodeClient, sha256: &str, archive: &Path, reporter: &dyn Reporter) -> Result<(), Failure> {
    let bytes = fs_err::read(archive)?;
    let progress = reporter.progress("Uploading", Amount::Bytes(Some(bytes.len() as u64)));
    Ok(node.clone().watched(progress).give_archive(sha256, bytes).await?)
}

/// Packs the members among what is used and uploads those that the node lacks.
async fn give_members(
    node: &NodeClient,
    workspace: &Workspace,
    used: &Lock,
    archives: Option<&Archives>,
    reporter: &dyn Reporter,
) -> Result<BTreeMap<ModuleId, Packed>, Failure> {
    let fresh;
    let archives = match archives {
        Some(archives) => archives,
        None => {
            fresh = Archives::new()?;
            &fresh
        }
    };
    let projects = workspace.projects()?;
    let mut all = BTreeMap::new();
    for LockedModule { id, .. } in used.modules.iter().filter(|module| module.sha256.is_none()) {
        let Some(project) = projects.get(id) else {
            return Err(Failure::new(Kind::Failed, format!("cannot find the folder of `{id}`")));
        };
        let packed = archives.of(project, reporter).map_err(ClientError::from)?;
        if !node.has_archive(&packed.sha256).await? {
            reporter.step("Uploading", &format!("{id} {}", packed.manifest.version));
            upload(node, &packed.sha256, &packed.path, reporter).await?;
        }
        all.insert(id.clone(), packed);
    }
    Ok(all)
}
