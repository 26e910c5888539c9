use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    context::Context,
    dependencies,
    module::Workspace,
    report::{Failure, Reporter},
    shell::Output,
};

/// Take dependencies out of a module's `napt.toml`
///
/// `napt.lock` follows with the next command that resolves: with `--locked`, that command fails instead.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt remove agent:critic
  napt remove critic facts --module debate")]
pub(super) struct Args {
    /// The dependencies, as `type:name`, or by a name that only one of them has
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// Which module of the workspace needs them no more [default: the one called from]
    #[arg(long, short = 'm', value_name = "NAME")]
    module: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let project = super::add::member(&workspace, self.module.as_deref())?;
        let removed = dependencies::remove(project, &self.names)?;
        for id in &removed {
            context.shell.step("Removing", &format!("{id} from {}", project.id()));
        }
        super::add::tell_of_lock(context, &workspace, &context.registries(None)?);
        Ok(Output::new("", json!({ "module": project.id(), "removed": removed })))
    }
}
