//! The ways to show findings. Paths are relative to a base folder, with `/` on every platform.

mod github;
mod human;
mod json;
mod sarif;

use std::path::Path;

pub use github::github;
pub use human::human;
pub use json::json;
pub use sarif::sarif;

use super::Report;

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, with excerpts.
    Human,
    /// The `data` of the JSON envelope.
    Json,
    /// For code scanners: SARIF 2.1.0.
    Sarif,
    /// Annotations of a GitHub workflow.
    Github,
}

impl Format {
    /// All of them, by name.
    pub const ALL: [(&'static str, Format); 4] =
        [("human", Format::Human), ("json", Format::Json), ("sarif", Format::Sarif), ("github", Format::Github)];

    /// The report as text, without a last line break and, for people, in colour.
    pub fn text(self, report: &Report) -> String {
        match self {
            Format::Human if report.diagnostics.is_empty() => report.summary(),
            Format::Human => format!("{}\n\n{}", human(&report.diagnostics, &report.root), report.summary()),
            Format::Json => format!("{:#}", json(report, &report.root)),
            Format::Sarif => format!("{:#}", sarif(&report.diagnostics, repository(&report.root))),
            Format::Github => github(&report.diagnostics, repository(&report.root)),
        }
    }
}

/// The folder of the repository that `root` is in, which paths are relative to where others look for them.
fn repository(root: &Path) -> &Path {
    root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(root)
}

/// A file's path as it is shown.
pub(super) fn shown(path: &Path, base: &Path) -> String {
    let path = path.strip_prefix(base).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
