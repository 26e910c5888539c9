use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    context::Context,
    dependencies::{TreeOptions, tree},
    module::Workspace,
    report::Failure,
    shell::Output,
};

/// Show which modules need which, at the versions of `napt.lock`
///
/// What was shown before is marked `(*)`, without what it needs.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt tree
  napt tree orchestrator:debate --depth 1
  napt tree --invert kb:facts             # who needs it")]
pub(super) struct Args {
    /// Only what this module needs [default: the one called from, else all of the workspace]
    #[arg(value_name = "MODULE")]
    module: Option<String>,

    /// Show who needs this module, and who needs those
    #[arg(long, short, value_name = "NAME", conflicts_with = "module")]
    invert: Option<String>,

    /// How many levels to show below the first
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let registries = context.registries(None)?;
        let options = TreeOptions {
            workspace: &workspace,
            module: self.module.as_deref(),
            invert: self.invert.as_deref(),
            depth: self.depth,
            registries: &registries,
        };
        let tree = context.interruptible(tree(&options))?;
        let human = tree.draw(registries.default_registry().address());
        Ok(Output::new(human, json!({ "modules": tree })))
    }
}
