//! What the registry remembers for Naptha's hub protocol: password accounts, pointers, nodes, secrets.

mod sqlite;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

pub(super) use self::sqlite::{add_module, remove_claims, remove_node};
use super::StoreError;
use crate::module::{ModuleId, ModuleType};

/// A password account.
#[derive(Debug, Clone)]
pub struct HubAccount {
    /// The user whose key it is for.
    pub user: String,
    /// As given at sign-up.
    pub username: String,
    /// The password's hash.
    pub password: String,
    /// Whether the key's holder has set the password.
    pub confirmed: bool,
    /// Whether the key's holder has proved the key.
    pub proved: bool,
}

impl HubAccount {
    /// Whether its password is good for anything: once a key has been proved, only its holder's password is.
    pub fn is_trusted(&self) -> bool {
        self.confirmed || !self.proved
    }
}

/// How a sign-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubSignUp {
    /// The account is there.
    Created,
    /// The name is another user's.
    NameTaken,
    /// The key has a password account.
    KeyTaken,
    /// The key has been proved: only its holder may set a password.
    KeyProved,
}

/// What picks out an account.
#[derive(Debug, Clone, Copy)]
pub enum AccountKey<'a> {
    /// The name, in any case.
    Username(&'a str),
    /// The user's id.
    User(&'a str),
}

/// A module that is kept elsewhere.
#[derive(Debug, Clone)]
pub struct Pointer {
    /// Type and name.
    pub id: ModuleId,
    /// One sentence.
    pub description: String,
    /// What it takes, in its author's words.
    pub parameters: String,
    /// Where it is kept.
    pub url: String,
    /// A tag, branch or commit there.
    pub version: String,
    /// The file that is run.
    pub entrypoint: String,
    /// Naptha's word for how it is run.
    pub execution_type: String,
}

/// A module as the hub's lists show it.
#[derive(Debug, Clone)]
pub struct HubModule {
    /// Type and name.
    pub id: ModuleId,
    /// Whose it is.
    pub owner: String,
    /// One sentence.
    pub description: String,
    /// The newest version, or a pointer's tag.
    pub version: String,
    /// The file that is run.
    pub entrypoint: String,
    /// Where else it is kept, when it has no versions here: URL, parameters, execution type.
    pub elsewhere: Option<(String, String, String)>,
}

/// How a change of a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is made.
    Done,
    /// There is such a record already.
    Exists,
    /// There is no such record.
    Missing,
    /// It belongs to others.
    NotOwner,
    /// The module has versions here, which are all that says what it is.
    Published,
    /// The user has as many as one may have.
    TooMany,
    /// The user has as many as one may have whose key is not proved.
    Unproved,
}

/// A node that its user has registered.
#[derive(Debug, Clone)]
pub struct HubNode {
    /// `node:` and a public key.
    pub id: String,
    /// Its user. Of a node that was registered here, the key is the same.
    pub owner: String,
    /// What it says of itself.
    pub record: Value,
}

/// A server of a node.
#[derive(Debug, Clone)]
pub struct HubServer {
    /// `server:…`
    pub id: String,
    /// The node's id.
    pub node: String,
    /// `ws`, `grpc` …
    pub protocol: String,
    /// Its port.
    pub port: u16,
}

/// A row of a user's secrets.
#[derive(Debug, Clone)]
pub struct HubSecret {
    /// Its name.
    pub key_name: String,
    /// Whatever the client made of it.
    pub value: String,
}

/// What a registry remembers for Naptha's hub. Every change is durable when its call returns.
#[async_trait]
pub trait HubStore: Send + Sync + 'static {
    /// Makes the account of a key that nobody has proved.
    async fn add_hub_account(&self, account: &HubAccount, now: Timestamp) -> Result<HubSignUp, StoreError>;
    /// Sets name and password of a proved key's account; false when the name is another user's.
    async fn set_hub_account(&self, user: &str, username: &str, password: &str) -> Result<bool, StoreError>;
    /// One account.
    async fn hub_account(&self, key: AccountKey<'_>) -> Result<Option<HubAccount>, StoreError>;

    /// The modules of a type, by name, with their texts cut.
    async fn hub_modules(&self, module_type: ModuleType) -> Result<Vec<HubModule>, StoreError>;
    /// One module, with all of its texts.
    async fn hub_module(&self, id: &ModuleId) -> Result<Option<HubModule>, StoreError>;
    /// Makes a pointer, or changes the one that there is.
    async fn put_pointer(
        &self,
        pointer: &Pointer,
        user: &str,
        is_new: bool,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;
    /// Removes a pointer; its name is free again.
    async fn remove_pointer(&self, id: &ModuleId, user: &str, now: Timestamp) -> Result<Changed, StoreError>;

    /// All nodes.
    async fn hub_nodes(&self) -> Result<Vec<HubNode>, StoreError>;
    /// Sets what the user's node says of itself.
    async fn put_hub_node(&self, user: &str, record: &Value, is_new: bool) -> Result<Changed, StoreError>;
    /// Removes the user's node with its servers.
    async fn remove_hub_node(&self, user: &str) -> Result<Changed, StoreError>;
    /// All servers.
    async fn hub_servers(&self) -> Result<Vec<HubServer>, StoreError>;
    /// Makes a server of the user's node, or changes it.
    async fn put_hub_server(&self, server: &HubServer, user: &str, is_new: bool) -> Result<Changed, StoreError>;
    /// Removes a server of the user's node.
    async fn remove_hub_server(&self, id: &str, user: &str) -> Result<Changed, StoreError>;

    /// A user's secrets, by name.
    async fn hub_secrets(&self, user: &str) -> Result<Vec<HubSecret>, StoreError>;
    /// Adds and changes secrets of a user: all of them or, unless [`Changed::Done`], none.
    async fn change_hub_secrets(
        &self,
        user: &str,
        new: &[HubSecret],
        changed: &[HubSecret],
    ) -> Result<Changed, StoreError>;
}
