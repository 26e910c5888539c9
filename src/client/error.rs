//! Why a node did not do what it was asked.

use std::time::Duration;

use url::Url;

use crate::{
    config::ConfigError,
    package::PackageError,
    report::{Fault, Kind, plural},
    wire::Problem,
};

/// Why a call to a node failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It cannot be reached, or went away.
    #[error("cannot reach the node at {url}")]
    Unreachable {
        /// The node.
        url: Url,
        /// Why.
        #[source]
        error: reqwest::Error,
    },
    /// Its answer has no end.
    #[error("the node at {url} broke off in the middle of its answer")]
    Broken {
        /// The node.
        url: Url,
    },
    /// It said no.
    #[error("{}", problem.detail)]
    Refused {
        /// The node.
        url: Url,
        /// What it said.
        problem: Box<Problem>,
        /// When it said to come back.
        retry_after: Option<Duration>,
    },
    /// It, or what stands before it, failed without an explanation.
    #[error("the node at {url} answers {status} without an explanation")]
    Failed {
        /// The server.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// When it said to come back.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that trickles.
    #[error("the node at {url} does not answer in time")]
    Timeout {
        /// The node.
        url: Url,
    },
    /// What answers is not a node.
    #[error("what answers at {url} does not look like a napt node: {what}")]
    Garbage {
        /// The server.
        url: Url,
        /// What is wrong with its answer.
        what: String,
    },
    /// The beginning of several runs' ids.
    #[error("{} begin with `{given}`", plural(ids.len(), "run id"))]
    AmbiguousRun {
        /// What was asked for.
        given: String,
        /// The runs' ids, newest first.
        ids: Vec<String>,
    },
    /// A module cannot be packaged.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A configuration file cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What a module needs cannot be found.
    #[error(transparent)]
    Resolve(#[from] crate::resolve::ResolveError),
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClientError {
    /// Whether the same call may succeed a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { error, .. } => !error.is_builder(),
            ClientError::Timeout { .. } | ClientError::Broken { .. } => true,
            // A node's own 500 and 502 are about what it was asked to do, and stay.
            ClientError::Refused { problem, .. } => matches!(problem.status, 408 | 425 | 429 | 503 | 504),
            ClientError::Failed { status, .. } => Self::is_of_gateway(*status),
            _ => false,
        }
    }

    /// Whether what stands before a node says that it is not available.
    pub(super) fn is_of_gateway(status: u16) -> bool {
        matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
    }

    /// Whether the node surely did not act on the call.
    pub fn is_untouched(&self) -> bool {
        match self {
            ClientError::Unreachable { error, .. } => error.is_connect(),
            ClientError::Refused { problem, .. } => matches!(problem.status, 429 | 503),
            ClientError::Failed { status, .. } => matches!(status, 429 | 503),
            ClientError::Timeout { .. } | ClientError::Broken { .. } => false,
            _ => true,
        }
    }

    /// When the node said to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused { retry_after, .. } | ClientError::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        409 => Kind::Conflict,
        422 => Kind::Usage,
        408 | 425 | 429 | 502 | 503 | 504 => Kind::Network,
        _ => Kind::Failed,
    }
}

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::Garbage { .. }
            | ClientError::Timeout { .. }
            | ClientError::Broken { .. } => Kind::Network,
            ClientError::Refused { problem, .. } => of_status(problem.status),
            ClientError::Failed { status, .. } => of_status(*status),
            ClientError::AmbiguousRun { .. } => Kind::Usage,
            ClientError::Package(error) => error.kind(),
            ClientError::Config(error) => error.kind(),
            ClientError::Resolve(error) => error.kind(),
            ClientError::Io(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ClientError::Unreachable { .. } => {
                Some("start one with `napt node`, or name another with `--node URL`".to_owned())
            }
            ClientError::Refused { retry_after: Some(wait), .. }
            | ClientError::Failed { retry_after: Some(wait), .. } => {
                Some(format!("try again in {} seconds", wait.as_secs()))
            }
            ClientError::Refused { problem, .. } => problem.hint.clone(),
            ClientError::Timeout { .. } | ClientError::Broken { .. } | ClientError::Failed { .. } => {
                Some("try again later".to_owned())
            }
            ClientError::Garbage { .. } => Some("name a node with `--node URL`".to_owned()),
            ClientError::AmbiguousRun { ids, .. } => {
                let few: Vec<&str> = ids.iter().map(String::as_str).take(5).collect();
                Some(format!("type more of it: {}{}", few.join(", "), if ids.len() > few.len() { ", …" } else { "" }))
            }
            ClientError::Package(error) => error.hint(),
            ClientError::Config(error) => error.hint(),
            ClientError::Resolve(error) => error.hint(),
            ClientError::Io(_) => None,
        }
    }
}
