//! What a node remembers: users, tokens, deployments, runs and their events. SQLite on one machine; the trait is
//! what another database would have to do.

mod inspect;
mod kept;
mod schema;
mod secrets;
mod sqlite;
mod writer;

use std::collections::HashMap;

use async_trait::async_trait;
pub(in crate::node) use inspect::{damage, inspect};
use jiff::Timestamp;
pub(in crate::node) use kept::Live;
pub(in crate::node) use secrets::{SecretStore, StoredSecret};
use semver::Version;
use serde_json::Value;
pub(in crate::node) use sqlite::SqliteStore;

use crate::wire::{DeploymentView, EventPayload, RunEvent, RunStatus, RunView};

/// A run with what only the node needs.
#[derive(Debug, Clone)]
pub(in crate::node) struct StoredRun {
    /// What is shown of it.
    pub view: RunView,
    /// The resolved deployment, nodes by target, without credentials.
    pub deployment: Value,
    /// The revision that it was accepted for: name and number. Of one that waits for what is not deployed yet, and so has
    /// no version, the one that it differs from; an empty name when there is none.
    pub revision: (String, u64),
    /// The consumer's signature as it came, for Naptha's clients.
    pub signature: String,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub(in crate::node) struct RunFilter {
    /// Only this user's.
    pub consumer: Option<String>,
    /// Only roots, no children.
    pub roots: bool,
    /// At most this many, newest first.
    pub limit: u32,
}

/// An error of the store.
pub(in crate::node) type StoreError = anyhow::Error;

/// What has been answered outlives the process, and but for runs and their events the machine's power too. Those do so once
/// [`Store::settle`] has returned: whoever tells of them waits for it first.
#[async_trait]
pub(in crate::node) trait Store: SecretStore + std::fmt::Debug + Send + Sync {
    /// Remembers a user; knowing one already is fine.
    async fn put_user(&self, id: &str) -> Result<(), StoreError>;
    /// Whether a user is known.
    async fn knows_user(&self, id: &str) -> Result<bool, StoreError>;

    /// Keeps a token by its hash.
    async fn put_token(&self, hash: &str, name: &str, user: &str, expires: Timestamp) -> Result<(), StoreError>;
    /// Forgets a token.
    async fn end_token(&self, hash: &str) -> Result<(), StoreError>;
    /// Whose token it is, if it is still good.
    async fn token_user(&self, hash: &str, now: Timestamp) -> Result<Option<String>, StoreError>;

    /// Makes this the deployment's latest revision and numbers it. A latest one that is the same stays, and is given
    /// back.
    async fn put_revision(&self, deployment: DeploymentView) -> Result<DeploymentView, StoreError>;
    /// One revision, live or not.
    async fn revision(&self, name: &str, number: u64) -> Result<Option<DeploymentView>, StoreError>;
    /// All revisions of a deployment, newest first. The first is the live one, unless it is a removal.
    async fn revisions(&self, name: &str) -> Result<Vec<DeploymentView>, StoreError>;
    /// The newest revisions of each deployment, so many of those that are no removals.
    async fn newest_revisions(&self, count: usize) -> Result<Vec<DeploymentView>, StoreError>;
    /// The live revisions of all deployments, newest first.
    async fn deployments(&self) -> Result<Live, StoreError>;
    /// How many runs of each revision have not ended, not counting those that another run here has called for.
    async fn unfinished_by_revision(&self) -> Result<HashMap<(String, u64), u64>, StoreError>;

    /// Accepts a run. For one that starts at once, an event says so: its first.
    async fn create_run(&self, run: &StoredRun) -> Result<(), StoreError>;
    /// What it waited for is there: its version, its resolved deployment, and the revision that it is for.
    async fn assign_run(
        &self,
        id: &str,
        version: &Version,
        deployment: Value,
        revision: (String, u64),
    ) -> Result<(), StoreError>;
    /// Its process is about to start, and an event says so.
    async fn start_run(&self, id: &str, at: Timestamp) -> Result<(), StoreError>;
    /// It has ended, and its last event says so: the number of that. Nothing, when it had ended before.
    async fn finish_run(
        &self,
        id: &str,
        status: RunStatus,
        result: Option<String>,
        error: Option<String>,
        at: Timestamp,
    ) -> Result<Option<u64>, StoreError>;
    /// Returns once all that was written before is on disk.
    async fn settle(&self) -> Result<(), StoreError>;
    /// One run.
    async fn run(&self, id: &str) -> Result<Option<StoredRun>, StoreError>;
    /// Some runs, without inputs and results.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunView>, StoreError>;
    /// The children of a run's tree, oldest first, without inputs and results.
    async fn tree(&self, root: &str) -> Result<Vec<RunView>, StoreError>;
    /// Runs that have not ended, with their status; for a restart.
    async fn unfinished_runs(&self) -> Result<Vec<(String, RunStatus, Option<String>)>, StoreError>;

    /// Numbers events after those that are there, and keeps them.
    async fn append_events(&self, run: &str, events: Vec<(Timestamp, EventPayload)>) -> Result<(), StoreError>;
    /// Events after a number.
    async fn events(&self, run: &str, after: u64, limit: u32) -> Result<Vec<RunEvent>, StoreError>;
}
