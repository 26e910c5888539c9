//! What is not deployed when it is asked for. Naptha's clients never deploy: a module that they create or run is
//! installed then, at its newest version, with all that its deployment names. And whoever runs a deployed module may
//! place its parts on other nodes than it was deployed with.
//!
//! Both become deployments of this node's own, called `TYPE:NAME~OWNER` or `TYPE:NAME~OWNER~DIGEST`: the second are of
//! one placement, and found again by it. Users' own names have no `~`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use semver::VersionReq;
use serde::Serialize;

use super::{
    Core, NodeError, Target,
    addresses::names_nothing,
    deployments::{Content, Plan},
    elsewhere::Pointed,
    parts,
    peers::short,
};
use crate::{
    config::{self, ConfigError, Deployment, DeploymentConfig, ModuleEntry, SUB_DEPLOYMENTS, merge},
    identity::body_digest,
    module::{ModuleId, ModuleType},
    registries::{Registries, Registry},
    report::{Fault, Kind, Silent},
    resolve::{Need, Request, ResolveError, resolve},
    wire::{DeploymentView, ModulePin},
};

/// Between the parts of such a deployment's name.
const MARK: char = '~';

/// Digits of an owner's key in a name.
const OWNER: usize = 16;

/// Digits of a placement's digest in a name.
const DIGEST: usize = 16;

/// How many placements of one module stay deployed.
const MAX_PLACEMENTS: usize = 16;

/// How many modules may be found to be missing, one after the other.
const MAX_MISSING: usize = 100;

/// What a run or a `create` asks for.
#[derive(Debug)]
pub(super) enum Found {
    /// It is here: the revision, and what is given resolved in it.
    Live(Arc<DeploymentView>, Box<Deployment>),
    /// It has to be deployed first.
    Missing(Box<Demand>),
}

/// Something to be deployed because somebody wants to run it.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    pub(super) module: ModuleId,
    pub(super) owner: String,
    /// The revision that it differs from, when there is one: its modules stay as they are.
    pub(super) base: Option<Arc<DeploymentView>>,
    /// What was asked for; its nodes are targets.
    pub(super) given: Deployment,
    /// Whether newer versions are looked for, although it is there.
    pub(super) newest: bool,
}

/// What tells one placement from another.
#[derive(Serialize)]
struct Identity<'a> {
    base: Option<(&'a str, u64)>,
    given: &'a Deployment,
}

impl Demand {
    /// Which modules and nodes are asked for; no other configuration, which is a run's own.
    fn skeleton(&self) -> Deployment {
        // Of the module itself only the version is asked for: clients write the rest in many ways.
        let module = version_of(&self.given).map(|version| ModuleEntry {
            name: None,
            extra: [("module_version".to_owned(), version.into())].into_iter().collect(),
        });
        Deployment { node: None, module, ..skeleton(&self.given) }
    }

    /// Whether it is the module as its own files have it.
    fn is_plain(&self) -> bool {
        Deployment { name: None, ..self.skeleton() } == Deployment::default()
    }

    /// What its deployment is called.
    fn name(&self) -> String {
        let owner = self.owner.trim_start_matches("user:");
        let name = format!("{}{MARK}{}", self.module, owner.get(..OWNER).unwrap_or(owner));
        let skeleton = Deployment { name: None, ..self.skeleton() };
        if self.base.is_none() && self.is_plain() {
            return name;
        }
        let base = self.base.as_ref().map(|base| (base.name.as_str(), base.revision));
        // Plain data with text keys is always JSON.
        let identity = serde_json::to_vec(&Identity { base, given: &skeleton }).unwrap_or_default();
        let digest = body_digest(&identity);
        format!("{name}{MARK}{}", digest.get(..DIGEST).unwrap_or(&digest))
    }
}

