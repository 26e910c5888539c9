use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use super::arguments::{InGit, hinted};
use crate::{
    context::Context,
    dependencies::{DependencyError, NewEntry, add, is_outdated},
    module::{MANIFEST_FILE, ModuleSpec, Project, Workspace},
    registries::Registries,
    report::{Failure, Kind, Reporter},
    resolve::LOCK_FILE,
    shell::Output,
};

/// Add a dependency to a module's `napt.toml`
///
/// Without a requirement the newest version and what is compatible with it. The file keeps its order and its comments.
/// `napt.lock` follows with the next command that resolves: with `--locked`, that command fails instead.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt add agent:critic
  napt add kb:facts@^1.2 --registry internal
  napt add --path ../taster --module debate
  napt add --git https://github.com/owner/hello_world_agent --tag v0.16")]
pub(super) struct Args {
    /// The module, as `type:name` or `type:name@requirement`
    #[arg(value_name = "TYPE:NAME[@REQ]", value_parser = hinted::<ModuleSpec>, required_unless_present_any = ["path", "git"])]
    spec: Option<ModuleSpec>,

    /// The folder that it is in
    #[arg(long, value_name = "DIR", conflicts_with_all = ["registry", "git"])]
    path: Option<PathBuf>,

    #[command(flatten)]
    in_git: InGit,

    /// The name of the registry that it is in [default: the default one]
    #[arg(long, value_name = "NAME", conflicts_with = "git")]
    registry: Option<String>,

    /// Which module of the workspace gets it [default: the one called from]
    #[arg(long, short = 'm', value_name = "NAME")]
    module: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let project = member(&workspace, self.module.as_deref())?;
        let registries = context.registries(None)?;
        let new = match (self.in_git.source()?, &self.path, &self.spec) {
            (Some(source), _, spec) => NewEntry::Git { source, spec: spec.clone() },
            (None, Some(path), spec) => NewEntry::Folder { path: context.cwd.join(path), spec: spec.clone() },
            (None, None, Some(spec)) => NewEntry::Published { spec: spec.clone(), registry: self.name(&registries)? },
            (None, None, None) => return Err(Failure::new(Kind::Usage, "say which module to add")),
        };
        let added = context.interruptible(add(project, new, &registries, &context.shell))?;
        let manifest = project.root.join(MANIFEST_FILE);
        let version = added.version.clone().unwrap_or_else(|| added.newest.to_string());
        let from = added.path.clone().or_else(|| added.git.as_ref().map(ToString::to_string));
        let from = from.map(|from| format!(" (`{from}`)")).unwrap_or_default();
        context.shell.step("Adding", &format!("{} {version}{from} to {}", added.id, project.id()));
        if !added.changed {
            context.shell.note(&format!("It was in `{}` already", manifest.display()));
        }
        tell_of_lock(context, &workspace, &registries);
        Ok(Output::new("", json!({ "module": project.id(), "manifest": manifest, "dependency": added })))
    }

    /// The registry as the manifest can name it.
    fn name(&self, registries: &Registries) -> Result<Option<String>, DependencyError> {
        let Some(given) = &self.registry else { return Ok(None) };
        if given.contains("://") {
            let address = given.trim_end_matches('/');
            let name = registries.name_of(address).map(str::to_owned);
            return name.map(Some).ok_or_else(|| DependencyError::Unnamed(crate::secrets::redact(given)));
        }
        Ok(Some(given.clone()))
    }
}

/// Says what becomes of a `napt.lock` that does not fit the changed manifest.
pub(super) fn tell_of_lock(context: &Context, workspace: &Workspace, registries: &Registries) {
    // What is wrong with other files is told by the command that needs them.
    if is_outdated(&workspace.root, registries).unwrap_or_default() {
        context.shell.note(&format!(
            "`{LOCK_FILE}` will follow with the next command that resolves, for example `napt fetch`; commit it then"
        ));
    }
}

/// The member that is named, else the one that the command was called in.
pub(super) fn member<'w>(workspace: &'w Workspace, name: Option<&str>) -> Result<&'w Project, Failure> {
    if let Some(name) = name {
        return Ok(workspace.find(name)?);
    }
    workspace.current().ok_or_else(|| {
        let names: Vec<String> = workspace.members.iter().map(|member| member.id().to_string()).collect();
        Failure::new(Kind::Usage, "this workspace has several modules; say which one is meant")
            .hinted(format!("use `--module` with one of {}", names.join(", ")))
    })
}
