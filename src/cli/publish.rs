use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    context::Context,
    module::Workspace,
    publish::{self, Mode, Options, Outcome, Selection},
    report::Failure,
    shell::Output,
};

/// Publish a module, or all of a workspace, to a registry
///
/// Packs, checks everything that could stand in the way, uploads, and waits until the index shows the new version.
/// Running it again does no harm: what is there with the same bytes is skipped.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt publish
  napt publish --workspace --dry-run
  napt publish --registry https://registry.example")]
pub(super) struct Args {
    /// Do everything but the upload, and show all problems
    #[arg(long)]
    dry_run: bool,

    /// Publish all modules of the workspace, in the order of their dependencies
    #[arg(long)]
    workspace: bool,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let registry = context.registry(self.registry.as_deref())?.value;
        let client = context.registry_client(self.registry.as_deref())?;
        let options = Options {
            workspace: &workspace,
            selection: if self.workspace { Selection::Workspace } else { Selection::Current },
            mode: if self.dry_run { Mode::DryRun } else { Mode::Upload },
            client: &client,
            registry: &registry,
        };
        let modules = context.interruptible(publish::publish(&options, &context.shell))?;
        let lines = modules.iter().map(|module| {
            let outcome = match module.outcome {
                Outcome::Published => "published",
                Outcome::AlreadyPublished => "already published",
                Outcome::WouldPublish => "would be published",
            };
            format!("{}@{}: {outcome}", module.id, module.version)
        });
        let human = lines.collect::<Vec<_>>().join("\n");
        Ok(Output::new(human, json!({ "registry": registry, "dry_run": self.dry_run, "modules": modules })))
    }
}
