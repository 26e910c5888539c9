//! `napt check`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde_json::json;

use super::arguments::hinted;
use crate::{
    check::{self, Diagnostic, Fixed, Level, Options, Report, Rule, render, render::Format},
    context::Context,
    files,
    module::LintLevel,
    report::{Failure, Kind, Reporter, did_you_mean, plural},
    shell::{MessageFormat, Output},
};

/// Find what is wrong with a module or a workspace
///
/// Checks manifests, configuration files and code, and shows every problem at once. In a workspace's root all members
/// are checked, in a member's folder that member. Levels of rules are set in `[lints]` of `napt.toml`; `napt explain`
/// lists the rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt check
  napt check --fix
  napt check modules/debate -D warnings -A missing-readme
  napt check --report sarif=napt.sarif --report github      # in a CI workflow")]
pub(super) struct Args {
    /// Folder of a module or a workspace [default: the current one]
    path: Option<PathBuf>,

    /// Mend what can be mended for certain
    #[arg(long)]
    fix: bool,

    /// Let `--fix` change files that git does not have as they are
    #[arg(long, requires = "fix")]
    allow_dirty: bool,

    /// Write the findings as human, json, sarif or github: to a file, or to stdout. May be given several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    report: Vec<ReportTo>,

    /// Silence a rule
    #[arg(long, short = 'A', value_name = "RULE", value_parser = hinted::<&'static Rule>)]
    allow: Vec<&'static Rule>,

    /// Make a rule's findings warnings
    #[arg(long, short = 'W', value_name = "RULE", value_parser = hinted::<&'static Rule>)]
    warn: Vec<&'static Rule>,

    /// Make a rule's findings errors; `warnings` stands for all that would be warnings
    #[arg(long, short = 'D', value_name = "RULE", value_parser = denied)]
    deny: Vec<Denied>,

    /// Let warnings fail the check too
    #[arg(long)]
    deny_warnings: bool,
}

/// What `--deny` names.
#[derive(Debug, Clone, Copy)]
enum Denied {
    Rule(&'static Rule),
    Warnings,
}

fn denied(text: &str) -> Result<Denied, String> {
    if text == "warnings" { Ok(Denied::Warnings) } else { hinted(text).map(Denied::Rule) }
}

/// `FORMAT[=FILE]`
#[derive(Debug, Clone)]
struct ReportTo {
    format: Format,
    file: Option<PathBuf>,
}

impl FromStr for ReportTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
        if file == Some("") {
            return Err(format!("write a file's name after `{name}=`, or leave out `=` for stdout"));
        }
        let names = Format::ALL.map(|(name, _)| name);
        match Format::ALL.into_iter().find(|(known, _)| *known == name) {
            Some((_, format)) => Ok(ReportTo { format, file: file.map(PathBuf::from) }),
            None => Err(match did_you_mean(name, names) {
                Some(near) => format!("there is no format `{name}`\n\n  tip: did you mean `{near}`?"),
                None => format!("there is no format `{name}`\n\n  tip: the formats are {}", names.join(", ")),
            }),
        }
    }
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let stdout = self.stdout(context)?;
        let options = self.options(context)?;
        let path = self.path.as_ref().map_or_else(|| context.cwd.clone(), |path| context.cwd.join(path));
        let Fixed { mended, report } = match self.fix {
            true => check::fix(&path, &options, self.allow_dirty)?,
            false => Fixed { mended: Vec::new(), report: check::check(&path, &options)? },
        };
        for mended in &mended {
            context.shell.step("Fixed", &format!("`{}`: {} ({})", mended.file, mended.message, mended.rule));
        }
        for file in &report.environment {
            context.shell.detail(&format!("names of variables are from `{}`", file.display()));
        }
        for to in &self.report {
            if let Some(file) = &to.file {
                let text = anstream::adapter::strip_str(&to.format.text(&report)).to_string() + "\n";
                files::write(&context.cwd.join(file), text.as_bytes())?;
            }
        }
        let mut data = render::json(&report, &report.root);
        data["fixed"] = json!(mended);
        show(context, &report, stdout).map_err(|failure| {
            let fixable = report.fixable();
            let failure = failure.with_data(data.clone());
            if fixable == 0 || self.fix { failure } else { failure.hinted(hint(fixable)) }
        })?;
        if report.warnings() > 0 {
            context.shell.warn(&report.summary());
        } else {
            context.shell.step("Checked", &format!("{}, no problems", plural(report.modules, "module")));
        }
        Ok(Output::new("", data))
    }

    /// The levels of the command line, and what rules need to know of the surroundings.
    fn options(&self, context: &Context) -> Result<Options, Failure> {
        let mut levels = BTreeMap::new();
        let denied = self.deny.iter().filter_map(|denied| match denied {
            Denied::Rule(rule) => Some(*rule),
            Denied::Warnings => None,
        });
        let given = self.allow.iter().map(|rule| (*rule, LintLevel::Allow));
        let given = given.chain(self.warn.iter().map(|rule| (*rule, LintLevel::Warn)));
        for (rule, level) in given.chain(denied.map(|rule| (rule, LintLevel::Deny))) {
            if levels.insert(rule.name.to_owned(), level).is_some_and(|other| other != level) {
                return Err(Failure::new(Kind::Usage, format!("`{}` is given two levels", rule.name)));
            }
        }
        let all = self.deny_warnings || self.deny.iter().any(|denied| matches!(denied, Denied::Warnings));
        Ok(Options { levels, deny_warnings: all, variables: context.env.variables.clone() })
    }

    /// The report that goes to stdout, which takes the place of what would be shown.
    fn stdout(&self, context: &Context) -> Result<Option<Format>, Failure> {
        let format = match context.shell.format {
            MessageFormat::Human | MessageFormat::Json => None,
            MessageFormat::Github => Some(Format::Github),
        };
        let taken = context.shell.format != MessageFormat::Human;
        let reports: Vec<&ReportTo> = self.report.iter().filter(|report| report.file.is_none()).collect();
        match reports.as_slice() {
            [] => Ok(format),
            [report] if !taken => Ok(Some(report.format)),
            _ => Err(Failure::new(Kind::Usage, "only one report can go to stdout")
                .hinted("give the others a file, as in `--report sarif=napt.sarif`")),
        }
    }
}

