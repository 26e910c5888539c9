//! Why the registry refuses a call: each reason with its status, its words and what to do about it.

use std::{io::ErrorKind, time::Duration};

use jiff::Timestamp;
use napt_registry_client::{IndexEntry, Problem, Verb};
use semver::Version;
use serde_json::{Map, Value, json};

use super::store::StoreError;
use crate::{
    module::{IdError, ModuleId},
    package::ArchiveError,
    report::Fault,
};

/// A reason to refuse.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this call needs a token in the header `Authorization: Bearer …`")]
    NoToken,
    #[error("the header `Authorization` does not hold a token: a token is `napt_` and 48 hex digits")]
    MalformedToken,
    #[error("the token is not known here: it was never issued, or it was revoked")]
    UnknownToken,
    #[error("the token expired at {0}")]
    ExpiredToken(Timestamp),
    #[error("the token does not allow to {}", verb_phrase(*.0))]
    Scope(Verb),
    #[error("the token is for `{pattern}` only, not for `{id}`")]
    OtherModule { id: ModuleId, pattern: String },
    #[error("`{0}` belongs to another user")]
    NotOwner(ModuleId),
    #[error("the challenge is not known here: it was answered already, it expired, or it is of another registry")]
    Challenge,
    #[error("the signature does not prove the key: it must be over `{0}`")]
    Proof(String),
    #[error("too many attempts from this address")]
    TooMany(Duration),
    #[error("{0}")]
    Id(#[from] IdError),
    #[error("`{0}` is not a version: {1}")]
    Version(String, String),
    #[error("{0}")]
    Request(String),
    #[error("the archive broke off after {0} bytes")]
    Truncated(u64),
    #[error("the body came too slowly, and the registry stopped waiting")]
    Slow,
    #[error("the archive is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the sha256 of the bytes that came is {found}, the request says {given}")]
    WrongDigest { given: String, found: String },
    #[error("the archive is refused: {0}")]
    Archive(ArchiveError),
    #[error("the archive holds `{found}`, the URL says `{wanted}`")]
    WrongModule { wanted: String, found: String },
    #[error("`{id}@{version}` is published already with other bytes, and a version never changes")]
    Conflict { id: ModuleId, version: Version, theirs: Box<IndexEntry>, given: String },
    #[error("there is no module `{0}` here")]
    NoModule(ModuleId),
    #[error("there is no version {1} of `{0}` here")]
    NoVersion(ModuleId, Version),
    #[error("the user name `{0}` is taken")]
    UsernameTaken(String),
    #[error("the hub has as many connections as it takes, from this address or at all")]
    Busy,
    #[error("there is no token `{0}` of this account")]
    NoSuchToken(String),
    #[error("only the node `{0}` and its owner can do this")]
    NotTheNode(String),
    #[error("the request's signature does not hold: {0}")]
    NodeSignature(String),
    #[error("`owner_signature` is not the owner's for this node, name and URL")]
    NotItsOwner,
    #[error("the node `{0}` is here as another owner's")]
    NodeOwner(String),
    #[error("the node name `{0}` belongs to another owner")]
    NodeName(String),
    #[error("the node name `{name}` is in use by `{id}`")]
    NodeNameInUse { name: String, id: String },
    #[error("the directory has no room for more nodes or names of this owner, or for more nodes at all")]
    ManyNodes,
    #[error("there is nothing at `{0}`")]
    NoRoute(String),
    #[error("`{0}` does not take this method")]
    Method(String),
    #[error("the registry's disk is full")]
    Full,
    #[error("the registry failed; its log says why")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn verb_phrase(verb: Verb) -> &'static str {
    match verb {
        Verb::Publish => "publish",
        Verb::Yank => "yank",
        Verb::Account => "manage the account's tokens",
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Refusal::Full,
            error => Refusal::Internal(error.into()),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Refusal::Full,
            _ => Refusal::Internal(error.into()),
        }
    }
}

