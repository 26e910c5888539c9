use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use crate::{
    context::Context,
    module::{Project, Publish, Workspace},
    package::Changes,
    publish::{self, Mode, Options, Outcome, Progress, PublishedModule, Selection},
    report::Failure,
    shell::Output,
};

/// Publish a module, or all of a workspace, to a registry
///
/// Checks and packs, looks for everything that could stand in the way, uploads, and waits until the index shows the new
/// version. Running it again does no harm: what is there with the same bytes is skipped.
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

    /// Publish files with changes that are not committed
    #[arg(long)]
    allow_dirty: bool,

    /// Do not check the modules, nor whether the archives hold all that they need
    #[arg(long)]
    no_verify: bool,

    /// How long to wait until the index shows a new version
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// The registry's URL or name [default: the only one that `publish` in `napt.toml` names, else the default one]
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let selection = if self.workspace { Selection::Workspace } else { Selection::Current };
        let projects: Vec<&Project> = match selection {
            Selection::Current => workspace.current().into_iter().collect(),
            Selection::Workspace => workspace.members.iter().collect(),
        };
        let named = self.registry.clone().or(only_registry(context, &projects)?);
        let registry = context.registry(named.as_deref())?.value;
        let client = context.registry_client(named.as_deref())?;
        let registries = context.registries(named.as_deref())?;
        if !self.no_verify {
            super::package::verify(context, &workspace, &projects, "publish")?;
        }
        let options = Options {
            workspace: &workspace,
            selection,
            mode: if self.dry_run { Mode::DryRun } else { Mode::Upload },
            client: &client,
            registry: &registry,
            registries: &registries,
            changes: if self.allow_dirty { Changes::Allowed } else { Changes::Refused },
            verify: !self.no_verify,
            visible_within: Duration::from_secs(self.timeout),
        };
        let progress = Progress::default();
        let data =
            |modules: &[PublishedModule]| json!({ "registry": registry, "dry_run": self.dry_run, "modules": modules });
        match context.interruptible(publish::publish(&options, &progress, &context.shell)) {
            Ok(modules) => Ok(Output::new(lines(&modules), data(&modules))),
            Err(failure) => {
                let modules = progress.modules();
                // Nothing has begun, or there is nothing else to tell.
                if modules.is_empty() {
                    return Err(failure);
                }
                Err(failure.with_data(data(&modules)).hinted(format!("what became of each:\n{}", lines(&modules))))
            }
        }
    }
}

fn lines(modules: &[PublishedModule]) -> String {
    let line = |module: &PublishedModule| {
        let outcome = match module.outcome {
            Outcome::Published => "published",
            Outcome::AlreadyPublished => "already published",
            Outcome::WouldPublish => "would be published",
            Outcome::Accepted => "accepted, but not seen in the index",
            Outcome::Unknown => "sent, but whether it was accepted is not known",
            Outcome::NotPublished => "not published",
        };
        format!("{}@{}: {outcome}", module.id, module.version)
    };
    modules.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The registry that is the only one for all of these modules, by a name that is configured.
fn only_registry(context: &Context, projects: &[&Project]) -> Result<Option<String>, Failure> {
    let lists =
        projects.iter().map(|project| &project.manifest.publish).filter(|publish| **publish != Publish::Nowhere);
    let mut lists: Vec<&Publish> = lists.collect();
    lists.dedup();
    let [Publish::Only(names)] = lists.as_slice() else { return Ok(None) };
    let [name] = names.as_slice() else { return Ok(None) };
    Ok(context.registry_names().contains_key(name).then(|| name.clone()))
}
