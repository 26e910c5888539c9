use clap::Args as ClapArgs;
use semver::Version;
use serde_json::json;

use crate::{
    context::Context,
    dependencies::{UpdateOptions, update},
    module::Workspace,
    report::{Failure, Reporter, plural},
    shell::Output,
};

/// Choose newer versions for `napt.lock`
///
/// The newest versions that fit the requirements of the manifests, which stay as they are.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt update
  napt update agent:critic --dry-run
  napt update agent:critic --precise 0.2.1")]
pub(super) struct Args {
    /// Only these modules, as `type:name`, or by a name that only one has [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Exactly this version of the one module
    #[arg(long, value_name = "VERSION")]
    precise: Option<Version>,

    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if self.precise.is_some() && self.names.len() != 1 {
            return Err(Failure::new(crate::report::Kind::Usage, "`--precise` is for one module")
                .hinted("write for example `napt update agent:critic --precise 0.2.1`"));
        }
        let workspace = Workspace::discover(&context.cwd)?;
        let registries = context.registries(self.registry.as_deref())?;
        let options = UpdateOptions {
            workspace: &workspace,
            names: &self.names,
            precise: self.precise.clone(),
            dry_run: self.dry_run,
            registries: &registries,
        };
        let updated = context.interruptible(update(&options, &context.shell))?;
        if updated.changes.is_empty() {
            context.shell.step("Unchanged", &plural(updated.locked, "module"));
        } else if self.dry_run {
            context.shell.warn("nothing was written, because of `--dry-run`");
        }
        Ok(Output::new("", json!({ "dry_run": self.dry_run, "changes": updated.changes })))
    }
}
