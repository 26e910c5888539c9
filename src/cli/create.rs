use clap::Args as ClapArgs;

use super::{
    arguments::config_value,
    deployed::{data, told},
    placement::{Modules, Nodes, set_config},
};
use crate::{
    client::{DeployOptions, What, deploy},
    context::Context,
    report::Failure,
    shell::Output,
};

/// Deploy a published module with the modules and on the nodes that you name
///
/// As `napt deploy TYPE:NAME`, in Naptha's words: what is named is fetched from the registry and deployed on the node, without
/// being run. What is not named is as in the module's own files.
///
/// A list has commas between its elements. Fewer nodes than modules: the last node is for all that follow. Naptha's
/// spellings, with `_` instead of `-`, are the same options.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt create agent:hello_world_agent
  napt create orchestrator:chat --agent_modules \"a,b\" --agent_nodes \"one.example,two.example\"
  napt create orchestrator:chat --kb_nodes one.example --config max_rounds=2")]
pub(super) struct Args {
    /// The module, as `type:name`, `type:name@version` or `type:name@requirement`; without a type an agent
    #[arg(value_name = "TYPE:NAME")]
    module: String,

    /// What to call the deployment [default: the module's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The module's settings: `key=value` pairs, or a JSON object
    #[arg(long, short, value_name = "CONFIG")]
    config: Option<String>,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,

    #[command(flatten)]
    modules: Modules,

    #[command(flatten)]
    nodes: Nodes,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let spec = super::deploy::published(&self.module)?;
        let others = self.modules.all();
        let mut deployment = self.modules.deployment(spec.id.module_type, &self.nodes)?;
        if let Some(text) = &self.config {
            set_config(&mut deployment, config_value(context, text)?)?;
        }
        let node = super::nodes::client(context, self.node.as_deref())?;
        let registries = context.registries(self.registry.as_deref())?;
        let options = DeployOptions {
            what: What::Published { spec: &spec, others: &others },
            name: self.name.clone(),
            deployment: Some(deployment),
            registries: &registries,
            archives: None,
            dry_run: false,
        };
        let deployed = context.interruptible(deploy(&node, options, &context.shell))?;
        Ok(Output::new(told(&deployed, node.url()), data(&deployed, node.url(), false)))
    }
}
