//! The store on SQLite: write-ahead log, one writer with group commit, readers beside it.

use std::{collections::HashMap, path::Path, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use semver::Version;
use sqlx::{
    Arguments, ConnectOptions, Encode, Row, Sqlite, SqlitePool, Type,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use super::{Live, RunFilter, Store, StoreError, StoredRun, kept::Kept, schema, writer::Writer};
use crate::{
    crash,
    wire::{DeploymentView, EventPayload, RunEvent, RunStatus, RunView},
};

/// Readers at a time.
const READERS: u32 = 4;

/// A node's database file.
#[derive(Debug)]
pub(in crate::node) struct SqliteStore {
    pub(super) writer: Writer,
    pub(super) readers: SqlitePool,
    pub(super) kept: Arc<Kept>,
}

impl SqliteStore {
    /// Opens the database, making or upgrading it.
    pub(in crate::node) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The writer syncs what has to be on disk.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(10));
        let mut connection = options.connect().await?;
        let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut connection).await?.get(0);
        let version = usize::try_from(version)?;
        anyhow::ensure!(
            version <= schema::STEPS.len(),
            "`{}` was written by a newer napt (format {version}, this one knows {})",
            path.display(),
            schema::STEPS.len()
        );
        for (index, step) in schema::STEPS.iter().enumerate().skip(version) {
            let sql = format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {}; COMMIT;", index + 1);
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_with(options.clone().read_only(true)).await?;
        Ok(SqliteStore { writer: Writer::start(connection, options)?, readers, kept: Arc::default() })
    }
}

/// A run's new status as an event.
fn payload(status: RunStatus, message: Option<String>) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&EventPayload::Status { status, message })?)
}

/// Binds the next value of a statement.
fn bind<'v>(arguments: &mut SqliteArguments, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> Result<(), StoreError> {
    arguments.add(value).map_err(|error| anyhow::anyhow!("{error}"))
}

fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_microsecond(micros)?)
}

const BRIEF: &str = "id, parent, root, module, version, consumer, status, created, started, finished, error";

fn brief(row: &SqliteRow) -> Result<RunView, StoreError> {
    let status: String = row.get("status");
    Ok(RunView {
        id: row.get("id"),
        parent: row.get("parent"),
        root: row.get("root"),
        module: row.get::<String, _>("module").parse()?,
        version: row.get::<Option<String>, _>("version").map(|text| text.parse()).transpose()?,
        consumer: row.get("consumer"),
        status: RunStatus::parse(&status).ok_or_else(|| anyhow::anyhow!("unknown run status `{status}`"))?,
        inputs: serde_json::Value::Null,
        result: None,
        error: row.get("error"),
        created: time(row.get("created"))?,
        started: row.get::<Option<i64>, _>("started").map(time).transpose()?,
        finished: row.get::<Option<i64>, _>("finished").map(time).transpose()?,
    })
}