/// Nodes, names and modules of a deployment, all the way down.
fn skeleton(of: &Deployment) -> Deployment {
    let mut skeleton =
        Deployment { node: of.node.clone(), name: of.name.clone(), module: of.module.clone(), ..Deployment::default() };
    if let Some(persona) = of.config.as_ref().and_then(|config| config.persona_module.clone()) {
        skeleton.config = Some(DeploymentConfig { persona_module: Some(persona), ..DeploymentConfig::default() });
    }
    for (module_type, _, _) in SUB_DEPLOYMENTS {
        let list = of.subs(module_type).and_then(Option::as_deref).unwrap_or_default();
        if let Some(slot) = skeleton.subs_mut(module_type).filter(|_| !list.is_empty()) {
            *slot = Some(list.iter().map(self::skeleton).collect());
        }
    }
    skeleton
}

/// The version that a request names, as it is written.
fn version_of(given: &Deployment) -> Option<&str> {
    let version = given.module.as_ref()?.extra.get("module_version")?.as_str()?.trim();
    Some(version).filter(|version| !version.is_empty())
}

/// The versions that a request allows: `v0.1` is the newest 0.1.x, `0.1.2` is that one.
fn wanted(given: &Deployment) -> Result<Option<VersionReq>, NodeError> {
    let Some(text) = version_of(given) else { return Ok(None) };
    let bare = text.strip_prefix('v').unwrap_or(text);
    let is_version = bare.starts_with(|c: char| c.is_ascii_digit());
    let exact = semver::Version::parse(bare).is_ok();
    let req = VersionReq::parse(&format!("{}{bare}", if exact { "=" } else { "~" })).ok().filter(|_| is_version);
    req.map(Some).ok_or_else(|| NodeError::Invalid(format!("`module_version` is `{text}`, which is no version")))
}

/// A requirement that no version meets.
fn nothing() -> VersionReq {
    VersionReq {
        comparators: vec![semver::Comparator {
            op: semver::Op::Less,
            major: 0,
            minor: Some(0),
            patch: Some(0),
            pre: semver::Prerelease::EMPTY,
        }],
    }
}

fn has(pins: &[ModulePin], id: &ModuleId) -> bool {
    pins.iter().any(|pin| pin.id == *id)
}

/// Whether a deployment was made because somebody ran what was not there.
fn is_on_demand(name: &str) -> bool {
    name.contains(MARK)
}

/// Whether it is one of a placement, which nobody else means.
fn is_placement(name: &str) -> bool {
    name.matches(MARK).count() > 1
}

/// Whether a revision has all that is placed on peers.
fn has_parts(deployment: &Deployment, view: &DeploymentView) -> bool {
    parts::collect(deployment)
        .iter()
        .all(|placed| view.parts.iter().any(|part| part.module == placed.module && short(&part.node) == placed.short))
}

/// Whether something is missing that a registry may have.
fn missing(error: &ConfigError) -> Option<ModuleId> {
    match error {
        ConfigError::UnknownModule(id) => id.parse().ok(),
        ConfigError::UnknownPersona { persona, .. } => {
            let name = persona.strip_prefix("persona:").unwrap_or(persona).parse().ok()?;
            Some(ModuleId { module_type: ModuleType::Persona, name })
        }
        _ => None,
    }
}

