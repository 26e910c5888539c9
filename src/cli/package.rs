//! `napt package`.

use serde_json::json;

use crate::{
    context::Context,
    module::{Project, ProjectError, Workspace},
    package,
    report::{Failure, plural},
    shell::Output,
};

/// Make the archive of each module, as it would be published
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt package                  every module of the workspace, to target/package/
  napt package --module debate  one of them
  napt package --list           what would be in the archives")]
pub(super) struct Args {
    /// Package only this module; may be given more than once
    #[arg(long, short = 'p', value_name = "NAME")]
    module: Vec<String>,

    /// Print which files would be packaged, and make no archive
    #[arg(long, short)]
    list: bool,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let projects = self.projects(&workspace)?;
        if self.list { list(&projects) } else { context.interruptible(async { pack(&workspace, &projects, context) }) }
    }

    /// The modules named; else the one that the command was called in; else all.
    fn projects<'w>(&self, workspace: &'w Workspace) -> Result<Vec<&'w Project>, ProjectError> {
        if !self.module.is_empty() {
            return self.module.iter().map(|name| workspace.find(name)).collect();
        }
        match workspace.current() {
            Some(project) if project.root != workspace.root => Ok(vec![project]),
            _ => Ok(workspace.members.iter().collect()),
        }
    }
}

fn list(projects: &[&Project]) -> Result<Output, Failure> {
    let mut blocks = Vec::new();
    let mut modules = Vec::new();
    for project in projects {
        let files = package::list(project)?;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let heading = if projects.len() > 1 { format!("{}:\n", project.id()) } else { String::new() };
        blocks.push(format!("{heading}{}", paths.join("\n")));
        modules.push(json!({ "module": project.id(), "version": project.manifest.version, "files": files }));
    }
    Ok(Output::new(blocks.join("\n\n"), json!({ "modules": modules })))
}

fn pack(workspace: &Workspace, projects: &[&Project], context: &Context) -> Result<Output, Failure> {
    let mut lines = Vec::new();
    let mut archives = Vec::new();
    for project in projects {
        let into = package::destination(workspace, project);
        let packed = package::pack(project, &into, &context.shell)
            .map_err(|error| Failure::from(error).context(format!("cannot package `{}`", project.id())))?;
        let shown = packed.path.strip_prefix(&context.cwd).unwrap_or(&packed.path).display();
        lines.push(format!(
            "{shown}  {}  {}  sha256:{}",
            bytesize::ByteSize::b(packed.size).display().iec(),
            plural(packed.files.len(), "file"),
            packed.sha256
        ));
        archives.push(json!({
            "module": packed.manifest.id,
            "version": packed.manifest.version,
            "path": packed.path,
            "sha256": packed.sha256,
            "size": packed.size,
            "unpacked": packed.unpacked,
            "files": packed.files,
        }));
    }
    Ok(Output::new(lines.join("\n"), json!({ "archives": archives })))
}