#[async_trait]
impl Store for SqliteStore {
    async fn put_user(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO users (id) VALUES ($1) ON CONFLICT DO NOTHING")
                        .bind(id)
                        .execute(db)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn knows_user(&self, id: &str) -> Result<bool, StoreError> {
        if self.kept.knows_user(id) {
            return Ok(true);
        }
        let row = sqlx::query("SELECT 1 FROM users WHERE id = $1").bind(id).fetch_optional(&self.readers).await?;
        if row.is_some() {
            self.kept.keep_user(id);
        }
        Ok(row.is_some())
    }

    async fn put_token(&self, hash: &str, name: &str, user: &str, expires: Timestamp) -> Result<(), StoreError> {
        let (row, name, owner) = (hash.to_owned(), name.to_owned(), user.to_owned());
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO tokens (hash, name, user, expires) VALUES ($1, $2, $3, $4)")
                        .bind(row)
                        .bind(name)
                        .bind(owner)
                        .bind(expires.as_microsecond())
                        .execute(db)
                        .await?;
                    Ok(())
                })
            })
            .await?;
        self.kept.keep_token(hash, user, expires);
        Ok(())
    }

    async fn end_token(&self, hash: &str) -> Result<(), StoreError> {
        let hash = hash.to_owned();
        // Only new ones are kept, so it does not come back.
        self.kept.forget_token(&hash);
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM tokens WHERE hash = $1").bind(hash).execute(db).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn token_user(&self, hash: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        if let Some(user) = self.kept.token_user(hash, now) {
            return Ok(Some(user));
        }
        let row = sqlx::query("SELECT user FROM tokens WHERE hash = $1 AND expires > $2")
            .bind(hash)
            .bind(now.as_microsecond())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn put_revision(&self, mut view: DeploymentView) -> Result<DeploymentView, StoreError> {
        let (writer, kept) = (self.writer.clone(), self.kept.clone());
        let put = async move {
            let put = writer
                .run(move |db| {
                    Box::pin(async move {
                        let row =
                            sqlx::query("SELECT view FROM revisions WHERE name = $1 ORDER BY revision DESC LIMIT 1")
                                .bind(&view.name)
                                .fetch_optional(&mut *db)
                                .await?;
                        let live: Option<DeploymentView> =
                            row.map(|row| serde_json::from_str(&row.get::<String, _>(0))).transpose()?;
                        if let Some(live) = live {
                            if live.same_as(&view) {
                                return Ok(live);
                            }
                            // The core asks before it installs; this is for two users who deploy one name at once.
                            anyhow::ensure!(
                                live.owner == view.owner,
                                "the deployment `{}` is another user's",
                                view.name
                            );
                            view.revision = live.revision;
                        }
                        view.revision += 1;
                        sqlx::query("INSERT INTO revisions (name, revision, created, view) VALUES ($1, $2, $3, $4)")
                            .bind(&view.name)
                            .bind(i64::try_from(view.revision)?)
                            .bind(view.created.as_microsecond())
                            .bind(serde_json::to_string(&view)?)
                            .execute(db)
                            .await?;
                        crash::point("deploy.storing")?;
                        Ok(view)
                    })
                })
                .await;
            kept.live_changed();
            put
        };
        // A task of its own: a caller that goes away must not leave behind what was live before.
        tokio::spawn(put).await?
    }

    async fn revision(&self, name: &str, number: u64) -> Result<Option<DeploymentView>, StoreError> {
        let row = sqlx::query("SELECT view FROM revisions WHERE name = $1 AND revision = $2")
            .bind(name)
            .bind(i64::try_from(number)?)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| Ok(serde_json::from_str(&row.get::<String, _>(0))?)).transpose()
    }

    async fn revisions(&self, name: &str) -> Result<Vec<DeploymentView>, StoreError> {
        let rows = sqlx::query("SELECT view FROM revisions WHERE name = $1 ORDER BY revision DESC")
            .bind(name)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok(serde_json::from_str(&row.get::<String, _>(0))?)).collect()
    }

    async fn newest_revisions(&self, count: usize) -> Result<Vec<DeploymentView>, StoreError> {
        let rows = sqlx::query(
            "SELECT view FROM (SELECT view, row_number() OVER (PARTITION BY name ORDER BY revision DESC) AS place \
             FROM revisions WHERE NOT coalesce(json_extract(view, '$.removed'), 0)) WHERE place <= $1",
        )
        .bind(i64::try_from(count)?)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok(serde_json::from_str(&row.get::<String, _>(0))?)).collect()
    }

    async fn deployments(&self) -> Result<Live, StoreError> {
        let (kept, changes) = self.kept.live();
        if let Some(live) = kept {
            return Ok(live);
        }
        let rows = sqlx::query("SELECT view, max(revision) FROM revisions GROUP BY name ORDER BY max(created) DESC")
            .fetch_all(&self.readers)
            .await?;
        let mut latest: Vec<Arc<DeploymentView>> = rows
            .iter()
            .map(|row| Ok(Arc::new(serde_json::from_str(&row.get::<String, _>(0))?)))
            .collect::<Result<_, StoreError>>()?;
        latest.retain(|deployment| !deployment.removed);
        let live = Arc::new(latest);
        self.kept.keep_live(&live, changes);
        Ok(live)
    }

    async fn unfinished_by_revision(&self) -> Result<HashMap<(String, u64), u64>, StoreError> {
        let rows = sqlx::query(
            "SELECT revision_of, revision, count(*) FROM runs WHERE finished IS NULL \
             AND (parent IS NULL OR parent NOT IN (SELECT id FROM runs)) GROUP BY revision_of, revision",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let (number, count): (i64, i64) = (row.get(1), row.get(2));
                Ok(((row.get(0), u64::try_from(number)?), u64::try_from(count)?))
            })
            .collect()
    }

    async fn create_run(&self, run: &StoredRun) -> Result<(), StoreError> {
        let inputs = serde_json::to_string(&run.view.inputs)?;
        let deployment = serde_json::to_string(&run.deployment)?;
        let processing = run.view.started.map(|_| payload(RunStatus::Processing, None)).transpose()?;
        let mut arguments = SqliteArguments::default();
        let view = &run.view;
        bind(&mut arguments, view.id.clone())?;
        bind(&mut arguments, view.parent.clone())?;
        bind(&mut arguments, view.root.clone())?;
        bind(&mut arguments, view.module.to_string())?;
        bind(&mut arguments, view.version.as_ref().map(Version::to_string))?;
        bind(&mut arguments, view.consumer.clone())?;
        bind(&mut arguments, view.status.as_str())?;
        bind(&mut arguments, view.created.as_microsecond())?;
        bind(&mut arguments, inputs)?;
        bind(&mut arguments, deployment)?;
        bind(&mut arguments, run.signature.clone())?;
        bind(&mut arguments, run.revision.0.clone())?;
        bind(&mut arguments, i64::try_from(run.revision.1)?)?;
        bind(&mut arguments, view.started.map(Timestamp::as_microsecond))?;
        bind(&mut arguments, processing)?;
        crash::point("run.storing")?;
        self.writer
            .state(
                "INSERT INTO runs (id, parent, root, module, version, consumer, status, created, inputs, \
                 deployment, signature, revision_of, revision, started) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14); \
                 INSERT INTO events (run, seq, time, payload) SELECT $1, 1, $14, $15 WHERE $14 IS NOT NULL",
                arguments,
            )
            .await
            .map(drop)
    }

    async fn assign_run(
        &self,
        id: &str,
        version: &Version,
        deployment: serde_json::Value,
        (name, number): (String, u64),
    ) -> Result<(), StoreError> {
        let (id, version, deployment) = (id.to_owned(), version.to_string(), serde_json::to_string(&deployment)?);
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE runs SET version = $2, deployment = $3, revision_of = $4, revision = $5 \
                         WHERE id = $1 AND finished IS NULL",
                    )
                    .bind(id)
                    .bind(version)
                    .bind(deployment)
                    .bind(name)
                    .bind(i64::try_from(number)?)
                    .execute(db)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn start_run(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut arguments = SqliteArguments::default();
        bind(&mut arguments, id.to_owned())?;
        bind(&mut arguments, at.as_microsecond())?;
        bind(&mut arguments, payload(RunStatus::Processing, None)?)?;
        self.writer
            .state(
                "UPDATE runs SET status = 'processing', started = $2 WHERE id = $1 AND finished IS NULL; \
                 INSERT INTO events (run, seq, time, payload) \
                 SELECT $1, coalesce(max(seq), 0) + 1, $2, $3 FROM events WHERE run = $1",
                arguments,
            )
            .await
            .map(drop)
    }

    async fn finish_run(
        &self,
        id: &str,
        status: RunStatus,
        result: Option<String>,
        error: Option<String>,
        at: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let payload = payload(status, error.clone())?;
        let mut arguments = SqliteArguments::default();
        bind(&mut arguments, id.to_owned())?;
        bind(&mut arguments, status.as_str())?;
        bind(&mut arguments, result)?;
        bind(&mut arguments, error)?;
        bind(&mut arguments, at.as_microsecond())?;
        bind(&mut arguments, payload)?;
        crash::point("run.ending")?;
        let number = self
            .writer
            .state(
                "UPDATE runs SET status = $2, result = $3, error = $4, finished = $5 \
                 WHERE id = $1 AND finished IS NULL; \
                 INSERT INTO events (run, seq, time, payload) \
                 SELECT $1, coalesce(max(seq), 0) + 1, $5, $6 FROM events WHERE run = $1 HAVING changes() = 1 \
                 RETURNING seq",
                arguments,
            )
            .await?;
        Ok(number.map(u64::try_from).transpose()?)
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.writer.settle().await
    }

    async fn run(&self, id: &str) -> Result<Option<StoredRun>, StoreError> {
        let row = sqlx::query("SELECT * FROM runs WHERE id = $1").bind(id).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let mut view = brief(&row)?;
        view.inputs = serde_json::from_str(&row.get::<String, _>("inputs"))?;
        view.result = row.get("result");
        let deployment = serde_json::from_str(&row.get::<String, _>("deployment"))?;
        let revision = (row.get("revision_of"), u64::try_from(row.get::<i64, _>("revision"))?);
        Ok(Some(StoredRun { view, deployment, revision, signature: row.get("signature") }))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunView>, StoreError> {
        let sql = format!(
            "SELECT {BRIEF} FROM runs WHERE ($1 IS NULL OR consumer = $1) AND (NOT $2 OR parent IS NULL) \
             ORDER BY id DESC LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(filter.consumer)
            .bind(filter.roots)
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(brief).collect()
    }

    async fn tree(&self, root: &str) -> Result<Vec<RunView>, StoreError> {
        let sql = format!("SELECT {BRIEF} FROM runs WHERE root = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(root).fetch_all(&self.readers).await?;
        rows.iter().map(brief).collect()
    }

    async fn unfinished_runs(&self) -> Result<Vec<(String, RunStatus, Option<String>)>, StoreError> {
        let rows = sqlx::query("SELECT id, status, parent FROM runs WHERE finished IS NULL ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let status: String = row.get(1);
                let status = RunStatus::parse(&status).ok_or_else(|| anyhow::anyhow!("unknown status `{status}`"))?;
                Ok((row.get(0), status, row.get(2)))
            })
            .collect()
    }

    async fn append_events(&self, run: &str, events: Vec<(Timestamp, EventPayload)>) -> Result<(), StoreError> {
        let rows: Result<Vec<(i64, String)>, serde_json::Error> =
            events.iter().map(|(time, payload)| Ok((time.as_microsecond(), serde_json::to_string(payload)?))).collect();
        let mut arguments = SqliteArguments::default();
        bind(&mut arguments, run.to_owned())?;
        bind(&mut arguments, serde_json::to_string(&rows?)?)?;
        // One statement for all: a module may print very many lines.
        self.writer
            .state(
                "INSERT INTO events (run, seq, time, payload) \
                 SELECT $1, last + key + 1, value ->> 0, value ->> 1 \
                 FROM json_each($2), (SELECT coalesce(max(seq), 0) AS last FROM events WHERE run = $1)",
                arguments,
            )
            .await
            .map(drop)
    }

    async fn events(&self, run: &str, after: u64, limit: u32) -> Result<Vec<RunEvent>, StoreError> {
        let rows =
            sqlx::query("SELECT seq, time, payload FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3")
                .bind(run)
                .bind(i64::try_from(after)?)
                .bind(limit)
                .fetch_all(&self.readers)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(RunEvent {
                    seq: u64::try_from(row.get::<i64, _>(0))?,
                    time: time(row.get(1))?,
                    payload: serde_json::from_str(&row.get::<String, _>(2))?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_was_full_is_used_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("node.sqlite")).await.expect("a store");
        // As if the disk had no room for more than a few pages.
        let limit = |pages: u32| {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            store.writer.run(move |db| {
                Box::pin(async move {
                    sqlx::raw_sql(sql).execute(db).await?;
                    Ok(())
                })
            })
        };
        limit(1).await.expect("a limit");
        let long = "x".repeat(1 << 20);
        store.put_user(&long).await.expect_err("no room");
        store.put_user("user:small").await.expect("room for the small, as there is again");
        assert!(store.knows_user("user:small").await.expect("an answer"));
        assert!(!store.knows_user(&long).await.expect("an answer"));
    }

    #[tokio::test]
    async fn statements_that_fail_take_nothing_else_with_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("node.sqlite")).await.expect("a store");
        let put = async |name: &str| {
            let mut arguments = SqliteArguments::default();
            bind(&mut arguments, name.to_owned()).expect("a value");
            let sql = "INSERT INTO users (id) VALUES ('with ' || $1); INSERT INTO users (id) VALUES ($1) RETURNING 7";
            store.writer.state(sql, arguments).await
        };
        assert_eq!(put("one").await.expect("stored"), Some(7));
        put("one").await.expect_err("it is there already");
        // Together, in one transaction or several.
        let (two, again, three) = tokio::join!(put("two"), put("two"), put("three"));
        assert_eq!((two.is_ok(), again.is_ok(), three.is_ok()), (true, false, true));
        // Half of one that fails is not there.
        put("with four").await.expect("stored");
        put("four").await.expect_err("`with four` is there already");
        for (user, known) in [("one", true), ("two", true), ("three", true), ("with with four", true), ("four", false)]
        {
            assert_eq!(store.knows_user(user).await.expect("an answer"), known, "{user}");
        }
    }
}
