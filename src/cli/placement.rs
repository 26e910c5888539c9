//! Naptha's lists of modules and nodes: `--agent_modules "a,b" --agent_nodes "x,y"`, as sub-deployments.

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::arguments::{config_value, deployment_value};
use crate::{
    config::{Deployment, DeploymentConfig, ModuleEntry, NodeEntry, merge},
    context::Context,
    module::{ModuleId, ModuleType},
    report::{Failure, Kind, plural},
};

/// What differs from the deployed configuration.
#[derive(Debug, ClapArgs)]
pub(super) struct Given {
    /// Differences to the deployed configuration, as JSON
    #[arg(long, value_name = "JSON")]
    deployment: Option<String>,

    /// The module's settings: `key=value` pairs, or a JSON object; over those of `--deployment`
    #[arg(long, short, value_name = "CONFIG")]
    config: Option<String>,

    #[command(flatten)]
    nodes: Nodes,
}

impl Given {
    /// All of it as one deployment; nothing when nothing was given.
    pub(super) fn deployment(&self, context: &Context) -> Result<Option<Deployment>, Failure> {
        let given = deployment_value(context, self.deployment.as_deref())?;
        let is_given = given.is_some() || self.config.is_some();
        let mut deployment = given.unwrap_or_default();
        if let Some(text) = &self.config {
            set_config(&mut deployment, config_value(context, text)?)?;
        }
        let placed = self.nodes.place(&mut deployment);
        Ok((is_given || placed).then_some(deployment))
    }
}

/// Puts settings over those of a deployment.
pub(super) fn set_config(deployment: &mut Deployment, config: DeploymentConfig) -> Result<(), Failure> {
    let merged = merge(&json!(config), &json!(deployment.config));
    deployment.config = serde_json::from_value(merged).map_err(anyhow::Error::new)?;
    Ok(())
}

/// On which nodes sub-deployments run.
///
/// Naptha's spellings, with `_` instead of `-`, are the same options, and so are its letters.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Nodes")]
pub(super) struct Nodes {
    /// Nodes of its agents, separated by commas; the last one is for all that follow
    #[arg(long, alias = "agent_nodes", short_alias = 'n', value_name = "NODES", value_delimiter = ',', value_parser = node)]
    agent_nodes: Vec<String>,

    /// Nodes of its tools
    #[arg(long, alias = "tool_nodes", short_alias = 't', value_name = "NODES", value_delimiter = ',', value_parser = node)]
    tool_nodes: Vec<String>,

    /// Nodes of its environments
    #[arg(long, alias = "environment_nodes", short_alias = 'e', value_name = "NODES", value_delimiter = ',', value_parser = node)]
    environment_nodes: Vec<String>,

    /// Nodes of its knowledge bases
    #[arg(long, alias = "kb_nodes", short_alias = 'k', value_name = "NODES", value_delimiter = ',', value_parser = node)]
    kb_nodes: Vec<String>,

    /// Nodes of its memories
    #[arg(long, alias = "memory_nodes", short_alias = 'm', value_name = "NODES", value_delimiter = ',', value_parser = node)]
    memory_nodes: Vec<String>,
}

impl Nodes {
    fn of(&self, module_type: ModuleType) -> &[String] {
        match module_type {
            ModuleType::Agent => &self.agent_nodes,
            ModuleType::Tool => &self.tool_nodes,
            ModuleType::Environment => &self.environment_nodes,
            ModuleType::Kb => &self.kb_nodes,
            ModuleType::Memory => &self.memory_nodes,
            ModuleType::Orchestrator | ModuleType::Persona => &[],
        }
    }

    /// Gives each sub-deployment its node: as many as there are nodes, and those that are there already. Whether any was
    /// given.
    pub(super) fn place(&self, deployment: &mut Deployment) -> bool {
        let mut placed = false;
        for module_type in ModuleType::ALL {
            let (Some(slot), [.., last]) = (deployment.subs_mut(module_type), self.of(module_type)) else { continue };
            let nodes = self.of(module_type);
            let list = slot.get_or_insert_default();
            list.resize(list.len().max(nodes.len()), Deployment::default());
            for (element, node) in list.iter_mut().zip(nodes.iter().chain(std::iter::repeat(last))) {
                // As Naptha's clients send it, whatever it is: a name, an id, an address or a URL.
                element.node = Some(NodeEntry { ip: Some(node.clone()), ..NodeEntry::default() });
            }
            placed = true;
        }
        placed
    }
}

/// Of which modules sub-deployments are.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Modules")]
pub(super) struct Modules {
    /// Its agents, separated by commas
    #[arg(long, alias = "agent_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Agent, text))]
    agent_modules: Vec<ModuleId>,

