//! `napt check`

use std::path::{Path, PathBuf};

use crate::{
    check::{self, Level, Options, Report, render},
    context::Context,
    report::{Failure, Kind, Reporter, plural},
    shell::{MessageFormat, Output},
};

/// Find what is wrong with a module or a workspace
///
/// Checks manifests, configuration files and code, and shows every problem at once. In a workspace's root all members
/// are checked, in a member's folder that member. Levels of rules are set in `[lints]` of `napt.toml`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt check
  napt check modules/debate --deny-warnings
  napt check --message-format github      # in a CI workflow")]
pub(super) struct Args {
    /// Folder of a module or a workspace [default: the current one]
    path: Option<PathBuf>,

    /// Let warnings fail the check too
    #[arg(long)]
    deny_warnings: bool,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let path = self.path.as_ref().map_or_else(|| context.cwd.clone(), |path| context.cwd.join(path));
        let report = check::check(&path, Options { deny_warnings: self.deny_warnings })?;
        show(context, &report)?;
        let data = render::json(&report, &report.root);
        if report.warnings() > 0 {
            context.shell.warn(&report.summary());
        } else {
            context.shell.step("Checked", &format!("{}, no problems", plural(report.modules, "module")));
        }
        Ok(Output::new("", data))
    }
}

/// Fails when a folder has errors, after showing them; warnings are for `napt check` alone.
pub(super) fn verify(context: &Context, folder: &Path) -> Result<(), Failure> {
    let mut report = check::check(folder, Options::default())?;
    report.diagnostics.retain(|diagnostic| diagnostic.level == Level::Error);
    show(context, &report)
}

/// Shows what was found, and fails when there is an error among it.
fn show(context: &Context, report: &Report) -> Result<(), Failure> {
    match context.shell.format {
        MessageFormat::Json => {}
        _ if report.diagnostics.is_empty() => {}
        MessageFormat::Github => {
            context.shell.line(&render::github(&report.diagnostics, repository(&report.root)))?;
        }
        MessageFormat::Human => {
            let text = render::human(&report.diagnostics, &report.root) + "\n";
            if report.errors() > 0 { context.shell.problem(&text) } else { context.shell.note(&text) }
        }
    }
    if report.errors() > 0 {
        let data = render::json(report, &report.root);
        return Err(Failure::new(Kind::Check, report.summary()).with_data(data));
    }
    Ok(())
}

/// The folder of the repository that `root` is in, which GitHub's paths are relative to.
fn repository(root: &Path) -> &Path {
    root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(root)
}
