use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::{
    context::Context,
    dependencies::fetch,
    module::Workspace,
    report::{Failure, Reporter, plural},
    shell::Output,
};

/// Download all modules that a workspace needs, for `--offline`
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt fetch
  napt fetch --locked
  napt deploy --offline")]
pub(super) struct Args {
    /// Fail when `napt.lock` would change
    #[arg(long)]
    locked: bool,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let registries = context.registries(self.registry.as_deref())?;
        let fetched = context.interruptible(fetch(&workspace, &registries, self.locked, &context.shell))?;
        context.shell.step("Fetched", &plural(fetched.len(), "module"));
        let modules: Vec<Value> = fetched
            .iter()
            .map(|(id, version, path)| json!({ "module": id, "version": version, "path": path }))
            .collect();
        Ok(Output::new("", json!({ "modules": modules })))
    }
}
