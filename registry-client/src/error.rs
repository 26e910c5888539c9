//! Why a call failed.

use std::time::Duration;

use url::Url;

use crate::types::Problem;

/// Why a call to a registry failed. No message holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("cannot reach the registry at `{url}`")]
    Unreachable {
        /// The registry.
        url: String,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// No answer, or one that trickles.
    #[error("the registry at `{url}` does not answer in time")]
    Timeout {
        /// The registry.
        url: String,
    },
    /// The registry refused or failed.
    #[error("the registry at `{url}` answers: {}", problem.detail)]
    Status {
        /// The registry.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        problem: Box<Problem>,
        /// When it said to come back.
        retry_after: Option<Duration>,
    },
    /// The answer is not one of a registry.
    #[error("what answers at `{url}` does not look like a napt registry: {what}")]
    Garbage {
        /// The server.
        url: String,
        /// What was wrong with it.
        what: String,
    },
    /// The downloaded bytes are not those that the index promises.
    #[error("the download of `{what}` is damaged: its sha256 is {found}, the index says {expected}")]
    WrongDigest {
        /// The module version.
        what: String,
        /// The index's digest.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// The answer is longer than any good one.
    #[error("the registry at `{url}` sends more than {limit} bytes for {what}")]
    TooLarge {
        /// The registry.
        url: String,
        /// What was asked for.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A local file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClientError {
    pub(crate) fn of_transport(url: &Url, error: reqwest::Error) -> Self {
        let url = shown(url);
        if error.is_timeout() && !error.is_connect() {
            ClientError::Timeout { url }
        } else {
            // The request's URL may hold credentials; ours is in the message already.
            ClientError::Unreachable { url, source: error.without_url() }
        }
    }

    /// Whether the same call may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { source, .. } => !source.is_builder(),
            ClientError::Timeout { .. } => true,
            ClientError::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the server surely did not act on the call.
    pub(crate) fn is_untouched(&self) -> bool {
        match self {
            ClientError::Unreachable { source, .. } => source.is_connect(),
            ClientError::Status { status, .. } => matches!(status, 429 | 503),
            _ => false,
        }
    }

    /// When the server said to come back.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A URL as it may be shown: without credentials, query and trailing slash.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path().trim_end_matches('/'))
}