    /// Its tools
    #[arg(long, alias = "tool_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Tool, text))]
    tool_modules: Vec<ModuleId>,

    /// Its environments
    #[arg(long, alias = "environment_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Environment, text))]
    environment_modules: Vec<ModuleId>,

    /// Its knowledge bases
    #[arg(long, alias = "kb_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Kb, text))]
    kb_modules: Vec<ModuleId>,

    /// Its memories
    #[arg(long, alias = "memory_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Memory, text))]
    memory_modules: Vec<ModuleId>,

    /// The persona of the agent, or those of its agents in their order
    #[arg(long, alias = "persona_modules", value_name = "MODULES", value_delimiter = ',',
        value_parser = |text: &str| module(ModuleType::Persona, text))]
    persona_modules: Vec<ModuleId>,
}

impl Modules {
    fn of(&self, module_type: ModuleType) -> &[ModuleId] {
        match module_type {
            ModuleType::Agent => &self.agent_modules,
            ModuleType::Tool => &self.tool_modules,
            ModuleType::Environment => &self.environment_modules,
            ModuleType::Kb => &self.kb_modules,
            ModuleType::Memory => &self.memory_modules,
            ModuleType::Persona => &self.persona_modules,
            ModuleType::Orchestrator => &[],
        }
    }

    /// Every module that is named, once.
    pub(super) fn all(&self) -> Vec<ModuleId> {
        let mut all: Vec<ModuleId> = ModuleType::ALL.iter().flat_map(|kind| self.of(*kind)).cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What is to be deployed of the module `root`: these modules on these nodes.
    pub(super) fn deployment(&self, root: ModuleType, nodes: &Nodes) -> Result<Deployment, Failure> {
        let mut deployment = Deployment::default();
        for module_type in ModuleType::ALL {
            let (modules, count) = (self.of(module_type), nodes.of(module_type).len());
            let Some(slot) = deployment.subs_mut(module_type).filter(|_| !modules.is_empty()) else { continue };
            if count > modules.len() {
                return Err(too_many(&format!("`--{module_type}-nodes`"), &plural(count, "node"), modules.len())
                    .hinted("name a module for each node; one may be named twice"));
            }
            let element = |id: &ModuleId| {
                let module = ModuleEntry { name: Some(id.to_string()), ..ModuleEntry::default() };
                Deployment { module: Some(module), ..Deployment::default() }
            };
            *slot = Some(modules.iter().map(element).collect());
        }
        nodes.place(&mut deployment);
        self.give_personas(root, &mut deployment)?;
        Ok(deployment)
    }

    fn give_personas(&self, root: ModuleType, deployment: &mut Deployment) -> Result<(), Failure> {
        let personas = &self.persona_modules;
        let named = |id: &ModuleId| Some(Map::from_iter([("name".to_owned(), Value::String(id.to_string()))]));
        match (root, personas.as_slice()) {
            (_, []) => {}
            (ModuleType::Agent, [persona]) => {
                deployment.config.get_or_insert_default().persona_module = named(persona);
            }
            (ModuleType::Agent, _) => {
                return Err(too_many("`--persona-modules`", &plural(personas.len(), "persona"), 1));
            }
            _ => {
                let agents = deployment.agent_deployments.get_or_insert_default();
                if !agents.is_empty() && personas.len() > agents.len() {
                    return Err(too_many("`--persona-modules`", &plural(personas.len(), "persona"), agents.len()));
                }
                agents.resize(agents.len().max(personas.len()), Deployment::default());
                for (agent, persona) in agents.iter_mut().zip(personas) {
                    agent.config.get_or_insert_default().persona_module = named(persona);
                }
            }
        }
        Ok(())
    }
}

fn too_many(flag: &str, what: &str, modules: usize) -> Failure {
    Failure::new(Kind::Usage, format!("{flag} has {what} for {}", plural(modules, "module")))
}

/// One node of a list.
fn node(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an element of the list is empty; write for example `one.example,two.example`".to_owned()),
        node => Ok(node.to_owned()),
    }
}

/// One module of a list, whose type goes without saying.
fn module(module_type: ModuleType, text: &str) -> Result<ModuleId, String> {
    let text = text.trim();
    let full = if text.contains(':') { text.to_owned() } else { format!("{module_type}:{text}") };
    match super::arguments::hinted::<ModuleId>(&full)? {
        id if id.module_type == module_type => Ok(id),
        _ => Err(format!("it is not of the type `{module_type}`; each type has an option of its own")),
    }
}
