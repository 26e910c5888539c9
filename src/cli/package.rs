//! `napt package`.

use serde_json::json;

use crate::{
    context::Context,
    module::{HostPattern, Project, ProjectError, Workspace},
    package::{self, Changes, Limits, PackedFile},
    report::{Failure, Reporter, plural},
    shell::Output,
};

/// How many of an archive's files are told by their size.
const LARGEST: usize = 3;

/// Make the archive of each module, as it would be published
///
/// In a git repository only what is committed. The modules are checked first, and the archives unpacked once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt package                  # every module of the workspace, to target/package/
  napt package --module debate  # one of them
  napt package --allow-dirty    # with changes that are not committed
  napt package --list           # what would be in the archives")]
pub(super) struct Args {
    /// Package only this module; may be given more than once
    #[arg(long, short = 'p', value_name = "NAME")]
    module: Vec<String>,

    /// Print which files would be packaged, and make no archive
    #[arg(long, short)]
    list: bool,

    /// Package files with changes that are not committed
    #[arg(long)]
    allow_dirty: bool,

    /// Do not check the modules, nor whether the archives hold all that they need
    #[arg(long)]
    no_verify: bool,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let workspace = Workspace::discover(&context.cwd)?;
        let projects = self.projects(&workspace)?;
        if self.list {
            return list(&projects);
        }
        if !self.no_verify {
            verify(context, &workspace, &projects, "package")?;
        }
        context.interruptible(async { self.pack(&workspace, &projects, context) })
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

/// Fails when a module has errors; `verb` is what is not done then.
pub(super) fn verify(
    context: &Context,
    workspace: &Workspace,
    projects: &[&Project],
    verb: &str,
) -> Result<(), Failure> {
    let hint = format!("`--no-verify` would {verb} it all the same");
    let check = |folder| super::check::verify(context, folder).map_err(|failure| failure.hinted(&hint));
    // All problems at once.
    if projects.len() == workspace.members.len() {
        return check(&workspace.root);
    }
    projects.iter().try_for_each(|project| check(&project.root))
}

impl Args {
    fn pack(&self, workspace: &Workspace, projects: &[&Project], context: &Context) -> Result<Output, Failure> {
        let changes = if self.allow_dirty { Changes::Allowed } else { Changes::Refused };
        let mut lines = Vec::new();
        let mut archives = Vec::new();
        for project in projects {
            let into = package::destination(workspace, project);
            let failed = |error| Failure::from(error).context(format!("cannot package `{}`", project.id()));
            let packed = package::pack_with(project, &into, changes, &context.shell).map_err(failed)?;
            if !self.no_verify {
                package::verify(&packed, &context.shell).map_err(|error| {
                    // It is of no use; what cannot be removed is replaced the next time.
                    let _ = fs_err::remove_file(&packed.path);
                    failed(error)
                })?;
            }
            let mut largest: Vec<&PackedFile> = packed.files.iter().collect();
            largest.sort_by_key(|file| std::cmp::Reverse(file.size));
            largest.truncate(LARGEST);
            let named = largest.iter().map(|file| format!("{} ({})", file.path, size(file.size)));
            context.shell.step("Largest", &named.collect::<Vec<_>>().join(", "));
            let hosts = &packed.manifest.permissions.hosts;
            if !hosts.is_empty() {
                let names: Vec<String> = hosts.iter().map(HostPattern::to_string).collect();
                context.shell.step("Hosts", &format!("it may reach {}", names.join(", ")));
            }
            let shown = packed.path.strip_prefix(&context.cwd).unwrap_or(&packed.path).display();
            let files = plural(packed.files.len(), "file");
            lines.push(format!("{shown}  {}  {files}  sha256:{}", size(packed.size), packed.sha256));
            archives.push(json!({
                "module": packed.manifest.id,
                "version": packed.manifest.version,
                "path": packed.path,
                "sha256": packed.sha256,
                "size": packed.size,
                "unpacked": packed.unpacked,
                "files": packed.files,
                "largest": largest,
                "allowed_secrets": packed.allowed_secrets,
                "hosts": hosts,
            }));
        }
        let limits = Limits::default();
        let limits = json!({ "size": limits.packed, "unpacked": limits.unpacked, "files": limits.files });
        Ok(Output::new(lines.join("\n"), json!({ "archives": archives, "limits": limits })))
    }
}

fn size(bytes: u64) -> impl std::fmt::Display {
    bytesize::ByteSize::b(bytes).display().iec()
}
