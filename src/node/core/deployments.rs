//! Deployments: a named one is a row of immutable revisions. The latest is live, unless it is a removal; it became so only
//! when all of it, on all its nodes, was ready. A run keeps the revision that its root was accepted for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    super::runtime::Parent,
    Core, NodeError,
    addresses::{for_people, stored},
    installs::Installed,
    parts,
    peers::short,
};
use crate::{
    config::{Catalog, Deployment, ModuleConfigs, resolve},
    crash,
    module::ModuleId,
    report::{Reporter, did_you_mean_or},
    wire::{DeployRequest, DeploymentStatus, DeploymentView, ModulePin, RevisionStatus, RollbackRequest},
};

/// Installs at a time; what of them wants a core waits for one.
const PARALLEL: usize = 16;

/// One change at a time for each name.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// A revision that is to become the live one.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) root: ModuleId,
    pub(super) modules: Vec<ModulePin>,
    pub(super) content: Content,
    pub(super) rollback_of: Option<u64>,
    pub(super) dry_run: bool,
}

/// Where a revision's configuration comes from.
pub(super) enum Content {
    /// What differs from the modules' files.
    Given(Deployment),
    /// An earlier revision, which is merged and placed already.
    Merged(Deployment),
}

/// What became of a plan.
#[derive(Debug)]
pub(in crate::node) struct Deployed {
    /// The live revision; of a dry run the one that it would be.
    pub(in crate::node) view: DeploymentView,
    /// It was live before.
    pub(in crate::node) unchanged: bool,
}

/// The modules of one deployment, as far as they are installed here.
pub(super) struct Modules(HashMap<ModuleId, Arc<Installed>>);

impl Catalog for Modules {
    fn configs(&self, id: &ModuleId) -> Option<&ModuleConfigs> {
        self.0.get(id).map(|installed| &installed.configs)
    }

    fn persona(&self, id: &ModuleId) -> Option<&Map<String, Value>> {
        self.0.get(id).and_then(|installed| installed.persona.as_ref())
    }
}