fn hint(fixable: usize) -> String {
    format!("`napt check --fix` can mend {fixable} of them")
}

/// Fails when a folder has errors, after showing them; warnings are for `napt check` alone.
pub(super) fn verify(context: &Context, folder: &Path) -> Result<(), Failure> {
    let options = Options { variables: context.env.variables.clone(), ..Options::default() };
    let mut report = check::check(folder, &options)?;
    report.diagnostics.retain(|diagnostic| diagnostic.level == Level::Error);
    let stdout = (context.shell.format == MessageFormat::Github).then_some(Format::Github);
    show(context, &report, stdout)
}

/// The rule that tells of variables that nobody has set.
const MISSING_VARIABLE: &str = "missing-variable";

/// The same before a module goes to a node, of which it is also told which variables nobody has set. Those that the user
/// has there as secrets count as set; they are asked for only if that matters.
pub(super) fn verify_for(
    context: &Context,
    folder: &Path,
    secrets: impl FnOnce() -> Vec<String>,
) -> Result<(), Failure> {
    let mut options = Options { variables: context.env.variables.clone(), ..Options::default() };
    let is_missing = |diagnostic: &Diagnostic| diagnostic.rule == MISSING_VARIABLE;
    let mut report = check::check(folder, &options)?;
    if report.diagnostics.iter().any(is_missing) {
        options.variables.extend(secrets());
        report = check::check(folder, &options)?;
    }
    report.diagnostics.retain(|diagnostic| diagnostic.level == Level::Error || is_missing(diagnostic));
    let stdout = (context.shell.format == MessageFormat::Github).then_some(Format::Github);
    show(context, &report, stdout)
}

/// Shows what was found, and fails when there is an error among it.
fn show(context: &Context, report: &Report, stdout: Option<Format>) -> Result<(), Failure> {
    match stdout {
        Some(Format::Github) if report.diagnostics.is_empty() => {}
        Some(format) => context.shell.line(&format.text(report))?,
        None if context.shell.format == MessageFormat::Json || report.diagnostics.is_empty() => {}
        None => {
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
