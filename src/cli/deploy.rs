use clap::Args as ClapArgs;
use semver::{Comparator, Op, Version, VersionReq};
use url::Url;

use super::{
    arguments::InGit,
    deployed::{data, found, merged, told},
};
use crate::{
    client::{DeployOptions, Deployed, What, deploy},
    context::Context,
    module::{GitSource, ModuleId, ModuleName, ModuleSpec, ModuleType, ProjectError, Workspace},
    report::{Failure, Kind},
    shell::Output,
};

/// Deploy a module and all that it needs on a node
///
/// A folder's modules are checked, then sent as they are on disk; what they need besides is fetched from the registry, at the
/// versions in `napt.lock`. The new revision goes live only when all of it is ready: installed, and each module really
/// imported. Runs that go on keep the revision that they have begun with. Doing it again is fine: what is live already is
/// not deployed again.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt deploy
  napt deploy ./debate --node http://127.0.0.1:7001
  napt deploy orchestrator:debate@^0.1
  napt deploy --git https://github.com/owner/hello_world_agent --tag v0.16
  napt deploy --dry-run --show-merged")]
pub(super) struct Args {
    /// A folder, or a published module as `type:name`, `type:name@version` or `type:name@requirement`; with `--git` the one
    /// of the repository that is meant [default: this folder, or the repository's only module]
    #[arg(value_name = "WHAT")]
    what: Option<String>,

    #[command(flatten)]
    in_git: InGit,

    /// Which module of a workspace [default: the one called from, else its only orchestrator]
    #[arg(long, short = 'm', value_name = "NAME")]
    module: Option<String>,

    /// What to call the deployment [default: the module's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Differences to the module's `deployment.json`, as JSON
    #[arg(long, value_name = "JSON")]
    deployment: Option<String>,

    /// Do not check the folder's modules first
    #[arg(long)]
    no_verify: bool,

    /// Fail when `napt.lock` would change
    #[arg(long)]
    locked: bool,

    /// Do everything but the last step, tell all problems at once, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Print the merged deployment as JSON, without secrets
    #[arg(long, requires = "dry_run")]
    show_merged: bool,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

/// A published module. As with `cargo install`, a whole version is that version and no newer one.
pub(super) fn published(given: &str) -> Result<ModuleSpec, Failure> {
    let mut spec: ModuleSpec = given.parse()?;
    let version = given.split_once('@').and_then(|(_, version)| version.parse::<Version>().ok());
    if let Some(Version { major, minor, patch, pre, .. }) = version {
        let exact = Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre };
        spec.req = VersionReq { comparators: vec![exact] };
    }
    Ok(spec)
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let registries = context.registries(self.registry.as_deref())?;
        let given = self.what.as_deref().unwrap_or(".");
        let folder = context.cwd.join(given);
        let source = self.in_git.source()?;
        let deployment = super::arguments::deployment_value(context, self.deployment.as_deref())?;
        // `type:name` is a module; anything else is a folder.
        let is_folder = folder.is_dir() || !given.contains([':', '@']);
        if given.contains("://") && source.is_none() {
            return Err(in_git(given));
        }
        let spec: ModuleSpec;
        let id: Option<ModuleId>;
        let workspace;
        let root;
        let mut unchecked = None;
        let what = if let Some(source) = &source {
            id = self.what.as_deref().map(str::parse).transpose()?;
            What::Git { source, id: id.as_ref() }
        } else if is_folder {
            workspace = Workspace::discover(&folder).map_err(|error| match (&error, given.parse::<ModuleName>()) {
                (ProjectError::NoFolder(_), Ok(name)) => Failure::from(error)
                    .hinted(format!("a published module is named with its type, for example `agent:{name}`")),
                _ => error.into(),
            })?;
            root = root_of(&workspace, self.module.as_deref())?;
            if !self.no_verify
                && let Err(failure) = super::check::verify_for(context, &workspace.root, || {
                    // A node that cannot say is told of when it is deployed to.
                    let secrets = context.block_on(node.secrets()).unwrap_or_default();
                    secrets.into_iter().map(|secret| secret.name).collect()
                })
            {
                let failure = failure.hinted("`--no-verify` skips this check; the node still imports each module");
                if !self.dry_run {
                    return Err(failure);
                }
                unchecked = Some(failure);
            }
            What::Project { workspace: &workspace, root: &root, locked: self.locked }
        } else {
            spec = published(given)?;
            What::Published { spec: &spec, others: &[] }
        };
        let options = DeployOptions {
            what,
            name: self.name.clone(),
            deployment,
            registries: &registries,
            archives: None,
            dry_run: self.dry_run,
        };
        let deployed = context.interruptible(deploy(&node, options, &context.shell));
        if self.dry_run {
            return self.would(context, node.url(), found(unchecked, deployed)?);
        }
        let deployed = deployed?;
        Ok(Output::new(told(&deployed, node.url()), data(&deployed, node.url(), false)))
    }

    /// What a dry run shows when nothing is wrong.
    fn would(&self, context: &Context, node: &Url, deployed: Deployed) -> Result<Output, Failure> {
        let view = &deployed.view;
        let what = format!("{} {} as `{}`, revision {}", view.module, view.version, view.name, view.revision);
        let human = match deployed.unchanged {
            true => format!("{what}, is live already on {node}; nothing would change"),
            false => format!("Would deploy {what}, on {node}; nothing has changed"),
        };
        let mut data = data(&deployed, node, true);
        if self.show_merged {
            context.shell.note(&human);
            let merged = merged(&deployed, node);
            let human = format!("{merged:#}");
            data["merged"] = merged;
            return Ok(Output::new(human, data));
        }
        Ok(Output::new(human, data))
    }
}

/// A URL where a module or a folder is expected.
fn in_git(given: &str) -> Failure {
    let (url, tag) = given.split_once('#').map_or((given, None), |(url, tag)| (url, Some(tag)));
    match GitSource::of_naptha(url, tag) {
        Ok(source) => {
            let tag = tag.map(|tag| format!(" --rev {tag}")).unwrap_or_default();
            Failure::new(Kind::Usage, format!("`{}` is a URL, not a module or a folder", source.url()))
                .hinted(format!("write `napt deploy --git {}{tag}`", source.url()))
        }
        Err(error) => error.into(),
    }
}

fn root_of(workspace: &Workspace, given: Option<&str>) -> Result<ModuleId, Failure> {
    if let Some(given) = given {
        return Ok(workspace.find(given)?.id().clone());
    }
    if let Some(current) = workspace.current() {
        return Ok(current.id().clone());
    }
    let is_orchestrator = |member: &&crate::module::Project| member.id().module_type == ModuleType::Orchestrator;
    let mut orchestrators = workspace.members.iter().filter(is_orchestrator);
    match (orchestrators.next(), orchestrators.next()) {
        (Some(only), None) => Ok(only.id().clone()),
        _ => {
            let names: Vec<String> = workspace.members.iter().map(|member| member.id().to_string()).collect();
            Err(Failure::new(Kind::Usage, "this workspace has several modules; say which one to deploy")
                .hinted(format!("use `--module` with one of {}", names.join(", "))))
        }
    }
}
