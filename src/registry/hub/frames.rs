//! Requests and replies, one JSON text a frame.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::queries;
use crate::{
    module::{IdError, ModuleId, ModuleType},
    registry::{
        refusal::Refusal,
        store::{Changed, StoreError},
    },
    report::Fault,
};

/// The longest id of a request that is sent back.
const MAX_ID: usize = 128;

/// A request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    id: Value,
    pub(super) method: String,
    #[serde(default)]
    pub(super) params: Vec<Value>,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    #[error("the frame is not a request: {0}")]
    Frame(String),
    #[error("there is no method `{0}`: this hub knows use, signup, signin, select, create, update, delete and query")]
    Method(String),
    #[error("{0}")]
    Params(String),
    #[error("this hub runs no queries of one's own: it knows {}", queries::KNOWN)]
    Query,
    #[error("there is no table `{0}`: there are user, node, server, api_secrets and the types of modules ({types})", types = ModuleType::ALL.map(ModuleType::as_str).join(", "))]
    Table(String),
    #[error("`{0}` is a table: name one record, as `{0}:NAME`")]
    NoId(String),
    #[error("no user has this name and password")]
    WrongPassword,
    #[error(
        "the password of `{0}` was set by somebody who did not prove the key, and the key's holder has since: \
         `napt login --username {0}` sets a new one"
    )]
    Unconfirmed(String),
    #[error("the user name `{0}` is taken: choose another")]
    NameTaken(String),
    #[error("the key has an account already: sign in with its user name and password")]
    KeyTaken,
    #[error("the key's holder has signed in with it: `napt login --username NAME` sets the user name and password")]
    KeyProved,
    #[error("sign in first")]
    NotSignedIn,
    #[error("the sign-in does not hold any more: the account has another password now")]
    SignedOut,
    #[error("`{0}` exists already")]
    Exists(String),
    #[error("there is no `{0}`")]
    Missing(String),
    #[error("`{0}` belongs to another user")]
    NotOwner(String),
    #[error(
        "`{0}` has versions in this registry, which say what it is: `napt publish` adds one, `napt yank` takes one back"
    )]
    Published(String),
    #[error("you have as many {0} as this hub keeps for a user: delete some")]
    TooMany(&'static str),
    #[error(
        "`{0}` would be one module more than a user may have whose key is not proved: `napt login --username NAME` proves it"
    )]
    Unproved(String),
    #[error(transparent)]
    Registry(#[from] Refusal),
}

impl From<StoreError> for HubError {
    fn from(error: StoreError) -> Self {
        HubError::Registry(error.into())
    }
}

impl From<IdError> for HubError {
    fn from(error: IdError) -> Self {
        HubError::Registry(error.into())
    }
}

impl HubError {
    /// By the numbers of JSON-RPC.
    fn code(&self) -> i32 {
        match self {
            HubError::Frame(_) => -32700,
            HubError::Method(_) => -32601,
            HubError::Params(_) | HubError::Query | HubError::Table(_) | HubError::NoId(_) => -32602,
            HubError::Registry(Refusal::Id(_)) => -32602,
            HubError::Registry(Refusal::Internal(_) | Refusal::Full) => -32603,
            _ => -32000,
        }
    }

    fn message(&self) -> String {
        match self {
            HubError::Registry(Refusal::TooMany(wait)) => format!("{self}: try again in {} s", wait.as_secs() + 1),
            HubError::Registry(Refusal::Id(error)) => match error.hint() {
                Some(hint) => format!("{self}: {hint}"),
                None => self.to_string(),
            },
            _ => self.to_string(),
        }
    }

    /// Why a change was not made, in words; `what` is what one cannot have more of.
    pub(super) fn of(changed: Changed, id: &str, what: &'static str) -> Result<(), Self> {
        let id = id.to_owned();
        Err(match changed {
            Changed::Done => return Ok(()),
            Changed::Exists => HubError::Exists(id),
            Changed::Missing => HubError::Missing(id),
            Changed::NotOwner => HubError::NotOwner(id),
            Changed::Published => HubError::Published(id),
            Changed::TooMany => HubError::TooMany(what),
            Changed::Unproved => HubError::Unproved(id),
        })
    }
}

/// A request, or the reply that says why the text is none.
pub(super) fn read(text: &str) -> Result<Request, String> {
    serde_json::from_str(text).map_err(|error| reply(&Value::Null, Err(HubError::Frame(error.to_string()))))
}

impl Request {
    /// The id as it is sent back.
    pub(super) fn id(&self) -> Value {
        match &self.id {
            Value::String(id) if id.len() <= MAX_ID => json!(id),
            Value::Number(id) => json!(id),
            _ => Value::Null,
        }
    }
}

/// A reply as text.
pub(super) fn reply(id: &Value, result: Result<Value, HubError>) -> String {
    let reply = match result {
        Ok(result) => json!({ "id": id, "result": result }),
        Err(error) => json!({ "id": id, "error": { "code": error.code(), "message": error.message() } }),
    };
    reply.to_string()
}

/// What a record's id names.
#[derive(Debug)]
pub(super) enum Thing {
    Module(ModuleId),
    /// With its user's id.
    User(String),
    /// With the whole id.
    Node(String),
    /// With the whole id.
    Server(String),
}

/// A table with a record's id in it.
pub(super) fn thing(text: &str) -> Result<Thing, HubError> {
    let Some((table, key)) = text.split_once(':') else {
        return Err(match self::table(text) {
            Ok(_) => HubError::NoId(text.to_owned()),
            Err(error) => error,
        });
    };
    let well_formed =
        (1..=128).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    match self::table(table)? {
        Table::Modules => Ok(Thing::Module(text.parse().map_err(HubError::from)?)),
        _ if !well_formed => Err(HubError::Params(format!("`{table}:` is not followed by a record's id"))),
        Table::Users => Ok(Thing::User(text.to_owned())),
        Table::Nodes => Ok(Thing::Node(text.to_owned())),
        Table::Servers => Ok(Thing::Server(text.to_owned())),
    }
}

/// The tables that there seem to be, but for secrets, which only queries reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    Modules,
    Users,
    Nodes,
    Servers,
}

pub(super) fn table(name: &str) -> Result<Table, HubError> {
    match name {
        "user" => Ok(Table::Users),
        "node" => Ok(Table::Nodes),
        "server" => Ok(Table::Servers),
        _ => match name.parse::<ModuleType>() {
            Ok(_) => Ok(Table::Modules),
            Err(_) => Err(HubError::Table(name.chars().take(40).collect())),
        },
    }
}

/// A parameter that is a text.
pub(super) fn text(params: &[Value], at: usize) -> Result<&str, HubError> {
    let what = || HubError::Params(format!("parameter {} must be a text", at + 1));
    params.get(at).and_then(Value::as_str).ok_or_else(what)
}

/// A parameter that is an object.
pub(super) fn object(params: &[Value], at: usize) -> Result<&Map<String, Value>, HubError> {
    let what = || HubError::Params(format!("parameter {} must be an object", at + 1));
    params.get(at).and_then(Value::as_object).ok_or_else(what)
}