impl Core {
    /// Finds what a user's run needs, or what there is to deploy for it. Nothing is installed by that.
    pub(super) async fn find(
        &self,
        module: &ModuleId,
        user: &str,
        given: Option<Deployment>,
        on_demand: bool,
    ) -> Result<Found, NodeError> {
        let mut given = given.unwrap_or_default();
        self.check_root(&given).await?;
        given.node = None;
        NodeError::all(self.place_given(&mut given).await).map_or(Ok(()), Err)?;
        let req = match wanted(&given) {
            Ok(req) => req,
            // A tag, a branch or a commit of what is kept elsewhere is no version.
            Err(error) if !on_demand || self.source_of(module).await?.is_none() => return Err(error),
            Err(_) => Some(nothing()),
        };
        let base = self.base(module, user, req.as_ref()).await?;
        match &base {
            None if !on_demand => return Err(not_deployed(module)),
            None => {}
            Some(base) => match self.resolve_for_run(module, &given, base, true).await {
                Ok(deployment) if has_parts(&deployment, base) => {
                    return Ok(Found::Live(base.clone(), Box::new(deployment)));
                }
                Ok(_) => {}
                Err(NodeError::Config(error)) if on_demand && missing(&error).is_some() => {}
                Err(error) => return Err(error),
            },
        }
        // A run that waits is shown with what its clients need to know of its module.
        let entry = given.module.get_or_insert_default();
        entry.name = Some(module.name.to_string());
        entry.extra.insert("id".to_owned(), module.to_string().into());
        entry.extra.insert("module_type".to_owned(), module.module_type.to_string().into());
        let demand = Demand { module: module.clone(), owner: user.to_owned(), base, given, newest: false };
        let history =
            self.store.revisions(&demand.name()).await.map_err(NodeError::internal("read its deployments"))?;
        if let Some(made) = history.into_iter().next().filter(|made| !made.removed && made.owner == user) {
            let deployment = self.resolve_for_run(module, &demand.given, &made, true).await?;
            return Ok(Found::Live(Arc::new(made), Box::new(deployment)));
        }
        if demand.base.is_none() {
            let request = Request::of_module(demand.module.clone(), req.unwrap_or(VersionReq::STAR));
            match resolve(request, &self.registries()).await {
                Err(ResolveError::Unknown { .. }) if self.source_of(module).await?.is_some() => {}
                chosen => drop(chosen.map_err(|error| self.unresolved(module, error))?),
            }
        }
        Ok(Found::Missing(Box::new(demand)))
    }

    /// Deploys what is missing, which may take minutes. Asking again, also at once, is fine.
    pub(super) async fn fulfil(self: &Arc<Self>, demand: Demand) -> Result<Arc<DeploymentView>, NodeError> {
        let core = self.clone();
        // A task of its own: what has begun is finished, whoever waits for it.
        let task = tokio::spawn(async move { core.deploy_demand(demand).await });
        task.await.map_err(NodeError::internal("deploy what is missing"))?
    }

    /// The same for a caller with a time limit of its own.
    pub(super) async fn fulfil_within(
        self: &Arc<Self>,
        demand: Demand,
        within: Duration,
    ) -> Result<Arc<DeploymentView>, NodeError> {
        let module = demand.module.clone();
        match tokio::time::timeout(within, self.fulfil(demand)).await {
            Ok(done) => done,
            Err(_) => Err(NodeError::Unfinished(format!("`{module}` is being installed"))),
        }
    }

    /// A choice of nodes or modules is made over the module as its own files have it, where these are complete.
    async fn deploy_demand(&self, mut demand: Demand) -> Result<Arc<DeploymentView>, NodeError> {
        if demand.base.is_none() && !demand.is_plain() && version_of(&demand.given).is_none() {
            let plain = Demand { given: Deployment::default(), ..demand.clone() };
            demand.base = self.deploy_choice(plain).await.ok();
        }
        self.deploy_choice(demand).await
    }

    async fn deploy_choice(&self, demand: Demand) -> Result<Arc<DeploymentView>, NodeError> {
        let name = demand.name();
        let _turn = self.turn(&name, &Silent).await;
        let latest = self.history(&name, &demand.owner).await?.into_iter().next();
        let live = latest.clone().filter(|latest| !latest.removed);
        if let Some(live) = live.clone().filter(|_| !demand.newest) {
            return Ok(Arc::new(live));
        }
        let modules = match (self.choose(&demand).await, live) {
            (Ok(modules), _) => modules,
            // What is there is as good as what cannot be looked up.
            (Err(NodeError::Upstream(_)), Some(live)) => return Ok(Arc::new(live)),
            (Err(error), _) => return Err(error),
        };
        let plan = Plan {
            name: name.clone(),
            owner: demand.owner.clone(),
            root: demand.module.clone(),
            modules,
            content: Content::Given(self.content(&demand)?),
            rollback_of: None,
            dry_run: false,
        };
        let deployed = self.carry_out(plan, latest, &Silent).await?;
        if is_placement(&name) {
            self.retire(&demand.module, &demand.owner, &name).await;
        }
        Ok(Arc::new(deployed.view))
    }

