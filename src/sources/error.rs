//! Why a module in git cannot be had.

use std::time::Duration;

use bytesize::ByteSize;

use crate::{
    adopt::AdoptError,
    module::{GitSourceError, MANIFEST_FILE, ModuleId, ProjectError},
    package::{ArchiveError, PackageError},
    report::{Fault, Kind, did_you_mean},
};

/// Why a module in git cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is no place in git.
    #[error(transparent)]
    Source(#[from] GitSourceError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The program `git` is not there.
    #[error("the program `git` was not found in `PATH`")]
    NoGit,
    /// Whoever runs napt here does not allow this way of fetching.
    #[error("`{url}` may not be fetched by `{scheme}` here")]
    NotAllowed {
        /// The repository.
        url: String,
        /// Its scheme.
        scheme: String,
        /// Those that are allowed.
        allowed: Vec<&'static str>,
    },
    /// It wants to know who asks.
    #[error("the repository `{url}` is private, or there is none")]
    Private {
        /// The repository.
        url: String,
        /// What git said.
        output: String,
    },
    /// There is none.
    #[error("there is no git repository at `{url}`")]
    Missing {
        /// The repository.
        url: String,
        /// What git said.
        output: String,
    },
    /// Its server cannot be reached.
    #[error("cannot reach the repository `{url}`\n{output}")]
    Unreachable {
        /// The repository.
        url: String,
        /// What git said.
        output: String,
    },
    /// Something else went wrong.
    #[error("git cannot fetch `{url}`\n{output}")]
    Failed {
        /// The repository.
        url: String,
        /// What git said.
        output: String,
    },
    /// It took too long.
    #[error("git has not fetched `{url}` within {} seconds", after.as_secs())]
    Slow {
        /// The repository.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// It is too large.
    #[error("{what} of `{url}` is more than {}", ByteSize::b(*limit).display().iec())]
    TooLarge {
        /// The repository.
        url: String,
        /// What of it.
        what: &'static str,
        /// Bytes.
        limit: u64,
    },
    /// It has too many files.
    #[error("`{url}` has more than {limit} files")]
    TooMany {
        /// The repository.
        url: String,
        /// How many it may have.
        limit: usize,
    },
    /// It has no commit.
    #[error("the repository `{0}` is empty")]
    Empty(String),
    /// It has no such tag, branch or commit.
    #[error("the repository `{url}` has no {what} `{name}`")]
    NoReference {
        /// The repository.
        url: String,
        /// `tag`, `branch`, or what else it could be.
        what: &'static str,
        /// Its name.
        name: String,
        /// What there is of that kind.
        known: Vec<String>,
    },
    /// The repository cannot be read, or has something that cannot be.
    #[error("cannot read the repository `{url}`: {reason}")]
    Unreadable {
        /// The repository.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// It may not be fetched, and never was.
    #[error("`{0}` was not fetched before, and nothing is fetched offline")]
    NotKept(String),
    /// It has no module, or none of the name.
    #[error("there is no module{} in `{source_of}`", .wanted.as_ref().map(|id| format!(" `{id}`")).unwrap_or_default())]
    NoModule {
        /// Where.
        source_of: String,
        /// What was looked for.
        wanted: Option<ModuleId>,
        /// What there is.
        found: Vec<String>,
    },
    /// It has several modules.
    #[error("there are several modules in `{source_of}`")]
    Several {
        /// Where.
        source_of: String,
        /// These.
        found: Vec<String>,
    },
    /// It has another module.
    #[error("the module in `{source_of}` is `{found}`, not `{wanted}`")]
    Other {
        /// Where.
        source_of: String,
        /// What was looked for.
        wanted: ModuleId,
        /// What there is.
        found: ModuleId,
    },
    /// A project without a manifest is not understood.
    #[error("cannot tell what the project in `{source_of}` is")]
    Adopt {
        /// Where.
        source_of: String,
        /// Why not.
        #[source]
        error: Box<AdoptError>,
    },
    /// Its manifest cannot be used.
    #[error("cannot use the project in `{source_of}`")]
    Project {
        /// Where.
        source_of: String,
        /// Why not.
        #[source]
        error: Box<ProjectError>,
    },
    /// It cannot be packed.
    #[error("cannot package the module in `{source_of}`")]
    Package {
        /// Where.
        source_of: String,
        /// Why not.
        #[source]
        error: Box<PackageError>,
    },
    /// What was packed before cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Fault for SourceError {
    fn kind(&self) -> Kind {
        match self {
            SourceError::Source(error) => error.kind(),
            SourceError::Private { .. } => Kind::Auth,
            SourceError::Unreachable { .. } | SourceError::Slow { .. } | SourceError::NotKept(_) => Kind::Network,
            SourceError::Adopt { error, .. } => error.kind(),
            SourceError::Project { error, .. } => error.kind(),
            SourceError::Package { error, .. } => error.kind(),
            SourceError::Several { .. } => Kind::Usage,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            SourceError::Source(error) => return error.hint(),
            SourceError::Io(_) | SourceError::Empty(_) => return None,
            SourceError::NoGit => "install git".to_owned(),
            SourceError::NotAllowed { allowed, .. } => {
                let allowed: Vec<String> = allowed.iter().map(|scheme| format!("`{scheme}://`")).collect();
                format!("repositories are fetched by {}; or deploy a folder", allowed.join(", "))
            }
            SourceError::Private { .. } => {
                "see that the URL is right; for a private one, give git a way to sign in (a \
                 credential helper, or `ssh://` with a key): napt asks for no passwords"
                    .to_owned()
            }
            SourceError::Missing { .. } => "see that the URL is right".to_owned(),
            SourceError::Unreachable { .. } | SourceError::Slow { .. } => {
                "see that the URL is right and the network is up, and do it again".to_owned()
            }
            SourceError::Failed { .. } => "`git ls-remote URL` shows whether git can read it".to_owned(),
            SourceError::TooLarge { .. } | SourceError::TooMany { .. } => {
                "a module has a repository of its own, without data that can be fetched when it runs".to_owned()
            }
            SourceError::NoReference { name, known, .. } => {
                match did_you_mean(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => return None,
                    None => format!("there are {}", some(known)),
                }
            }
            SourceError::Unreadable { .. } => "see what is there with git, or deploy a folder".to_owned(),
            SourceError::NotKept(_) => {
                "run `napt fetch` in the workspace once with the network, or leave `--offline` out".to_owned()
            }
            SourceError::NoModule { found, .. } if !found.is_empty() => format!("there are {}", some(found)),
            SourceError::NoModule { .. } => {
                format!("a module is a folder with `{MANIFEST_FILE}`, or with code as Naptha's modules have it")
            }
            SourceError::Several { found, .. } => format!("name one of {}", some(found)),
            SourceError::Other { found, .. } => format!("name `{found}`, or another repository"),
            SourceError::Adopt { error, .. } => match &**error {
                AdoptError::Unsure { name, .. } => format!("name it with its type, for example `agent:{name}`"),
                error => return error.hint(),
            },
            SourceError::Project { error, .. } => return error.hint(),
            SourceError::Package { error, .. } => match &**error {
                PackageError::Secrets(_) => {
                    "tell whoever keeps the repository; a copy without them can be deployed as a \
                     folder"
                        .to_owned()
                }
                error => return error.hint(),
            },
            SourceError::Archive(error) => return error.hint(),
        })
    }
}

/// The first of many.
fn some(all: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = all.iter().take(SHOWN).map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    text
}
