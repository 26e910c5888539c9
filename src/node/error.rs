//! What goes wrong in a node: one enum for the core, turned into problem JSON at every door.

use serde_json::{Map, Value, json};

use crate::{
    config::ConfigError,
    report::{Fault, Kind},
    wire::Problem,
};

/// Why a node refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No credential, or one that does not hold.
    #[error("{0}")]
    Unauthorised(String),
    /// A credential that does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{what}")]
    NotFound {
        /// What is missing.
        what: String,
        /// What there is instead, or how to get it.
        hint: Option<String>,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A configuration that cannot be resolved.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The request is larger than the node allows.
    #[error("{0}")]
    TooLarge(String),
    /// It is there already, and differs.
    #[error("{0}")]
    Conflict(String),
    /// A module cannot be installed.
    #[error("cannot install `{module}`: {reason}")]
    Install {
        /// The module with its version.
        module: String,
        /// Why.
        reason: String,
    },
    /// A module cannot be imported.
    #[error("`{module}` cannot be imported: {error}{}{traceback}", if traceback.is_empty() { "" } else { "\n" })]
    NotReady {
        /// The module with its version.
        module: String,
        /// What Python said at last.
        error: String,
        /// Where, in the module's own files.
        traceback: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        reason: std::io::Error,
    },
    /// Modules cannot be shut in as its operator demands.
    #[error("this machine lacks what `--require-sandbox` demands: {}", .0.join("; "))]
    NoSandbox(Vec<String>),
    /// Two nodes cannot share a data folder.
    #[error("another node uses the folder `{}`", .0.display())]
    InUse(std::path::PathBuf),
    /// It is about to end.
    #[error("the node is stopping and accepts no new runs")]
    Stopping,
    /// It takes longer than the caller can wait.
    #[error("{0}, which goes on")]
    Unfinished(String),
    /// It is for another node.
    #[error("the deployment is for the node `{url}`, which this one is not")]
    Elsewhere {
        /// That node.
        url: String,
    },
    /// The registry does not take it into its directory.
    #[error("the node is not put into the directory as `{name}`: {}", problem.detail)]
    NotListed {
        /// The name that it was to have.
        name: String,
        /// What the registry said.
        problem: Box<Problem>,
    },
    /// Another server is needed and does not answer as it should.
    #[error("{0}")]
    Upstream(String),
    /// Several things at once.
    #[error("{} problems\n\n{}", .0.len(), list(.0))]
    Several(Vec<NodeError>),
    /// There is no room for what it was doing.
    #[error("the node's disk is full: it could not {what}")]
    Full {
        /// What it was doing.
        what: &'static str,
        /// For the log.
        #[source]
        source: anyhow::Error,
    },
    /// Another node did not do its part.
    #[error("node `{url}` {did}: {}", problem.detail)]
    Peer {
        /// That node.
        url: url::Url,
        /// What it did not do.
        did: &'static str,
        /// What it said.
        problem: Box<Problem>,
    },
    /// The node cannot do its own work. Only its log says why.
    #[error("the node failed to {what}")]
    Internal {
        /// What it was doing.
        what: &'static str,
        /// For the log.
        #[source]
        source: anyhow::Error,
    },
}

impl NodeError {
    /// Something of this name is missing.
    pub(in crate::node) fn missing(what: impl Into<String>) -> Self {
        NodeError::NotFound { what: what.into(), hint: None }
    }

    /// There is no such run, or none that the caller may see.
    pub(in crate::node) fn no_run(id: &str) -> Self {
        NodeError::NotFound {
            what: format!("there is no run `{id}`"),
            hint: Some("a run on another node is known to that node: name it with `--node`".to_owned()),
        }
    }

    /// One error for all of them; nothing when there are none.
    pub(in crate::node) fn all(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() > 1 { Some(NodeError::Several(errors)) } else { errors.pop() }
    }

