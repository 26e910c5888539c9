//! Why a node did not do what it was asked.

use url::Url;

use crate::{
    config::ConfigError,
    package::PackageError,
    report::{Fault, Kind},
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
    /// It said no.
    #[error("{}", problem.detail)]
    Refused {
        /// The node.
        url: Url,
        /// What it said.
        problem: Box<Problem>,
    },
    /// What answers is not a node.
    #[error("what answers at {url} is not a napt node: {what}")]
    Garbage {
        /// The server.
        url: Url,
        /// What is wrong with its answer.
        what: String,
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

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Unreachable { .. } | ClientError::Garbage { .. } => Kind::Network,
            ClientError::Refused { problem, .. } => match problem.status {
                401 | 403 => Kind::Auth,
                409 => Kind::Conflict,
                422 => Kind::Usage,
                502 | 503 => Kind::Network,
                _ => Kind::Failed,
            },
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
            ClientError::Refused { problem, .. } => problem.hint.clone(),
            ClientError::Garbage { .. } => Some("name a node with `--node URL`".to_owned()),
            ClientError::Package(error) => error.hint(),
            ClientError::Config(error) => error.hint(),
            ClientError::Resolve(error) => error.hint(),
            ClientError::Io(_) => None,
        }
    }
}
