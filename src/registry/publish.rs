//! A publish, step by step. Whatever happens between two steps, either nothing is visible or all of it, and the same
//! call again succeeds: the one transaction at the end is the only point of truth.

use std::{sync::Arc, time::Duration};

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use napt_registry_client::{IndexEntry, PublishStatus, Published, Verb};
use semver::Version;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt, time::Instant};

use super::{
    Registry,
    accounts::Caller,
    refusal::Refusal,
    store::{Inserted, NewVersion},
};
use crate::{
    crash,
    module::ModuleId,
    package::{self, ArchiveError},
};

/// An archive in staging, synced, and its digest.
struct Received {
    file: NamedTempFile,
    sha256: String,
    size: u64,
}

impl Registry {
    /// Receives, verifies, stores and shows a version. `given` is the digest that the request promises.
    pub(super) async fn publish(
        &self,
        caller: &Caller,
        id: &ModuleId,
        version: &Version,
        given: Option<String>,
        body: BodyDataStream,
    ) -> Result<Published, Refusal> {
        let received = self.receive(body).await?;
        if let Some(given) = given.filter(|given| *given != received.sha256) {
            return Err(Refusal::WrongDigest { given, found: received.sha256 });
        }
        crash::point("publish.received")?;
        if let Some(existing) = self.store.version(id, version).await? {
            return published_before(id, version, existing, received.sha256);
        }
        let Received { file, sha256, size } = received;
        let limits = self.limits.package.clone();
        let (file, contents) = blocking(move || {
            let contents = package::inspect(file.path(), &limits);
            (file, contents)
        })
        .await?;
        let contents = contents.map_err(|error| match error {
            ArchiveError::Io(error) => Refusal::from(error),
            error => Refusal::Archive(error),
        })?;
        let manifest = contents.manifest;
        if manifest.id != *id || manifest.version != *version {
            return Err(Refusal::WrongModule {
                wanted: format!("{id}@{version}"),
                found: format!("{}@{}", manifest.id, manifest.version),
            });
        }
        crash::point("publish.verified")?;
        let (blobs, digest) = (self.blobs.clone(), sha256.clone());
        blocking(move || blobs.keep(file, &digest)).await??;
        crash::point("publish.kept")?;
        let (blobs, digest) = (self.blobs.clone(), sha256.clone());
        blocking(move || blobs.sync(&digest)).await??;
        crash::point("publish.synced")?;
        let new = NewVersion {
            manifest,
            readme: contents.readme,
            sha256: sha256.clone(),
            size,
            publisher: caller.user.clone(),
            published: self.now(),
        };
        let store = Arc::clone(&self.store);
        let inserted = self.change(id, async move { store.insert(&new).await }).await?;
        crash::point("publish.committed")?;
        match inserted {
            Inserted::Created => {
                tracing::info!(module = %id, %version, sha256, "published");
                Ok(Published { status: PublishStatus::Created })
            }
            Inserted::Exists(existing) => published_before(id, version, *existing, sha256),
            Inserted::NotOwner => Err(Refusal::NotOwner(id.clone())),
        }
    }

    /// Whether the caller may publish the module at all: asked before the archive is received, and again by the
    /// transaction.
    pub(super) async fn may_publish(&self, caller: &Caller, id: &ModuleId) -> Result<(), Refusal> {
        caller.may_for(Verb::Publish, id)?;
        match self.store.owners(id).await? {
            Some(owners) if !owners.contains(&caller.user) => Err(Refusal::NotOwner(id.clone())),
            _ => Ok(()),
        }
    }

    async fn receive(&self, mut body: BodyDataStream) -> Result<Received, Refusal> {
        let limit = self.limits.package.packed;
        let staged = self.blobs.stage()?;
        crash::point("publish.staged")?;
        let mut file = tokio::fs::File::from_std(staged.reopen()?);
        let mut digest = Sha256::new();
        let mut size = 0_u64;
        let mut watch = Watch::new(self.limits.body_window, self.limits.body_rate);
        loop {
            let Ok(next) = tokio::time::timeout_at(watch.deadline, body.next()).await else {
                return Err(Refusal::Slow);
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|_| Refusal::Truncated(size))?;
            size += chunk.len() as u64;
            if size > limit {
                return Err(Refusal::TooLarge { limit });
            }
            if !watch.moved(chunk.len() as u64) {
                return Err(Refusal::Slow);
            }
            digest.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        Ok(Received { file: staged, sha256: hex::encode(digest.finalize()), size })
    }
}

/// Runs what waits for the disk or computes for long on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Internal(error.into()))
}

fn published_before(
    id: &ModuleId,
    version: &Version,
    existing: IndexEntry,
    given: String,
) -> Result<Published, Refusal> {
    if existing.sha256 == given {
        Ok(Published { status: PublishStatus::AlreadyPublished })
    } else {
        Err(Refusal::Conflict { id: id.clone(), version: version.clone(), theirs: Box::new(existing), given })
    }
}

/// Watches that a body keeps coming: enough bytes in each window.
struct Watch {
    window: Duration,
    wanted: u64,
    moved: u64,
    deadline: Instant,
}

impl Watch {
    fn new(window: Duration, bytes_a_second: u64) -> Self {
        let wanted = bytes_a_second.saturating_mul(window.as_millis() as u64) / 1000;
        Watch { window, wanted: wanted.max(1), moved: 0, deadline: Instant::now() + window }
    }

    /// Counts bytes; false when the window has ended with too few.
    fn moved(&mut self, bytes: u64) -> bool {
        self.moved += bytes;
        if self.moved >= self.wanted {
            self.moved = 0;
            self.deadline = Instant::now() + self.window;
            return true;
        }
        Instant::now() < self.deadline
    }
}