    /// Wraps an error of the node's own work.
    pub(in crate::node) fn internal<E: Into<anyhow::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| {
            let source = error.into();
            if is_full(&source) { NodeError::Full { what, source } } else { NodeError::Internal { what, source } }
        }
    }

    /// The HTTP status.
    pub(in crate::node) fn status(&self) -> u16 {
        match self {
            NodeError::Unauthorised(_) => 401,
            NodeError::Forbidden(_) => 403,
            NodeError::NotFound { .. } => 404,
            NodeError::Conflict(_) | NodeError::InUse(_) => 409,
            NodeError::TooLarge(_) => 413,
            NodeError::Invalid(_) | NodeError::Config(_) | NodeError::Elsewhere { .. } => 422,
            NodeError::NotReady { .. } => 424,
            NodeError::Several(errors) => errors.iter().map(NodeError::status).max().unwrap_or(500),
            NodeError::Install { .. }
            | NodeError::Internal { .. }
            | NodeError::Listen { .. }
            | NodeError::NoSandbox(_) => 500,
            // That the nodes do not understand each other is not the caller's fault.
            NodeError::Peer { problem, .. } if !matches!(problem.status, 404 | 409 | 422 | 424) => 502,
            NodeError::Peer { problem, .. } => problem.status,
            NodeError::Upstream(_) | NodeError::NotListed { .. } => 502,
            NodeError::Stopping | NodeError::Unfinished(_) => 503,
            NodeError::Full { .. } => 507,
        }
    }

    /// The error as it is sent; an internal one is logged instead.
    pub(in crate::node) fn problem(&self) -> Problem {
        if let NodeError::Internal { what, source } | NodeError::Full { what, source } = self {
            tracing::error!(error = format!("{source:#}"), "failed to {what}");
        }
        Problem {
            problem_type: "about:blank".to_owned(),
            title: axum::http::StatusCode::from_u16(self.status())
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or_default()
                .to_owned(),
            status: self.status(),
            detail: self.to_string(),
            hint: self.hint(),
            extra: self.facts(),
        }
    }

    /// What a program may want to know of it.
    fn facts(&self) -> Map<String, Value> {
        let facts = match self {
            NodeError::Several(errors) => {
                json!({ "problems": errors.iter().map(NodeError::problem).collect::<Vec<_>>() })
            }
            NodeError::NotReady { module, traceback, .. } => json!({ "module": module, "traceback": traceback }),
            NodeError::Peer { problem, .. } => return problem.extra.clone(),
            _ => return Map::new(),
        };
        facts.as_object().cloned().unwrap_or_default()
    }
}

/// One after the other, with room between them.
fn list(errors: &[NodeError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// Whether a disk without room is behind it. SQLite says so in words.
fn is_full(error: &anyhow::Error) -> bool {
    use std::io::{
        Error,
        ErrorKind::{QuotaExceeded, StorageFull},
    };
    error.chain().any(|cause| match cause.downcast_ref::<Error>() {
        Some(error) => matches!(error.kind(), StorageFull | QuotaExceeded),
        None => cause.to_string().contains("disk is full"),
    })
}

impl Fault for NodeError {
    fn kind(&self) -> Kind {
        match self {
            NodeError::Unauthorised(_) | NodeError::Forbidden(_) => Kind::Auth,
            NodeError::Conflict(_) | NodeError::InUse(_) | NodeError::NotListed { .. } => Kind::Conflict,
            NodeError::Upstream(_)
            | NodeError::Peer { .. }
            | NodeError::Listen { .. }
            | NodeError::Stopping
            | NodeError::Unfinished(_) => Kind::Network,
            NodeError::Invalid(_) | NodeError::Config(_) | NodeError::Elsewhere { .. } => Kind::Usage,
            _ => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            NodeError::NotFound { hint, .. } | NodeError::NotReady { hint, .. } => hint.clone(),
            NodeError::Config(error) => error.hint(),
            NodeError::Peer { problem, .. } | NodeError::NotListed { problem, .. } => problem.hint.clone(),
            NodeError::Listen { .. } => {
                Some("name another address with `--listen`; port 0 takes a free one".to_owned())
            }
            NodeError::Unfinished(_) => Some("ask again in a while: what is done is not done twice".to_owned()),
            NodeError::Elsewhere { url } => {
                Some(format!("ask that node: set `NODE_URL`, or `--node`, to `{url}`; only parts run elsewhere"))
            }
            NodeError::Stopping => Some("try again when it is back".to_owned()),
            NodeError::InUse(_) => Some("stop it, or name another folder with `--data`".to_owned()),
            NodeError::NoSandbox(_) => {
                Some("mend that, or start without `--require-sandbox` and run only modules that you trust".to_owned())
            }
            NodeError::Full { .. } => Some("make room on the node's disk, and try again".to_owned()),
            NodeError::Internal { .. } => Some("the node's log says more".to_owned()),
            _ => None,
        }
    }
}

/// What is wrong with some JSON, without the values in it: they may be secrets, and errors are logged and passed on.
pub(in crate::node) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() || text.starts_with("missing field") {
        return text;
    }
    // Of a value that was no text, there is no line; what looks like one is the value's.
    let place = text.rfind(" at line ").filter(|_| error.line() > 0).unwrap_or(text.len());
    let (said, place) = text.split_at(place);
    match said.rfind("expected ").map(|at| &said[at..]) {
        // Values stand before it, in quotes.
        Some(expected) if !expected.contains('"') => format!("{expected}{place}"),
        _ => format!("the value is not valid{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let of = |text: &str| reason(&serde_json::from_str::<u32>(text).expect_err("no number"));
        assert_eq!(of("\"secret\""), "expected u32 at line 1 column 8");
        assert_eq!(of("\"secret at line 3, expected x\""), "expected u32 at line 1 column 30");
        // Without a line: what looks like one is the value's.
        let of = |value: serde_json::Value| reason(&serde_json::from_value::<u32>(value).expect_err("no number"));
        assert_eq!(of("secret at line 3".into()), "expected u32");
        assert_eq!(of("secret expected at line 3".into()), "expected u32");
    }
}
