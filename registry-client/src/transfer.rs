//! Bodies, bounded in time and memory.

use std::{path::Path, time::Duration};

use reqwest::Response;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, time::Instant};
use url::Url;

use crate::{
    client::Watch,
    error::{ClientError, shown},
    retry::Policy,
};

/// A small body as bytes.
pub(crate) async fn answer(
    response: &mut Response,
    url: &Url,
    what: &str,
    policy: &Policy,
) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ClientError::of_transport(url, error))? {
        if (body.len() + chunk.len()) as u64 > policy.max_answer {
            return Err(ClientError::TooLarge { url: shown(url), what: what.to_owned(), limit: policy.max_answer });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An archive: to a temporary file beside `into`, its digest checked, synced, then renamed.
pub(crate) async fn archive(
    mut response: Response,
    url: &Url,
    what: &str,
    sha256: &str,
    into: &Path,
    policy: &Policy,
    watch: &Watch,
) -> Result<(), ClientError> {
    let too_large = || ClientError::TooLarge { url: shown(url), what: format!("`{what}`"), limit: policy.max_archive };
    let total = response.content_length();
    if total.is_some_and(|total| total > policy.max_archive) {
        return Err(too_large());
    }
    let folder = into.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    let mut file = tokio::fs::File::from_std(temporary.reopen()?);
    let mut digest = Sha256::new();
    let mut size = 0;
    let mut rate = Rate::new(policy.rate_window, policy.min_rate);
    loop {
        let next = tokio::time::timeout_at(rate.deadline(), response.chunk()).await;
        let Ok(next) = next else { return Err(ClientError::Timeout { url: shown(url) }) };
        let Some(chunk) = next.map_err(|error| ClientError::of_transport(url, error))? else { break };
        size += chunk.len() as u64;
        if size > policy.max_archive {
            return Err(too_large());
        }
        if !rate.moved(chunk.len() as u64) {
            return Err(ClientError::Timeout { url: shown(url) });
        }
        watch(size, total);
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    let found = hex::encode(digest.finalize());
    if found != sha256 {
        return Err(ClientError::WrongDigest { what: what.to_owned(), expected: sha256.to_owned(), found });
    }
    temporary.persist(into).map_err(|error| error.error)?;
    Ok(())
}

/// Watches that a transfer keeps moving: at least `min_rate` bytes a second, averaged over each window.
struct Rate {
    window: Duration,
    min: u64,
    started: Instant,
    moved: u64,
}

impl Rate {
    fn new(window: Duration, min_rate: u64) -> Self {
        let min = (window.as_secs_f64() * min_rate as f64) as u64;
        Rate { window, min: min.max(1), started: Instant::now(), moved: 0 }
    }

    fn deadline(&self) -> Instant {
        self.started + self.window
    }

    /// Counts bytes; `false` when too few came in the window that has just ended.
    fn moved(&mut self, bytes: u64) -> bool {
        self.moved += bytes;
        if self.moved >= self.min {
            self.started = Instant::now();
            self.moved = 0;
            return true;
        }
        Instant::now() < self.deadline()
    }
}