impl Refusal {
    /// Status, stable identifier, title.
    fn class(&self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::NoToken => (401, "no-token", "Not signed in"),
            Refusal::MalformedToken => (401, "malformed-token", "Not a token"),
            Refusal::UnknownToken => (401, "unknown-token", "Unknown token"),
            Refusal::ExpiredToken(_) => (401, "expired-token", "Expired token"),
            Refusal::Scope(_) | Refusal::OtherModule { .. } => (403, "token-scope", "The token does not allow this"),
            Refusal::NotOwner(_) => (403, "not-owner", "Not an owner"),
            Refusal::Challenge => (401, "challenge", "Unknown challenge"),
            Refusal::Proof(_) => (401, "proof", "The key is not proved"),
            Refusal::TooMany(_) => (429, "too-many", "Too many attempts"),
            Refusal::Id(_) | Refusal::Version(..) | Refusal::Request(_) => (400, "bad-request", "Bad request"),
            Refusal::Truncated(_) => (400, "truncated", "The body broke off"),
            Refusal::Slow => (408, "slow", "The body came too slowly"),
            Refusal::TooLarge { .. } => (413, "too-large", "Too large"),
            Refusal::WrongDigest { .. } => (422, "wrong-digest", "The digest does not match"),
            Refusal::Archive(_) => (422, "archive", "Not a good archive"),
            Refusal::WrongModule { .. } => (422, "wrong-module", "The archive is of another module"),
            Refusal::Conflict { .. } => (409, "version-conflict", "The version exists"),
            Refusal::NoModule(_) | Refusal::NoVersion(..) | Refusal::NoSuchToken(_) | Refusal::NoRoute(_) => {
                (404, "not-found", "Not found")
            }
            Refusal::NodeSignature(_) => (401, "node-signature", "Not signed by the node"),
            Refusal::NotTheNode(_) | Refusal::NodeOwner(_) => (403, "not-the-node", "Another node's record"),
            Refusal::NotItsOwner => (403, "not-its-owner", "Not signed by the owner"),
            Refusal::NodeName(_) | Refusal::NodeNameInUse { .. } => (409, "node-name", "The name is taken"),
            Refusal::ManyNodes => (409, "many-nodes", "The directory is full"),
            Refusal::Method(_) => (405, "method", "Method not allowed"),
            Refusal::UsernameTaken(_) => (409, "username-taken", "The user name is taken"),
            Refusal::Busy => (503, "busy", "Too many connections"),
            Refusal::Full => (507, "full", "No room"),
            Refusal::Internal(_) => (500, "internal", "Internal error"),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Refusal::NoToken | Refusal::MalformedToken | Refusal::UnknownToken | Refusal::ExpiredToken(_) => {
                "`napt login` gets a token".to_owned()
            }
            Refusal::Scope(_) | Refusal::OtherModule { .. } => "use a token with more rights".to_owned(),
            Refusal::NotOwner(_) => "publish under another name, or ask an owner".to_owned(),
            Refusal::Challenge | Refusal::Proof(_) => "ask for a new challenge".to_owned(),
            Refusal::Conflict { .. } => "raise the version and publish again".to_owned(),
            Refusal::UsernameTaken(_) => "choose another".to_owned(),
            Refusal::Busy => "try again later".to_owned(),
            Refusal::NodeName(_) => "choose another name".to_owned(),
            Refusal::NodeNameInUse { .. } => {
                "stop that node, or wait until its record has expired; or choose another name".to_owned()
            }
            Refusal::NotTheNode(_) => "a record is changed with the node's own key".to_owned(),
            Refusal::NodeSignature(_) => "set the clocks of both machines, and use the URL that the registry knows \
                                          itself by"
                .to_owned(),
            Refusal::Full => "tell the registry's operator, and try again later".to_owned(),
            Refusal::NoRoute(_) => "this is a napt registry: is it what the address should be of?".to_owned(),
            Refusal::Id(error) => return error.hint(),
            Refusal::Archive(error) => return error.hint(),
            _ => return None,
        })
    }

    /// When to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::TooMany(wait) => Some(*wait),
            _ => None,
        }
    }

    /// As it goes over the wire. What went wrong inside stays inside.
    pub(super) fn problem(&self) -> Problem {
        let (status, kind, title) = self.class();
        let mut extra = Map::new();
        if let Refusal::Conflict { theirs, given, .. } = self {
            extra.insert("published_sha256".to_owned(), json!(theirs.sha256));
            extra.insert("given_sha256".to_owned(), json!(given));
            extra.insert("published".to_owned(), json!(theirs.published));
        }
        if let Refusal::TooLarge { limit } = self {
            extra.insert("limit".to_owned(), Value::from(*limit));
        }
        Problem {
            problem_type: format!("urn:napt:registry:{kind}"),
            title: title.to_owned(),
            status,
            detail: self.to_string(),
            hint: self.hint(),
            extra,
        }
    }
}
