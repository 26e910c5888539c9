//! Group commit: one connection writes, and all that waits is committed in one transaction. What is committed outlives
//! this process; what has to outlive the machine is synced besides, by a thread of its own, so that the next commit does not
//! wait for the disk. That is what SQLite itself does at each commit with `synchronous = FULL`, and here one sync is
//! enough for all commits before it.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Writes that may wait before callers are held back.
const QUEUE: usize = 1024;

/// Writes that share one commit at the most.
const BATCH: usize = 256;

type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), StoreError>> + Send>;

struct Job {
    work: Work,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Whoever waits for a sync.
type Synced = oneshot::Sender<std::io::Result<()>>;

/// A handle to the writing task.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    syncs: mpsc::Sender<Synced>,
}

impl Writer {
    /// Starts the task on its own connection, which it makes again with `options` when it is of no more use. Both write
    /// to the log without syncing it.
    pub(super) fn start(connection: SqliteConnection, options: SqliteConnectOptions) -> std::io::Result<Self> {
        let mut log = options.get_filename().as_os_str().to_owned();
        log.push("-wal");
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let (syncs, waiting) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("napt-sync".to_owned()).spawn(move || sync(&log.into(), waiting))?;
        tokio::spawn(write(connection, options, receiver));
        Ok(Writer { jobs, syncs })
    }

    /// Runs `work` in the next transaction and returns once that is on disk.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let value = self.commit(work).await?;
        self.settle().await?;
        Ok(value)
    }

    /// Returns once all that has been committed is on disk.
    pub(super) async fn settle(&self) -> Result<(), StoreError> {
        let (done, synced) = oneshot::channel();
        let stopped = || anyhow::anyhow!("the store has stopped");
        self.syncs.send(done).await.map_err(|_| stopped())?;
        Ok(synced.await.map_err(|_| stopped())??)
    }

    /// Runs `work` in the next transaction and returns once that is committed.
    pub(super) async fn commit<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (value, mut kept) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let result = work(connection).await?;
                // A caller that was dropped wants no answer.
                let _ = value.send(result);
                Ok(())
            })
        });
        let (done, finished) = oneshot::channel();
        let stopped = || anyhow::anyhow!("the store has stopped");
        self.jobs.send(Job { work, done }).await.map_err(|_| stopped())?;
        finished.await.map_err(|_| stopped())??;
        kept.try_recv().map_err(|_| stopped())
    }
}

/// Syncs the log for all who wait.
fn sync(log: &PathBuf, mut waiting: mpsc::Receiver<Synced>) {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, QUEUE) > 0 {
        // Opened each time: the log is another file when the last connection was closed meanwhile, and none when all that
        // was in it has been written, and synced, to the database.
        let synced = match std::fs::File::open(log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            log => log.and_then(|log| log.sync_data()),
        };
        for done in batch.drain(..) {
            // A caller that was dropped wants no answer.
            let _ = done.send(match &synced {
                Ok(()) => Ok(()),
                Err(error) => {
                    Err(error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error))
                }
            });
        }
    }
}

async fn write(mut connection: SqliteConnection, options: SqliteConnectOptions, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let mut waiting = Vec::new();
        let committed = commit(&mut connection, &mut batch, &mut waiting).await;
        if committed.is_err()
            && let Ok(fresh) = options.connect().await
        {
            // SQLite rolls back by itself when the disk is full; the connection does not know, and would refuse for ever.
            connection = fresh;
        }
        for done in waiting.into_iter().chain(batch.drain(..).map(|job| job.done)) {
            // A caller that was dropped wants no answer.
            let _ = done.send(committed.as_ref().copied().map_err(|error| anyhow::anyhow!("{error}")));
        }
    }
}

/// Does a batch of work in one transaction; `waiting` gets those that its commit decides about.
async fn commit(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Job>,
    waiting: &mut Vec<oneshot::Sender<Result<(), StoreError>>>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if batch.len() == 1
        && let Some(Job { work, done }) = batch.pop()
    {
        // Alone, it needs no savepoint.
        return match work(&mut transaction).await {
            Ok(()) => {
                waiting.push(done);
                transaction.commit().await
            }
            Err(error) => {
                let _ = done.send(Err(error));
                transaction.rollback().await
            }
        };
    }
    for job in batch.drain(..) {
        // A savepoint each, so that one that fails takes nothing else with it.
        let mut own = transaction.begin().await?;
        match (job.work)(&mut own).await {
            Ok(()) => {
                waiting.push(job.done);
                own.commit().await?;
            }
            Err(error) => {
                let _ = job.done.send(Err(error));
                own.rollback().await?;
            }
        }
    }
    transaction.commit().await
}
