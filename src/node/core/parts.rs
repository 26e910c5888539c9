//! Parts: what a deployment places on peers is deployed there, as deployments of their own. A revision remembers which
//! revisions those are, so that its runs never meet those of another one.

use super::{Core, NodeError, Target, addresses::target_text};
use crate::{
    config::{Deployment, SUB_DEPLOYMENTS},
    module::ModuleId,
    report::Reporter,
    wire::{DeployRequest, ModulePin, Part},
};

/// A sub-deployment on a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// The peer, as an address has it.
    pub(super) short: String,
    pub(super) module: ModuleId,
}

/// For what a part is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The whole deployment's name.
    pub(super) deployment: &'a str,
    /// All its modules.
    pub(super) modules: &'a [ModulePin],
    /// Whose it is.
    pub(super) owner: &'a str,
}

/// Whether a deployment is a part of a peer's: users' own names have no `/`.
pub(super) fn is_part(name: &str) -> bool {
    name.contains('/')
}

/// What a node's parts on other nodes end with: several nodes and deployments may have a part of the same module.
pub(in crate::node) fn suffix(node: &str) -> String {
    format!("@{}", super::peers::short(node))
}

impl Core {
    /// Deploys a part on its peer, with the modules that it needs.
    pub(super) async fn deploy_part(
        &self,
        placed: Placed,
        request: Request<'_>,
        dry_run: bool,
        reporter: &dyn Reporter,
    ) -> Result<Part, NodeError> {
        let peer = self.peers.peer(&placed.short).await?;
        let module = placed.module;
        let modules = closure(&module, request.modules);
        reporter.step("Deploying", &format!("{module} on {}", peer.url));
        for pin in &modules {
            self.give_archive(&peer, pin, request.owner).await?;
        }
        let name = format!("{}/{module}{}", request.deployment, suffix(&self.id));
        let wanted = DeployRequest { name: Some(name), root: module.clone(), modules, deployment: None, dry_run };
        let there = self.forward_deploy(&peer, &wanted, request.owner, reporter).await?;
        Ok(Part { module, node: peer.id, name: there.name, revision: there.revision })
    }

    /// Removes a part from its peer.
    pub(super) async fn undeploy_part(&self, part: &Part, owner: &str) -> Result<(), NodeError> {
        let peer = self.peers.peer(super::peers::short(&part.node)).await?;
        self.forward_undeploy(&peer, &part.name, owner).await
    }
}

/// Sub-deployments on peers, each once.
pub(super) fn collect(deployment: &Deployment) -> Vec<Placed> {
    let mut found = Vec::new();
    for_each_sub(deployment, &mut |target, module| {
        if let Some(short) = target {
            let placed = Placed { short: short.to_owned(), module };
            if !found.contains(&placed) {
                found.push(placed);
            }
        }
    });
    found
}

/// Whether this node runs a module of a deployment: all but those that are placed on peers alone.
pub(super) fn runs_here(deployment: &Deployment, id: &ModuleId) -> bool {
    let (mut here, mut elsewhere) = (false, false);
    for_each_sub(deployment, &mut |target, module| {
        if module == *id {
            here |= target.is_none();
            elsewhere |= target.is_some();
        }
    });
    here || !elsewhere
}

/// All sub-deployments, with the peers that they are on.
fn for_each_sub(deployment: &Deployment, see: &mut dyn FnMut(Option<&str>, ModuleId)) {
    for (module_type, _, _) in SUB_DEPLOYMENTS {
        for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
            let name = element.module.as_ref().and_then(|module| module.name.as_deref());
            if let Some(name) = name.and_then(|name| name.parse().ok()) {
                let target = element.node.as_ref().and_then(target_text);
                see(target.filter(|text| *text != Target::Local.to_string()), ModuleId { module_type, name });
            }
            for_each_sub(element, see);
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
