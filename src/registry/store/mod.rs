//! The registry's records. A trait, so that another database can stand behind the same registry.

mod hub;
mod nodes;
mod records;
mod sqlite;

use async_trait::async_trait;
pub use hub::{
    AccountKey, Changed, HubAccount, HubModule, HubNode, HubSecret, HubServer, HubSignUp, HubStore, Pointer,
};
use jiff::Timestamp;
use napt_registry_client::{IndexDep, IndexEntry, ModuleDetails, ModuleSummary, NodeRecord, Page, TokenInfo};
pub use nodes::Announced;
pub(super) use records::{Records, VersionRecord};
use semver::Version;
pub use sqlite::SqliteStore;

use crate::module::{Manifest, ModuleId, ModuleType};

/// Why the records cannot be read or changed. For the operator's log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database fails.
    #[error("the registry's database fails")]
    Database(#[source] sqlx::Error),
    /// There is no room for the change.
    #[error("the disk with the registry's database is full")]
    Full,
    /// The database cannot be brought to this version's shape.
    #[error("the registry's database cannot be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A record cannot be understood.
    #[error("the registry's database holds something that this version cannot read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// What the registry's operator can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            StoreError::Database(_) => None,
            StoreError::Full => Some("make room on the disk, and start it again"),
            StoreError::Migration(_) => Some("a newer napt has used it: run that one"),
            StoreError::Corrupt(_) => Some("`napt registry fsck` looks at all of it"),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL
        match (&error, error.as_database_error().and_then(|error| error.code())) {
            (_, Some(code)) if code == "13" => StoreError::Full,
            (sqlx::Error::Io(error), _) if error.kind() == std::io::ErrorKind::StorageFull => StoreError::Full,
            _ => StoreError::Database(error),
        }
    }
}

/// A version that is about to become visible.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// From the archive.
    pub manifest: Manifest,
    /// From the archive.
    pub readme: Option<String>,
    /// The archive's digest.
    pub sha256: String,
    /// The archive's size.
    pub size: u64,
    /// Who publishes it.
    pub publisher: String,
    /// When.
    pub published: Timestamp,
}

impl NewVersion {
    /// The dependencies as the index lists them.
    fn deps(&self) -> Vec<IndexDep> {
        index_deps(&self.manifest)
    }
}

/// A manifest's dependencies as the index lists them.
pub(super) fn index_deps(manifest: &Manifest) -> Vec<IndexDep> {
    let dep = |(id, dependency): (&ModuleId, &crate::module::Dependency)| IndexDep {
        module_type: id.module_type.to_string(),
        name: id.name.to_string(),
        req: dependency.req.clone(),
        registry: dependency.registry.clone(),
    };
    manifest.dependencies.iter().map(dep).collect()
}

/// A manifest's runtime as the index shows it.
pub(super) fn runtime_text(manifest: &Manifest) -> String {
    let text = serde_json::to_value(manifest.runtime).ok();
    text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

/// How an insertion ended.
#[derive(Debug, Clone)]
pub enum Inserted {
    /// The version is visible now.
    Created,
    /// It was visible before: with these facts, of the same bytes or of others.
    Exists(Box<IndexEntry>),
    /// The module belongs to others.
    NotOwner,
}

/// How a yank ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yanked {
    /// It is as asked for, whether it was before or not.
    Done,
    /// There is no such version.
    Missing,
    /// The module belongs to others.
    NotOwner,
}

/// A token's row.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Whose it is.
    pub user: String,
    /// What it may do.
    pub info: TokenInfo,
}

/// What a registry remembers. Every change is durable when its call returns.
#[async_trait]
pub trait Store: HubStore {
    /// Remembers a challenge, and forgets those that have expired.
    async fn add_challenge(&self, hash: &str, expires: Timestamp, now: Timestamp) -> Result<(), StoreError>;
    /// Takes a challenge out: true once, and only before it expires.
    async fn take_challenge(&self, hash: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Makes sure that there is such a user, who has proved the key; true when it is new. What was registered under the
    /// key before goes, unless `keeps` says that it is the holder's.
    async fn ensure_user(&self, user: &str, keeps: bool, now: Timestamp) -> Result<bool, StoreError>;
    /// Remembers a token by its hash.
    async fn add_token(&self, hash: &str, token: &TokenRecord) -> Result<(), StoreError>;
    /// The token with this hash.
    async fn token(&self, hash: &str) -> Result<Option<TokenRecord>, StoreError>;
    /// A user's tokens, oldest first.
    async fn tokens(&self, user: &str) -> Result<Vec<TokenInfo>, StoreError>;
    /// Forgets a user's token; false when there is none of this id.
    async fn remove_token(&self, user: &str, id: &str) -> Result<bool, StoreError>;

    /// Who owns a module; `None` when there is none.
    async fn owners(&self, id: &ModuleId) -> Result<Option<Vec<String>>, StoreError>;
    /// Makes a version visible, in one transaction that checks owner and uniqueness again.
    async fn insert(&self, version: &NewVersion) -> Result<Inserted, StoreError>;
    /// Yanks (with an optional reason) or unyanks a version.
    async fn set_yanked(
        &self,
        id: &ModuleId,
        version: &Version,
        yanked: bool,
        reason: Option<&str>,
        user: &str,
        now: Timestamp,
    ) -> Result<Yanked, StoreError>;
    /// A module's versions in the order of publishing; `None` when there is no such module.
    async fn index(&self, id: &ModuleId) -> Result<Option<Vec<IndexEntry>>, StoreError>;
    /// One version.
    async fn version(&self, id: &ModuleId, version: &Version) -> Result<Option<IndexEntry>, StoreError>;
    /// All about one module.
    async fn module(&self, id: &ModuleId) -> Result<Option<ModuleDetails>, StoreError>;
    /// Modules whose name, description or keywords hold all of the words.
    async fn search(
        &self,
        words: &[String],
        module_type: Option<ModuleType>,
        page: u32,
    ) -> Result<Page<ModuleSummary>, StoreError>;

    /// Puts a node into the directory, or renews its record; those last seen before `gone` go.
    async fn put_node(&self, record: &NodeRecord, gone: Timestamp) -> Result<Announced, StoreError>;
    /// Whether the node is in the directory, and was seen since.
    async fn has_node(&self, id: &str, since: Timestamp) -> Result<bool, StoreError>;
    /// The nodes that were seen since, by name.
    async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeRecord>, StoreError>;
    /// Takes a node out of the directory; false when it is not there.
    async fn remove_node(&self, id: &str) -> Result<bool, StoreError>;
}
