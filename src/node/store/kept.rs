//! What is read with every request, kept in memory: who is known, whose a token is, what is live. Only this process writes
//! the database, so it knows when something has changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::wire::DeploymentView;

/// Users and tokens that are kept; what is beyond is read again.
const MAX: usize = 10_000;

/// Live revisions, newest first.
pub(in crate::node) type Live = Arc<Vec<Arc<DeploymentView>>>;

/// The rows that are kept.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    users: HashSet<String>,
    /// By hash: the user, and when it ends.
    tokens: HashMap<String, (String, Timestamp)>,
    live: Option<Live>,
    /// How often what is live has changed.
    changes: u64,
    /// Users that have no secrets.
    without_secrets: HashSet<String>,
    /// How often secrets were given.
    secrets: u64,
}

impl Kept {
    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn knows_user(&self, id: &str) -> bool {
        self.rows().users.contains(id)
    }

    pub(super) fn keep_user(&self, id: &str) {
        let mut rows = self.rows();
        if rows.users.len() < MAX {
            rows.users.insert(id.to_owned());
        }
    }

    pub(super) fn token_user(&self, hash: &str, now: Timestamp) -> Option<String> {
        self.rows().tokens.get(hash).filter(|(_, expires)| *expires > now).map(|(user, _)| user.clone())
    }

    pub(super) fn keep_token(&self, hash: &str, user: &str, expires: Timestamp) {
        let mut rows = self.rows();
        if rows.tokens.len() < MAX {
            rows.tokens.insert(hash.to_owned(), (user.to_owned(), expires));
        }
    }

    pub(super) fn forget_token(&self, hash: &str) {
        self.rows().tokens.remove(hash);
    }

    /// What is live, if that is known, and how often it has changed so far.
    pub(super) fn live(&self) -> (Option<Live>, u64) {
        let rows = self.rows();
        (rows.live.clone(), rows.changes)
    }

    /// Keeps what was read when it had changed so often, unless it has changed since.
    pub(super) fn keep_live(&self, live: &Live, changes: u64) {
        let mut rows = self.rows();
        if rows.changes == changes {
            rows.live = Some(live.clone());
        }
    }

    /// To be called once a change is committed.
    pub(super) fn live_changed(&self) {
        let mut rows = self.rows();
        rows.live = None;
        rows.changes += 1;
    }

    /// Whether a user is known to have no secrets, and how often secrets were given so far.
    pub(super) fn has_no_secrets(&self, user: &str) -> (bool, u64) {
        let rows = self.rows();
        (rows.without_secrets.contains(user), rows.secrets)
    }

    /// Remembers a user who had none when they had been given so often, unless they were given since.
    pub(super) fn keep_without_secrets(&self, user: &str, given: u64) {
        let mut rows = self.rows();
        if rows.secrets == given && rows.without_secrets.len() < MAX {
            rows.without_secrets.insert(user.to_owned());
        }
    }

    /// To be called once it is committed that a user was given secrets.
    pub(super) fn secrets_given(&self, user: &str) {
        let mut rows = self.rows();
        rows.without_secrets.remove(user);
        rows.secrets += 1;
    }
}