    /// What differs from the modules' own files.
    fn content(&self, demand: &Demand) -> Result<Deployment, NodeError> {
        let Some(base) = &demand.base else { return Ok(demand.skeleton()) };
        let failed = NodeError::internal("write a deployment");
        let over = serde_json::to_value(demand.skeleton()).map_err(failed)?;
        let under = serde_json::to_value(&base.deployment).map_err(NodeError::internal("write a deployment"))?;
        serde_json::from_value(merge(&over, &under)).map_err(NodeError::internal("read a deployment"))
    }

    /// The modules that it is made of: the base's as they are, and the newest of what is missing.
    async fn choose(&self, demand: &Demand) -> Result<Vec<ModulePin>, NodeError> {
        let registries = self.registries();
        let base = demand.base.as_ref().map(|base| base.modules.clone()).unwrap_or_default();
        let content = self.content(demand)?;
        let req = wanted(&demand.given).unwrap_or_else(|_| Some(nothing())).unwrap_or(VersionReq::STAR);
        let (mut needs, mut elsewhere) = (Vec::new(), Vec::new());
        if demand.base.is_none() {
            needs.push(Need { id: demand.module.clone(), req, registry: None, git: None });
        }
        loop {
            let mut pins = [base.clone(), elsewhere.clone()].concat();
            if !needs.is_empty() {
                let request = Request { roots: needs.clone(), ..Request::default() };
                let lock = match resolve(request, &registries).await {
                    Ok(lock) => lock,
                    Err(error) if elsewhere.len() >= MAX_MISSING => return Err(self.unresolved(&demand.module, error)),
                    Err(error) => {
                        let Some(found) = self.found_elsewhere(&error, demand).await? else {
                            return Err(self.unresolved(&demand.module, error));
                        };
                        needs.retain(|need: &Need| need.id != found.pin.id);
                        needs.extend(found.needs.into_iter().filter(|need| !has(&pins, &need.id)));
                        elsewhere.push(found.pin);
                        continue;
                    }
                };
                let found = lock.modules.into_iter().filter(|module| !has(&pins, &module.id)).collect::<Vec<_>>();
                let found = found.into_iter();
                pins.extend(found.filter_map(|module| {
                    let (id, version, dependencies) = (module.id, module.version, module.dependencies);
                    Some(ModulePin { id, version, sha256: module.sha256?, dependencies })
                }));
            }
            let (modules, problems) = self.try_install_all(&pins, &Silent).await;
            NodeError::all(problems).map_or(Ok(()), Err)?;
            match config::resolve(&demand.module, &content, &modules) {
                Ok(deployment) => {
                    add_calls(&demand.module, &deployment, &mut pins);
                    return Ok(pins);
                }
                // Naptha's modules name what they call in their deployments only.
                Err(error) => match missing(&error) {
                    Some(id) if needs.len() < MAX_MISSING && !needs.iter().any(|need| need.id == id) => {
                        needs.push(Need { id, req: VersionReq::STAR, registry: None, git: None });
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// What no registry has, if the registry points at it.
    async fn found_elsewhere(&self, error: &ResolveError, demand: &Demand) -> Result<Option<Pointed>, NodeError> {
        let ResolveError::Unknown { id, .. } = error else { return Ok(None) };
        let version = if *id == demand.module { version_of(&demand.given) } else { None };
        self.pointed(id, version).await
    }

    /// Removes the oldest placements of a module when there are too many: they keep interpreters warm.
    async fn retire(&self, module: &ModuleId, owner: &str, newest: &str) {
        let Ok(live) = self.store.deployments().await else { return };
        let placements = live.iter().filter(|live| {
            live.module == *module && live.owner == owner && is_placement(&live.name) && !parts::is_part(&live.name)
        });
        let old = placements.filter(|live| live.name != newest).skip(MAX_PLACEMENTS - 1);
        for old in old {
            if let Err(error) = self.undeploy(&old.name, old.owner.clone(), &Silent).await {
                tracing::warn!(%error, "`{}` stays deployed", old.name);
            }
        }
    }

    /// The registry as of now.
    fn registries(&self) -> Registries {
        Registries::new(Registry::new(self.installs.registry().clone(), &self.options.registry), BTreeMap::new())
    }

    /// The live deployment that a user's runs of a module go to: the newest of it, else the newest that holds it; those
    /// that were made on demand after all others, and the user's own before everybody else's. What others have is taken
    /// only where it is of this very module, unless they are the operator, and never a part of a peer's deployment.
    async fn base(
        &self,
        id: &ModuleId,
        user: &str,
        req: Option<&VersionReq>,
    ) -> Result<Option<Arc<DeploymentView>>, NodeError> {
        let live = self.store.deployments().await.map_err(NodeError::internal("read its deployments"))?;
        let fits = live.iter().filter(|live| {
            let fits = |pin: &ModulePin| pin.id == *id && req.is_none_or(|req| req.matches(&pin.version));
            let is_for_all = (live.module == *id || self.is_operator(&live.owner)) && !parts::is_part(&live.name);
            let is_for_them = live.owner == user || is_for_all;
            !is_placement(&live.name) && is_for_them && live.modules.iter().any(fits)
        });
        // The first of those that are as near: the newest.
        Ok(fits.min_by_key(|live| (live.owner != user, is_on_demand(&live.name), live.module != *id)).cloned())
    }

    /// Why the registry gives no versions.
    fn unresolved(&self, wanted: &ModuleId, error: ResolveError) -> NodeError {
        let registry = crate::registries::address(&self.options.registry);
        match error {
            ResolveError::Unknown { id, near, .. } => NodeError::NotFound {
                what: if id == *wanted {
                    format!("`{id}` is not deployed on this node, and not in its registry `{registry}`")
                } else {
                    format!("`{wanted}` names `{id}`, which is not in the registry `{registry}`")
                },
                hint: Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("publish it there, or deploy it: `napt deploy {id}`"),
                }),
            },
            error if error.kind() == Kind::Network => NodeError::Upstream(format!(
                "`{wanted}` is not deployed on this node, and its registry `{registry}` cannot be asked: {}",
                cause(&error)
            )),
            error => {
                let why = match cause(&error) {
                    why if why == error.to_string() => why,
                    why => format!("{error}: {why}"),
                };
                NodeError::NotFound { what: format!("`{wanted}` cannot be installed: {why}"), hint: error.hint() }
            }
        }
    }

    /// The node that a request names for the whole deployment is the one that is asked.
    async fn check_root(&self, given: &Deployment) -> Result<(), NodeError> {
        let Some(entry) = &given.node else { return Ok(()) };
        match self.peers.locate(entry, &self.addresses).await {
            Ok(Target::Local) => Ok(()),
            Ok(Target::Peer(short)) => {
                let url = self.peers.url(&short).map(String::from).unwrap_or(short);
                Err(NodeError::Elsewhere { url })
            }
            // A client knows this node by an address that the node itself may not know.
            Err(_) if entry.name.is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the nodes that a request names by their targets.
    async fn place_given(&self, given: &mut Deployment) -> Vec<NodeError> {
        given.for_each_node(&mut |node| {
            if node.as_ref().is_some_and(names_nothing) {
                *node = None;
            }
        });
        self.place_some(given).await
    }
}

/// Whether a live revision was made for this user because it was not there.
pub(super) fn may_renew(view: &DeploymentView, module: &ModuleId, user: &str) -> bool {
    is_on_demand(&view.name) && !is_placement(&view.name) && view.module == *module && view.owner == user
}

fn not_deployed(id: &ModuleId) -> NodeError {
    NodeError::NotFound {
        what: format!("`{id}` is not deployed on this node"),
        hint: Some(format!("deploy it first: `napt deploy {id}`")),
    }
}

/// The innermost cause.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Adds what a module's deployment names to what it calls, so that a part of it is whole on another node.
fn add_calls(id: &ModuleId, deployment: &Deployment, pins: &mut [ModulePin]) {
    let mut called = Vec::new();
    let persona = deployment.config.as_ref().and_then(|config| config.persona_module.as_ref());
    if let Some(name) = persona.and_then(|persona| persona.get("name")).and_then(|name| name.as_str())
        && let Ok(name) = name.strip_prefix("persona:").unwrap_or(name).parse()
    {
        called.push(ModuleId { module_type: ModuleType::Persona, name });
    }
    for (module_type, _, _) in SUB_DEPLOYMENTS {
        for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
            let name = element.module.as_ref().and_then(|ModuleEntry { name, .. }| name.as_deref());
            if let Some(name) = name.and_then(|name| name.parse().ok()) {
                let id = ModuleId { module_type, name };
                add_calls(&id, element, pins);
                called.push(id);
            }
        }
    }
    if let Some(pin) = pins.iter_mut().find(|pin| pin.id == *id) {
        pin.dependencies.extend(called);
        pin.dependencies.sort();
        pin.dependencies.dedup();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(value: serde_json::Value) -> Deployment {
        serde_json::from_value(value).expect("a deployment")
    }

    fn name(value: serde_json::Value) -> String {
        let owner = format!("user:{}", "a".repeat(128));
        let module = "orchestrator:x".parse().expect("an id");
        Demand { module, owner, base: None, given: given(value), newest: false }.name()
    }

    #[test]
    fn a_placement_is_known_by_its_modules_and_nodes() {
        let plain = "orchestrator:x~aaaaaaaaaaaaaaaa";
        for nothing in [
            json!({}),
            json!({ "name": "x", "module": { "name": "x" }, "agent_deployments": [], "kb_deployments": null }),
            json!({ "node": { "ip": "h" }, "config": { "max_rounds": 3 } }),
        ] {
            assert_eq!(name(nothing), plain);
        }
        let placed = |node: &str, rounds: u32| {
            name(json!({ "config": { "max_rounds": rounds }, "agent_deployments": [{ "node": { "ip": node } }] }))
        };
        assert!(placed("a", 1).starts_with(&format!("{plain}~")));
        assert_eq!(placed("a", 1), placed("a", 2), "a run's configuration is its own");
        assert_ne!(placed("a", 1), placed("b", 1));
        let version = name(json!({ "module": { "name": "x", "module_version": "v0.1" } }));
        assert!(version.starts_with(&format!("{plain}~")));
    }

    #[test]
    fn versions_as_naptha_writes_them() {
        let of = |text: &str| wanted(&given(json!({ "module": { "module_version": text } })));
        let matches = |text: &str, version: &str| {
            of(text).expect("a version").expect("one").matches(&version.parse().expect("a version"))
        };
        assert!(matches("v0.1", "0.1.7") && !matches("v0.1", "0.2.0"));
        assert!(matches("0.1.2", "0.1.2") && !matches("v0.1.2", "0.1.3"));
        assert!(matches("1", "1.4.0") && !matches("1", "2.0.0"));
        assert_eq!(of("").expect("nothing"), None);
        for bad in ["main", "v", ">=1", "*", "v1.x.y.z"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
