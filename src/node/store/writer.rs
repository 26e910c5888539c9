//! Group commit: one connection writes, and all that waits is committed in one transaction. What is committed outlives
//! this process; what has to outlive the machine is synced besides, by a thread of its own, so that the next commit does not
//! wait for the disk. That is what SQLite itself does at each commit with `synchronous = FULL`, and here one sync is
//! enough for all commits before it.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteConnectOptions},
};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Writes that may wait before callers are held back.
const QUEUE: usize = 1024;

/// Writes that share one commit at the most.
const BATCH: usize = 256;

type Steps = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), StoreError>> + Send>;

enum Work {
    /// Whatever takes several steps.
    Steps(Steps),
    /// Statements that are answered with one number at the most: one way to SQLite's thread and back, together with what makes
    /// them a transaction.
    Statements(&'static str, SqliteArguments),
}

/// Told what came of it, which for statements is the number in their last row.
type Done = oneshot::Sender<Result<Option<i64>, StoreError>>;

struct Job {
    work: Work,
    done: Done,
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
        let work = Work::Steps(Box::new(move |connection| {
            Box::pin(async move {
                let result = work(connection).await?;
                // A caller that was dropped wants no answer.
                let _ = value.send(result);
                Ok(())
            })
        }));
        self.done(work).await?;
        kept.try_recv().map_err(|_| stopped())
    }

    /// Runs statements in the next transaction and returns once that is committed: the number in the last row, if any.
    pub(super) async fn state(&self, sql: &'static str, arguments: SqliteArguments) -> Result<Option<i64>, StoreError> {
        self.done(Work::Statements(sql, arguments)).await
    }

    async fn done(&self, work: Work) -> Result<Option<i64>, StoreError> {
        let (done, finished) = oneshot::channel();
        self.jobs.send(Job { work, done }).await.map_err(|_| stopped())?;
        finished.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    anyhow::anyhow!("the store has stopped")
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
        for (done, number) in waiting.into_iter().chain(batch.drain(..).map(|job| (job.done, None))) {
            // A caller that was dropped wants no answer.
            let _ = done.send(committed.as_ref().map(|()| number).map_err(|error| anyhow::anyhow!("{error}")));
        }
    }
}

/// Does a batch of work in one transaction; `waiting` gets those that its commit decides about.
async fn commit(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Job>,
    waiting: &mut Vec<(Done, Option<i64>)>,
) -> Result<(), sqlx::Error> {
    if let [Job { work: Work::Statements(..), .. }] = batch.as_slice()
        && let Some(Job { work: Work::Statements(sql, arguments), done }) = batch.pop()
    {
        // When it fails, the connection is made again, which ends the transaction.
        let executed = execute(connection, format!("BEGIN IMMEDIATE; {sql}; COMMIT"), arguments).await;
        waiting.push((done, executed.as_ref().copied().unwrap_or_default()));
        return executed.map(drop);
    }
    let mut transaction = connection.begin().await?;
    if let [Job { work: Work::Steps(_), .. }] = batch.as_slice()
        && let Some(Job { work: Work::Steps(work), done }) = batch.pop()
    {
        // Alone, it needs no savepoint.
        return match work(&mut transaction).await {
            Ok(()) => {
                waiting.push((done, None));
                transaction.commit().await
            }
            Err(error) => {
                let _ = done.send(Err(error));
                transaction.rollback().await
            }
        };
    }
    for Job { work, done } in batch.drain(..) {
        // A savepoint each, so that one that fails takes nothing else with it.
        let worked: Result<Option<i64>, StoreError> = match work {
            Work::Statements(sql, arguments) => {
                let sql = format!("SAVEPOINT own; {sql}; RELEASE own");
                let executed = execute(&mut transaction, sql, arguments).await;
                if executed.is_err() {
                    sqlx::raw_sql("ROLLBACK TO own; RELEASE own").execute(&mut *transaction).await?;
                }
                executed.map_err(Into::into)
            }
            Work::Steps(work) => {
                let mut own = transaction.begin().await?;
                let worked = work(&mut own).await;
                match worked {
                    Ok(()) => own.commit().await?,
                    Err(_) => own.rollback().await?,
                }
                worked.map(|()| None)
            }
        };
        match worked {
            Ok(number) => waiting.push((done, number)),
            Err(error) => drop(done.send(Err(error))),
        }
    }
    transaction.commit().await
}

/// The number in the last row that they give.
async fn execute(
    connection: &mut SqliteConnection,
    sql: String,
    arguments: SqliteArguments,
) -> Result<Option<i64>, sqlx::Error> {
    let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments).fetch_all(connection).await?;
    rows.last().map(|row| row.try_get(0)).transpose()
}