impl Core {
    /// Installs a set of modules, several at a time: those that can be, and what is wrong with the others.
    pub(super) async fn try_install_all(
        &self,
        pins: &[ModulePin],
        reporter: &dyn Reporter,
    ) -> (Modules, Vec<NodeError>) {
        let installs: Vec<BoxFuture<'_, _>> =
            pins.iter().map(|pin| Box::pin(self.installs.install(pin, reporter)) as BoxFuture<'_, _>).collect();
        let results: Vec<Result<Arc<Installed>, NodeError>> = stream::iter(installs).buffered(PARALLEL).collect().await;
        let (mut modules, mut problems) = (HashMap::new(), Vec::new());
        for result in results {
            match result {
                Ok(installed) => drop(modules.insert(installed.manifest.id.clone(), installed)),
                Err(error) => problems.push(error),
            }
        }
        (Modules(modules), problems)
    }

    /// Deploys: installs everything, resolves the configuration, imports each module, and only then makes the new
    /// revision the live one. Doing the same again is fine.
    pub(in crate::node) async fn deploy(
        &self,
        request: DeployRequest,
        owner: String,
        reporter: &dyn Reporter,
    ) -> Result<Deployed, NodeError> {
        if !request.modules.iter().any(|pin| pin.id == request.root) {
            return Err(NodeError::Invalid(format!("`{}` is not among the modules to deploy", request.root)));
        }
        let name = request.name.unwrap_or_else(|| request.root.name.to_string());
        let _turn = self.turn(&name, reporter).await;
        let latest = self.history(&name, &owner).await?.into_iter().next();
        let plan = Plan {
            name,
            owner,
            root: request.root,
            modules: request.modules,
            content: Content::Given(request.deployment.unwrap_or_default()),
            rollback_of: None,
            dry_run: request.dry_run,
        };
        self.carry_out(plan, latest, reporter).await
    }

    /// Deploys the content of an earlier revision again, as a new one.
    pub(in crate::node) async fn rollback(
        &self,
        name: &str,
        request: RollbackRequest,
        owner: String,
        reporter: &dyn Reporter,
    ) -> Result<Deployed, NodeError> {
        let _turn = self.turn(name, reporter).await;
        let revisions = self.history(name, &owner).await?;
        let Some(latest) = revisions.first().cloned() else { return Err(self.no_deployment(name).await?) };
        let content: Vec<&DeploymentView> = revisions.iter().filter(|revision| !revision.removed).collect();
        let wanted = match request.revision {
            Some(number) => content.iter().find(|revision| revision.revision == number),
            // After a removal that is the one that was removed.
            None => content.iter().find(|revision| revision.revision < latest.revision),
        };
        let Some(&wanted) = wanted else {
            let numbers: Vec<String> = content.iter().map(|revision| revision.revision.to_string()).collect();
            return Err(NodeError::NotFound {
                what: match request.revision {
                    Some(number) => format!("`{name}` has no revision {number} to go back to"),
                    None => format!("`{name}` has no revision before the live one"),
                },
                hint: Some(format!("its revisions are {}; `napt status {name}` shows them", numbers.join(", "))),
            });
        };
        let plan = Plan {
            name: name.to_owned(),
            owner,
            root: wanted.module.clone(),
            modules: wanted.modules.clone(),
            content: Content::Merged(wanted.deployment.clone()),
            rollback_of: Some(wanted.revision),
            dry_run: request.dry_run,
        };
        self.carry_out(plan, Some(latest), reporter).await
    }

    /// Removes a deployment: new runs are refused, those that go on keep their revision.
    pub(in crate::node) async fn undeploy(
        &self,
        name: &str,
        owner: String,
        reporter: &dyn Reporter,
    ) -> Result<Deployed, NodeError> {
        let _turn = self.turn(name, reporter).await;
        let latest = self.history(name, &owner).await?.into_iter().next().filter(|latest| !latest.removed);
        let Some(latest) = latest else { return Err(self.no_deployment(name).await?) };
        let removal = DeploymentView {
            modules: Vec::new(),
            owner,
            created: Timestamp::now(),
            deployment: Deployment::default(),
            parts: Vec::new(),
            rollback_of: None,
            removed: true,
            ..latest.clone()
        };
        let view = self.store.put_revision(removal).await.map_err(NodeError::internal("store a deployment"))?;
        self.parents.let_go(name, view.revision);
        self.undeploy_parts(&latest, &view, reporter).await;
        Ok(Deployed { view, unchanged: false })
    }

    /// Takes a plan the whole way. All that is wrong with it is found before it fails.
    pub(super) async fn carry_out(
        &self,
        plan: Plan,
        latest: Option<DeploymentView>,
        reporter: &dyn Reporter,
    ) -> Result<Deployed, NodeError> {
        reached("deploy.asked")?;
        let dry_run = plan.dry_run;
        let (mut view, parents) = self.make_revision(plan, reporter).await?;
        let number = latest.as_ref().map_or(0, |latest| latest.revision);
        if dry_run {
            if let Some(latest) = latest.filter(|latest| latest.same_as(&view)) {
                return Ok(Deployed { view: latest, unchanged: true });
            }
            view.revision = number + 1;
            return Ok(Deployed { view, unchanged: false });
        }
        // The last step: one transaction.
        let view = self.store.put_revision(view).await.map_err(NodeError::internal("store a deployment"))?;
        self.parents.keep(&view.name, view.revision, parents);
        self.installs.deployed(&view.modules);
        self.is_tidy.store(false, Ordering::Release);
        reached("deploy.stored")?;
        let unchanged = view.revision == number;
        if let Some(latest) = latest.filter(|_| !unchanged) {
            self.undeploy_parts(&latest, &view, reporter).await;
        }
        Ok(Deployed { view, unchanged })
    }

    /// A revision that is ready on all its nodes, and its parents; it has no number yet.
    async fn make_revision(
        &self,
        plan: Plan,
        reporter: &dyn Reporter,
    ) -> Result<(DeploymentView, Vec<Arc<Parent>>), NodeError> {
        self.installs.to_be_deployed(&plan.modules);
        let (modules, mut problems) = self.try_install_all(&plan.modules, reporter).await;
        reached("deploy.installed")?;
        let all_installed = problems.is_empty();
        let deployment = match plan.content {
            Content::Merged(deployment) => Some(deployment),
            // What is not installed would be found to be missing again.
            Content::Given(_) if !all_installed => None,
            Content::Given(given) => match resolve(&plan.root, &given, &modules) {
                Ok(mut deployment) => {
                    problems.extend(self.place(&mut deployment).await);
                    Some(deployment)
                }
                Err(error) => {
                    problems.push(error.into());
                    None
                }
            },
        };
        reached("deploy.resolved")?;
        let mut parts = Vec::new();
        if let Some(deployment) = &deployment {
            self.warn_of_models(deployment, reporter);
        }
        let placed = deployment.as_ref().map(parts::collect).unwrap_or_default();
        let here: Vec<Arc<Installed>> = plan
            .modules
            .iter()
            .filter(|pin| deployment.as_ref().is_none_or(|deployment| parts::runs_here(deployment, &pin.id)))
            .filter_map(|pin| modules.get(&pin.id).cloned())
            .collect();
        for installed in &here {
            self.egress.tell(&installed.manifest, reporter);
        }
        // Held, so that they are warm when the revision is live.
        let code = here.iter().filter_map(|installed| installed.code.as_ref());
        let parents: Vec<Arc<Parent>> =
            code.map(|code| self.parents.of(self.installs.origin(code, &plan.owner), &plan.owner)).collect();
        problems.extend(self.import_all(&here, &plan.owner, reporter).await);
        reached("deploy.imported")?;
        // There the parts go live at once, so this node has to be ready before.
        if problems.is_empty() || (plan.dry_run && all_installed) {
            for placed in placed {
                let part = parts::Request { deployment: &plan.name, modules: &plan.modules, owner: &plan.owner };
                match self.deploy_part(placed, part, plan.dry_run, reporter).await {
                    Ok(part) => parts.push(part),
                    Err(error) => problems.push(error),
                }
            }
        }
        match (deployment, NodeError::all(problems)) {
            (_, Some(error)) => Err(error),
            (None, None) => Err(NodeError::Invalid(format!("`{}` cannot be resolved", plan.root))),
            (Some(deployment), None) => {
                let view = DeploymentView {
                    name: plan.name,
                    revision: 0,
                    version: version_of(&plan.root, &plan.modules)?,
                    module: plan.root,
                    modules: plan.modules,
                    owner: plan.owner,
                    created: Timestamp::now(),
                    deployment,
                    parts,
                    rollback_of: plan.rollback_of,
                    removed: false,
                };
                Ok((view, parents))
            }
        }
    }

    /// Removes from peers what the new revision has no more there.
    async fn undeploy_parts(&self, old: &DeploymentView, new: &DeploymentView, reporter: &dyn Reporter) {
        for part in old.parts.iter().filter(|part| !new.parts.iter().any(|new| new.name == part.name)) {
            if let Err(error) = self.undeploy_part(part, &new.owner).await {
                reporter.warn(&format!("`{}` stays deployed on another node: {error}", part.name));
            }
        }
    }

    /// Waits until nobody else changes this deployment.
    pub(super) async fn turn(&self, name: &str, reporter: &dyn Reporter) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Whoever has or awaits a turn holds it: the others are of names that nobody changes now.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(name.to_owned()).or_default().clone()
        };
        if let Ok(turn) = turn.clone().try_lock_owned() {
            return turn;
        }
        reporter.step("Waiting", &format!("for another deploy of `{name}`"));
        turn.lock_owned().await
    }

    /// A revision for whoever asks: its nodes are those that people know, a peer by its URL, or its id where it has not
    /// answered yet.
    pub(in crate::node) fn shown(&self, mut view: DeploymentView) -> DeploymentView {
        let ids: Vec<String> = view.parts.iter().map(|part| part.node.clone()).collect();
        for_people(&mut view.deployment, &|target| {
            let id = || ids.iter().find(|id| short(id) == target).cloned();
            self.peers.url(target).map(String::from).or_else(id).unwrap_or_else(|| target.to_owned())
        });
        view
    }

    /// The same for a user. To others than its owner without prompts, keys and whatever else a configuration holds.
    fn shown_to(&self, user: &str, view: DeploymentView) -> DeploymentView {
        if view.owner == user { self.shown(view) } else { DeploymentView { deployment: Deployment::default(), ..view } }
    }

    /// All revisions of a deployment that this user may change, newest first.
    pub(super) async fn history(&self, name: &str, owner: &str) -> Result<Vec<DeploymentView>, NodeError> {
        let revisions = self.store.revisions(name).await.map_err(NodeError::internal("read its deployments"))?;
        if revisions.first().is_some_and(|latest| latest.owner != owner) {
            return Err(NodeError::Forbidden(format!("the deployment `{name}` is another user's")));
        }
        Ok(revisions)
    }

    /// The error of a name that is not deployed.
    async fn no_deployment(&self, name: &str) -> Result<NodeError, NodeError> {
        let live = self.store.deployments().await.map_err(NodeError::internal("read its deployments"))?;
        let names: Vec<&str> = live.iter().map(|deployment| deployment.name.as_str()).collect();
        Ok(NodeError::NotFound {
            what: format!("there is no deployment `{name}` on this node"),
            hint: Some(did_you_mean_or(name, names.iter().copied(), || match names.as_slice() {
                [] => "nothing is deployed here; `napt deploy` deploys a folder".to_owned(),
                names => format!("its deployments are {}", names.join(", ")),
            })),
        })
    }

    /// All revisions of a deployment and the runs that go on in them, newest first, as a user may see them.
    pub(in crate::node) async fn revisions(&self, name: &str, user: &str) -> Result<Vec<RevisionStatus>, NodeError> {
        let read = NodeError::internal("read its deployments");
        let revisions = self.store.revisions(name).await.map_err(read)?;
        let Some(latest) = revisions.first().map(|latest| latest.revision) else {
            return Err(self.no_deployment(name).await?);
        };
        let counts =
            self.store.unfinished_by_revision().await.map_err(NodeError::internal("count its unfinished runs"))?;
        Ok(revisions
            .into_iter()
            .map(|deployment| RevisionStatus {
                live: deployment.revision == latest && !deployment.removed,
                runs: counts.get(&(deployment.name.clone(), deployment.revision)).copied().unwrap_or_default(),
                deployment: self.shown_to(user, deployment),
            })
            .collect())
    }

    /// The live deployments and the runs that go on in them, newest first, as a user may see them.
    pub(in crate::node) async fn deployments(&self, user: &str) -> Result<Vec<DeploymentStatus>, NodeError> {
        let live = self.store.deployments().await.map_err(NodeError::internal("read its deployments"))?;
        let counts =
            self.store.unfinished_by_revision().await.map_err(NodeError::internal("count its unfinished runs"))?;
        let of = |name: &str, is_it: &dyn Fn(u64) -> bool| {
            counts.iter().filter(|((n, revision), _)| n == name && is_it(*revision)).map(|(_, count)| count).sum()
        };
        Ok(live
            .iter()
            .map(|deployment| DeploymentStatus {
                runs: of(&deployment.name, &|revision| revision == deployment.revision),
                draining: of(&deployment.name, &|revision| revision != deployment.revision),
                deployment: self.shown_to(user, DeploymentView::clone(deployment)),
            })
            .collect())
    }

    /// Tells of models that nobody serves here; a module may still reach its own.
    fn warn_of_models(&self, deployment: &Deployment, reporter: &dyn Reporter) {
        let mut models = Vec::new();
        collect_models(deployment, &mut models);
        let such = if self.options.providers.is_empty() { "" } else { " for it" };
        for model in models.iter().filter(|model| !self.inference.serves(model)) {
            reporter.warn(&format!(
                "the model `{model}` is not served by this node, which has no provider{such} (`napt node --provider URL`)"
            ));
        }
    }

    /// Replaces every node of a deployment by its target, this node where there is none; gives those that are not known.
    pub(super) async fn place(&self, deployment: &mut Deployment) -> Vec<NodeError> {
        deployment.for_each_node(&mut |node| {
            node.get_or_insert_default();
        });
        self.place_some(deployment).await
    }

    /// The same for those that are there.
    pub(super) async fn place_some(&self, deployment: &mut Deployment) -> Vec<NodeError> {
        let mut entries = Vec::new();
        deployment.for_each_node(&mut |node| entries.push(node.clone()));
        let (mut targets, mut problems) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in &entries {
            let Some(entry) = entry else {
                targets.push(None);
                continue;
            };
            match self.peers.locate(entry, &self.addresses).await {
                Ok(target) => targets.push(Some(target)),
                Err(error) => {
                    targets.push(None);
                    problems.push(error);
                }
            }
        }
        let mut targets = targets.iter();
        deployment.for_each_node(&mut |node| {
            if let Some(Some(target)) = targets.next() {
                *node = Some(stored(target));
            }
        });
        problems
    }

    /// A stored deployment's modules, installed if they are not yet (after a restart).
    pub(super) async fn modules_of(&self, view: &DeploymentView) -> Result<Modules, NodeError> {
        let (modules, problems) = self.try_install_all(&view.modules, &crate::report::Silent).await;
        problems.into_iter().next().map_or(Ok(modules), Err)
    }
}

fn version_of(id: &ModuleId, modules: &[ModulePin]) -> Result<semver::Version, NodeError> {
    let pin = modules.iter().find(|pin| pin.id == *id);
    pin.map(|pin| pin.version.clone()).ok_or_else(|| NodeError::missing(format!("`{id}` is not among its modules")))
}

/// A place where tests break a deployment.
fn reached(name: &str) -> Result<(), NodeError> {
    crash::point(name).map_err(NodeError::internal("deploy"))
}

impl Modules {
    /// One of them.
    pub(super) fn get(&self, id: &ModuleId) -> Option<&Arc<Installed>> {
        self.0.get(id)
    }
}

/// The models that a deployment and all below it name, each once.
fn collect_models<'a>(deployment: &'a Deployment, found: &mut Vec<&'a str>) {
    let llm = deployment.config.as_ref().and_then(|config| config.llm_config.as_ref());
    if let Some(model) = llm.and_then(|llm| llm.model.as_deref())
        && !found.contains(&model)
    {
        found.push(model);
    }
    for (module_type, _, _) in crate::config::SUB_DEPLOYMENTS {
        for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
            collect_models(element, found);
        }
    }
}
