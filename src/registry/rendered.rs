//! The index as it is sent: rendered once a change, since it is asked for far more often than it changes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use napt_registry_client::IndexEntry;
use sha2::{Digest, Sha256};

use crate::module::ModuleId;

/// How many bytes are kept at most. Past that all is forgotten: what is in use is rendered again at once.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The index of one module.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// One JSON line a version.
    pub(super) lines: Bytes,
    /// In quotes.
    pub(super) etag: String,
}

impl Index {
    pub(super) fn of(entries: &[IndexEntry]) -> serde_json::Result<Self> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&lines)));
        Ok(Index { lines: lines.into(), etag })
    }
}

/// Rendered indexes. One process has the registry's folder to itself, so nothing changes behind them.
#[derive(Debug, Default)]
pub(super) struct Rendered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    indexes: HashMap<ModuleId, Index>,
    bytes: usize,
    /// How many changes there were.
    changes: u64,
}

impl Rendered {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: &ModuleId) -> Option<Index> {
        self.kept().indexes.get(id).cloned()
    }

    /// To be asked before the records are read, and given to [`Rendered::keep`].
    pub(super) fn changes(&self) -> u64 {
        self.kept().changes
    }

    /// Keeps an index, unless something has changed since its records were read.
    pub(super) fn keep(&self, id: ModuleId, index: Index, changes: u64) {
        let mut kept = self.kept();
        if kept.changes != changes {
            return;
        }
        let size = index.lines.len();
        if kept.bytes + size > MAX_BYTES {
            kept.indexes.clear();
            kept.bytes = 0;
        }
        kept.bytes += size;
        if let Some(old) = kept.indexes.insert(id, index) {
            kept.bytes -= old.lines.len();
        }
    }

    /// After a module's records were changed, and before anybody is told so.
    pub(super) fn changed(&self, id: &ModuleId) {
        let mut kept = self.kept();
        kept.changes += 1;
        if let Some(old) = kept.indexes.remove(id) {
            kept.bytes -= old.lines.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let rendered = Rendered::default();
        let id: ModuleId = "agent:a".parse().expect("an id");
        let index = Index::of(&[]).expect("JSON");
        let before = rendered.changes();
        rendered.changed(&id);
        rendered.keep(id.clone(), index.clone(), before);
        assert!(rendered.get(&id).is_none());
        rendered.keep(id.clone(), index, rendered.changes());
        assert!(rendered.get(&id).is_some());
        rendered.changed(&id);
        assert!(rendered.get(&id).is_none());
    }
}
