//! Deployments: a named one is an immutable revision, which goes live only when all of it, on all its nodes, is ready.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{
    super::runtime::Parent,
    Core, NodeError, Target,
    addresses::{for_each_node, stored},
    installs::Installed,
};
use crate::{
    config::{Catalog, Deployment, ModuleConfigs, resolve},
    crash,
    module::ModuleId,
    report::Reporter,
    wire::{DeployEvent, DeployRequest, DeploymentView, ModulePin},
};

/// Installs at a time.
const PARALLEL: usize = 4;

/// Passes a deployment's steps on to whoever follows it.
#[derive(Debug, Clone)]
pub(in crate::node) struct Progress(pub(in crate::node) mpsc::UnboundedSender<DeployEvent>);

impl Reporter for Progress {
    fn step(&self, verb: &str, what: &str) {
        // Nobody has to follow a deployment.
        let _ = self.0.send(DeployEvent::Step { verb: verb.to_owned(), what: what.to_owned() });
    }

    fn warn(&self, message: &str) {
        self.step(DeployEvent::WARNING, message);
    }

    fn detail(&self, _message: &str) {}
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
    /// Installs a set of modules, several at a time.
    pub(super) async fn install_all(&self, pins: &[ModulePin], reporter: &dyn Reporter) -> Result<Modules, NodeError> {
        let installs: Vec<BoxFuture<'_, _>> =
            pins.iter().map(|pin| Box::pin(self.installs.install(pin, reporter)) as BoxFuture<'_, _>).collect();
        let installed: Vec<Arc<Installed>> = stream::iter(installs).buffer_unordered(PARALLEL).try_collect().await?;
        Ok(Modules(installed.into_iter().map(|installed| (installed.manifest.id.clone(), installed)).collect()))
    }

    /// Deploys: installs everything, resolves the configuration, warms the modules up, and only then makes the new
    /// revision the live one. Doing the same again is fine.
    pub(in crate::node) async fn deploy(
        &self,
        request: DeployRequest,
        owner: String,
        reporter: &dyn Reporter,
    ) -> Result<DeploymentView, NodeError> {
        let root = request
            .modules
            .iter()
            .find(|pin| pin.id == request.root)
            .ok_or_else(|| NodeError::Invalid(format!("`{}` is not among the modules to deploy", request.root)))?
            .clone();
        let name = request.name.clone().unwrap_or_else(|| request.root.name.to_string());
        if self.live(&name).await?.is_some_and(|live| live.owner != owner) {
            return Err(NodeError::Forbidden(format!("the deployment `{name}` is another user's")));
        }
        let failed = |name: &str| crash::point(name).map_err(NodeError::internal("prepare a deployment"));
        failed("deploy.asked")?;
        let modules = self.install_all(&request.modules, reporter).await?;
        failed("deploy.installed")?;
        let given = request.deployment.clone().unwrap_or_default();
        let mut deployment = resolve(&request.root, &given, &modules)?;
        self.warn_of_models(&deployment, reporter);
        self.place(&mut deployment).await?;
        self.deploy_on_peers(&name, &deployment, &request, &owner, reporter).await?;
        failed("deploy.resolved")?;
        let modules: Vec<Arc<Installed>> =
            request.modules.iter().filter_map(|pin| modules.get(&pin.id).cloned()).collect();
        // Held, so that they are warm when the revision is live.
        let parents: Vec<Arc<Parent>> =
            modules.iter().filter_map(|installed| Some(self.parents.of(installed.python.as_ref()?, &owner))).collect();
        if let Some(error) = self.import_all(&modules, &owner, reporter).await.into_iter().next() {
            return Err(error);
        }
        failed("deploy.imported")?;
        let view = DeploymentView {
            name,
            revision: 0,
            module: request.root,
            version: root.version,
            modules: request.modules,
            owner: owner.clone(),
            created: Timestamp::now(),
            deployment,
        };
        let live = self.store.put_revision(view).await.map_err(NodeError::internal("store a deployment"))?;
        for parent in &parents {
            self.parents.keep(&live.name, live.revision, parent);
        }
        failed("deploy.stored")?;
        Ok(live)
    }

    /// Tells of models that nobody serves here; a module may still reach its own.
    fn warn_of_models(&self, deployment: &Deployment, reporter: &dyn Reporter) {
        let mut models = Vec::new();
        collect_models(deployment, &mut models);
        if self.options.provider.is_none() {
            for model in models.iter().filter(|model| **model != super::inference::ECHO) {
                reporter.warn(&format!(
                    "the model `{model}` is not served by this node, which has no provider (`napt node --provider URL`)"
                ));
            }
        }
    }

    /// The live revision of a name.
    pub(in crate::node) async fn live(&self, name: &str) -> Result<Option<DeploymentView>, NodeError> {
        let all = self.store.deployments().await.map_err(NodeError::internal("read its deployments"))?;
        Ok(all.into_iter().find(|deployment| deployment.name == name))
    }

    /// Replaces every node of a deployment by its target.
    pub(super) async fn place(&self, deployment: &mut Deployment) -> Result<(), NodeError> {
        let mut entries = Vec::new();
        for_each_node(deployment, &mut |node| entries.push(node.clone().unwrap_or_default()));
        let mut targets = Vec::with_capacity(entries.len());
        for entry in &entries {
            targets.push(self.peers.locate(entry, &self.id, self.addresses.port()).await?);
        }
        let mut targets = targets.iter();
        for_each_node(deployment, &mut |node| *node = targets.next().map(stored));
        Ok(())
    }

    /// Deploys on peers what the deployment places there: each such sub-deployment with the modules that it needs.
    async fn deploy_on_peers(
        &self,
        name: &str,
        deployment: &Deployment,
        request: &DeployRequest,
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), NodeError> {
        let mut remote = Vec::new();
        collect_remote(deployment, &mut remote);
        for (short, id) in remote {
            let peer = self.peers.peer(&short).await?;
            let modules = closure(&id, &request.modules);
            reporter.step("Deploying", &format!("{id} on {}", peer.url));
            for pin in &modules {
                self.give_archive(&peer, pin, owner).await?;
            }
            // Its name there says whose it is: several nodes and deployments may have a part of the same module.
            let part = format!("{name}/{id}@{}", super::peers::short(&self.id));
            let part = DeployRequest { name: Some(part), root: id, modules, deployment: None };
            self.forward_deploy(&peer, &part, owner, reporter).await?;
        }
        Ok(())
    }

    /// A stored deployment's modules, installed if they are not yet (after a restart).
    pub(super) async fn modules_of(&self, view: &DeploymentView) -> Result<Modules, NodeError> {
        self.install_all(&view.modules, &crate::report::Silent).await
    }
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

/// Sub-deployments on peers, each once.
fn collect_remote(deployment: &Deployment, found: &mut Vec<(String, ModuleId)>) {
    for (module_type, _, _) in crate::config::SUB_DEPLOYMENTS {
        for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
            let target = element.node.as_ref().and_then(super::addresses::target_text);
            let name = element.module.as_ref().and_then(|module| module.name.as_deref());
            if let Some(short) = target.filter(|text| *text != Target::Local.to_string())
                && let Some(name) = name.and_then(|name| name.parse().ok())
            {
                let entry = (short.to_owned(), ModuleId { module_type, name });
                if !found.contains(&entry) {
                    found.push(entry);
                }
            }
            collect_remote(element, found);
        }
    }
}

/// A module and all that it needs, out of a larger set.
fn closure(id: &ModuleId, modules: &[ModulePin]) -> Vec<ModulePin> {
    let mut wanted = vec![id.clone()];
    let mut found: Vec<ModulePin> = Vec::new();
    while let Some(id) = wanted.pop() {
        if found.iter().any(|pin| pin.id == id) {
            continue;
        }
        if let Some(pin) = modules.iter().find(|pin| pin.id == id) {
            wanted.extend(pin.dependencies.iter().cloned());
            found.push(pin.clone());
        }
    }
    found
}
