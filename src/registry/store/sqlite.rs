//! The records in one SQLite file: write-ahead log, synced at every commit.

use std::{path::Path, str::FromStr, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use napt_registry_client::{
    INDEX_FORMAT, IndexEntry, ModuleDetails, ModuleSource, ModuleSummary, ModuleVersion, NodeRecord, Page, TokenInfo,
};
use semver::Version;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Connection, Row, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{
    Announced, Inserted, NewVersion, Store, StoreError, TokenRecord, Yanked,
    hub::{add_module, remove_claims, remove_node},
    nodes, runtime_text,
};
use crate::{
    crash,
    module::{ModuleId, ModuleType},
};

const CONNECTIONS: u32 = 8;
const PAGE_SIZE: u32 = 20;

/// What [`entry`] reads; not the manifest and the README, which may be large, and of which there are many.
macro_rules! entry_columns {
    () => {
        "type, name, version, deps, sha256, size, yanked, yank_reason, runtime, published"
    };
}

/// What [`summary`] reads.
macro_rules! summary_columns {
    () => {
        "m.*, p.url AS source_url, p.version AS source_version"
    };
}

/// Modules of type ?1 whose texts hold all words of the JSON list ?2.
macro_rules! found {
    () => {
        "FROM modules m LEFT JOIN pointers p ON p.module_id = m.id WHERE (?1 IS NULL OR m.type = ?1) AND NOT EXISTS (SELECT 1 FROM json_each(?2) w WHERE \
         instr(replace(lower(m.name || ' ' || m.description || ' ' || m.keywords), '-', '_'), w.value) = 0)"
    };
}

/// Records in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pub(super) pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it when there is none, and brings it up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        // After an error such as a full disk SQLite has rolled back by itself; sqlx then takes the connection to be in a
        // transaction for ever.
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await?;
        let migration = |number, name: &'static str, sql: &'static str| {
            Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        let migrations = vec![
            migration(1, "start", include_str!("migrations/0001_start.sql")),
            migration(2, "hub", include_str!("migrations/0002_hub.sql")),
            migration(3, "nodes", include_str!("migrations/0003_nodes.sql")),
        ];
        Migrator::with_migrations(migrations).run(&pool).await?;
        Ok(SqliteStore { pool })
    }

    /// Closes the database: its log is in it, and no file of it changes any more.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that no other writer can get in the way of.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_challenge(&self, hash: &str, expires: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM challenges WHERE expires <= ?")
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO challenges (hash, expires) VALUES (?, ?)")
            .bind(hash)
            .bind(expires.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn take_challenge(&self, hash: &str, now: Timestamp) -> Result<bool, StoreError> {
        let row = sqlx::query("DELETE FROM challenges WHERE hash = ? RETURNING expires")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        Ok(match row {
            Some(row) => time(&row, "expires")? > now,
            None => false,
        })
    }

    async fn ensure_user(&self, user: &str, keeps: bool, now: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let known =
            sqlx::query("SELECT proved FROM users WHERE id = ?").bind(user).fetch_optional(&mut *transaction).await?;
        let sql = "INSERT INTO users (id, created) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET proved = 1";
        sqlx::query(sql).bind(user).bind(now.as_millisecond()).execute(&mut *transaction).await?;
        let was_proved = known.as_ref().map(|row| row.try_get::<bool, _>("proved")).transpose()?;
        if was_proved == Some(false) {
            // Where somebody said that the key's node is decides where calls go. A node says it again at its start.
            remove_node(&mut transaction, user).await?;
            if !keeps {
                remove_claims(&mut transaction, user).await?;
            }
        }
        transaction.commit().await?;
        Ok(known.is_none())
    }

    async fn add_token(&self, hash: &str, token: &TokenRecord) -> Result<(), StoreError> {
        let TokenRecord { user, info } = token;
        sqlx::query(
            "INSERT INTO tokens (id, user_id, hash, name, verbs, modules, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&info.id)
        .bind(user)
        .bind(hash)
        .bind(&info.name)
        .bind(to_json(&info.verbs)?)
        .bind(&info.modules)
        .bind(info.created.as_millisecond())
        .bind(info.expires.as_millisecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn token(&self, hash: &str) -> Result<Option<TokenRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = ?").bind(hash).fetch_optional(&self.pool).await?;
        row.map(|row| Ok(TokenRecord { user: row.try_get("user_id")?, info: token_info(&row)? })).transpose()
    }

    async fn tokens(&self, user: &str) -> Result<Vec<TokenInfo>, StoreError> {
        let sql = "SELECT * FROM tokens WHERE user_id = ? ORDER BY created, id";
        sqlx::query(sql).bind(user).fetch_all(&self.pool).await?.iter().map(token_info).collect()
    }

    async fn remove_token(&self, user: &str, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tokens WHERE user_id = ? AND id = ?";
        Ok(sqlx::query(sql).bind(user).bind(id).execute(&self.pool).await?.rows_affected() == 1)
    }

    async fn owners(&self, id: &ModuleId) -> Result<Option<Vec<String>>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        match module_row(&mut connection, id).await? {
            Some(module) => Ok(Some(owners(&mut connection, module).await?)),
            None => Ok(None),
        }
    }

    async fn insert(&self, new: &NewVersion) -> Result<Inserted, StoreError> {
        let manifest = &new.manifest;
        let mut transaction = self.begin().await?;
        crash::point("publish.begun").map_err(sqlx::Error::Io)?;
        let module = match module_row(&mut transaction, &manifest.id).await? {
            Some(module) => {
                if !owners(&mut transaction, module).await?.contains(&new.publisher) {
                    return Ok(Inserted::NotOwner);
                }
                module
            }
            None => add_module(&mut transaction, &manifest.id, &new.publisher).await?,
        };
        if let Some(existing) = version_row(&mut transaction, &manifest.id, &manifest.version).await? {
            return Ok(Inserted::Exists(Box::new(existing)));
        }
        let sql = "INSERT INTO versions \
                   (module_id, version, sha256, size, runtime, deps, manifest, readme, publisher, published) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(module)
            .bind(manifest.version.to_string())
            .bind(&new.sha256)
            .bind(i64::try_from(new.size).map_err(|error| StoreError::Corrupt(error.to_string()))?)
            .bind(runtime_text(manifest))
            .bind(to_json(&new.deps())?)
            .bind(to_json(manifest)?)
            .bind(&new.readme)
            .bind(&new.publisher)
            .bind(new.published.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        // With its own archive here it points nowhere else any more.
        sqlx::query("DELETE FROM pointers WHERE module_id = ?").bind(module).execute(&mut *transaction).await?;
        summarise(&mut transaction, module).await?;
        let version = manifest.version.to_string();
        event(&mut transaction, new.published, &new.publisher, "publish", module, &version, &new.sha256).await?;
        crash::point("publish.inserted").map_err(sqlx::Error::Io)?;
        transaction.commit().await?;
        Ok(Inserted::Created)
    }

    async fn set_yanked(
        &self,
        id: &ModuleId,
        version: &Version,
        yanked: bool,
        reason: Option<&str>,
        user: &str,
        now: Timestamp,
    ) -> Result<Yanked, StoreError> {
        let mut transaction = self.begin().await?;
        let Some(module) = module_row(&mut transaction, id).await? else { return Ok(Yanked::Missing) };
        if !owners(&mut transaction, module).await?.iter().any(|owner| owner == user) {
            return Ok(Yanked::NotOwner);
        }
        let done = sqlx::query("UPDATE versions SET yanked = ?, yank_reason = ? WHERE module_id = ? AND version = ?")
            .bind(yanked)
            .bind(reason)
            .bind(module)
            .bind(version.to_string())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(Yanked::Missing);
        }
        summarise(&mut transaction, module).await?;
        let action = if yanked { "yank" } else { "unyank" };
        event(&mut transaction, now, user, action, module, &version.to_string(), reason.unwrap_or_default()).await?;
        transaction.commit().await?;
        Ok(Yanked::Done)
    }

    async fn index(&self, id: &ModuleId) -> Result<Option<Vec<IndexEntry>>, StoreError> {
        // A module's row is made with its first version, in one transaction.
        let sql = concat!("SELECT ", entry_columns!(), " FROM entries WHERE type = ? AND name = ? ORDER BY id");
        let rows = sqlx::query(sql).bind(id.module_type.as_str()).bind(id.name.as_str()).fetch_all(&self.pool).await?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok((!entries.is_empty()).then_some(entries))
    }

    async fn version(&self, id: &ModuleId, version: &Version) -> Result<Option<IndexEntry>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        version_row(&mut connection, id, version).await
    }

    async fn module(&self, id: &ModuleId) -> Result<Option<ModuleDetails>, StoreError> {
        // One snapshot for all that follows.
        let mut transaction = self.pool.begin().await?;
        let sql = concat!(
            "SELECT ",
            summary_columns!(),
            " FROM modules m LEFT JOIN pointers p ON p.module_id = m.id WHERE m.type = ? AND m.name = ?"
        );
        let row = sqlx::query(sql)
            .bind(id.module_type.as_str())
            .bind(id.name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let module: i64 = row.try_get("id")?;
        let summary = summary(&row)?;
        let owners = owners(&mut transaction, module).await?;
        if summary.source.is_some() {
            return Ok(Some(ModuleDetails {
                summary,
                owners,
                versions: Vec::new(),
                manifest: serde_json::Value::Null,
                readme: None,
            }));
        }
        let sql = concat!("SELECT ", entry_columns!(), ", publisher FROM entries WHERE module_id = ?");
        let rows = sqlx::query(sql).bind(module).fetch_all(&mut *transaction).await?;
        let newest = sqlx::query("SELECT manifest, readme FROM versions WHERE module_id = ? AND version = ?")
            .bind(module)
            .bind(summary.version.to_string())
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or_else(|| StoreError::Corrupt(format!("`{id}` has no version {}", summary.version)))?;
        let manifest = from_json(&newest, "manifest")?;
        let readme = newest.try_get("readme")?;
        let version = |row: &SqliteRow| -> Result<ModuleVersion, StoreError> {
            Ok(ModuleVersion { entry: entry(row)?, publisher: row.try_get("publisher")? })
        };
        let mut versions = rows.iter().map(version).collect::<Result<Vec<_>, _>>()?;
        versions.sort_by(|a, b| b.entry.version.cmp(&a.entry.version));
        Ok(Some(ModuleDetails { summary, owners, versions, manifest, readme }))
    }

    async fn search(
        &self,
        words: &[String],
        module_type: Option<ModuleType>,
        page: u32,
    ) -> Result<Page<ModuleSummary>, StoreError> {
        // The same statement for any number of words: no text of a caller's ever becomes SQL. SQLite's `lower` knows
        // ASCII only.
        let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase().replace('-', "_")).collect();
        let words = to_json(&words)?;
        let module_type = module_type.map(ModuleType::as_str);
        let mut transaction = self.pool.begin().await?;
        let total: i64 = sqlx::query(concat!("SELECT count(*) AS total ", found!()))
            .bind(module_type)
            .bind(&words)
            .fetch_one(&mut *transaction)
            .await?
            .try_get("total")?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            summary_columns!(),
            " ",
            found!(),
            " ORDER BY m.name, m.type LIMIT ?3 OFFSET ?4"
        ))
        .bind(module_type)
        .bind(&words)
        .bind(PAGE_SIZE)
        .bind(i64::from(page.saturating_sub(1)) * i64::from(PAGE_SIZE))
        .fetch_all(&mut *transaction)
        .await?;
        let items = rows.iter().map(summary).collect::<Result<_, _>>()?;
        Ok(Page { items, page, total: total.unsigned_abs() })
    }

    async fn put_node(&self, record: &NodeRecord, gone: Timestamp) -> Result<Announced, StoreError> {
        nodes::put(self.begin().await?, record, gone).await
    }

    async fn has_node(&self, id: &str, since: Timestamp) -> Result<bool, StoreError> {
        nodes::has(&self.pool, id, since).await
    }

    async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeRecord>, StoreError> {
        nodes::all(&self.pool, since).await
    }

    async fn remove_node(&self, id: &str) -> Result<bool, StoreError> {
        nodes::remove(&self.pool, id).await
    }
}

pub(super) async fn module_row(connection: &mut SqliteConnection, id: &ModuleId) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT id FROM modules WHERE type = ? AND name = ?")
        .bind(id.module_type.as_str())
        .bind(id.name.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}

async fn version_row(
    connection: &mut SqliteConnection,
    id: &ModuleId,
    version: &Version,
) -> Result<Option<IndexEntry>, StoreError> {
    let sql = concat!("SELECT ", entry_columns!(), " FROM entries WHERE type = ? AND name = ? AND version = ?");
    let row = sqlx::query(sql)
        .bind(id.module_type.as_str())
        .bind(id.name.as_str())
        .bind(version.to_string())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn owners(connection: &mut SqliteConnection, module: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT user_id FROM owners WHERE module_id = ? ORDER BY user_id";
    let rows = sqlx::query(sql).bind(module).fetch_all(connection).await?;
    Ok(rows.iter().map(|row| row.try_get("user_id")).collect::<Result<_, _>>()?)
}

/// The highest version of a module, those that are not yanked and stable ones first.
pub(super) async fn highest(connection: &mut SqliteConnection, module: i64) -> Result<Option<Version>, StoreError> {
    let rows = sqlx::query("SELECT version, yanked FROM versions WHERE module_id = ?")
        .bind(module)
        .fetch_all(connection)
        .await?;
    let rank = |row| -> Result<(bool, bool, Version), StoreError> {
        let version: Version = parse(row, "version")?;
        Ok((!row.try_get::<bool, _>("yanked")?, version.pre.is_empty(), version))
    };
    let ranks = rows.iter().map(rank).collect::<Result<Vec<_>, _>>()?;
    Ok(ranks.into_iter().max().map(|(_, _, version)| version))
}

/// Copies to the module what search shows of its highest version.
async fn summarise(connection: &mut SqliteConnection, module: i64) -> Result<(), StoreError> {
    let Some(version) = highest(connection, module).await? else { return Ok(()) };
    let row = sqlx::query("SELECT manifest, published FROM versions WHERE module_id = ? AND version = ?")
        .bind(module)
        .bind(version.to_string())
        .fetch_one(&mut *connection)
        .await?;
    let manifest: crate::module::Manifest = from_json(&row, "manifest")?;
    sqlx::query("UPDATE modules SET version = ?, description = ?, keywords = ?, published = ? WHERE id = ?")
        .bind(version.to_string())
        .bind(manifest.description)
        .bind(manifest.keywords.join(" "))
        .bind(row.try_get::<i64, _>("published")?)
        .bind(module)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn event(
    connection: &mut SqliteConnection,
    at: Timestamp,
    user: &str,
    action: &str,
    module: i64,
    version: &str,
    detail: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (at, user_id, action, module_id, version, detail) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(at.as_millisecond())
        .bind(user)
        .bind(action)
        .bind(module)
        .bind(version)
        .bind(detail)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn entry(row: &SqliteRow) -> Result<IndexEntry, StoreError> {
    Ok(IndexEntry {
        format: INDEX_FORMAT,
        name: row.try_get("name")?,
        module_type: row.try_get("type")?,
        version: parse(row, "version")?,
        deps: from_json(row, "deps")?,
        sha256: row.try_get("sha256")?,
        size: row.try_get::<i64, _>("size")?.unsigned_abs(),
        yanked: row.try_get("yanked")?,
        yank_reason: row.try_get("yank_reason")?,
        runtime: row.try_get("runtime")?,
        published: time(row, "published")?,
    })
}

fn summary(row: &SqliteRow) -> Result<ModuleSummary, StoreError> {
    let source = match row.try_get("source_url")? {
        Some(url) => Some(ModuleSource { url, version: row.try_get("source_version")? }),
        None => None,
    };
    Ok(ModuleSummary {
        module_type: row.try_get("type")?,
        name: row.try_get("name")?,
        version: parse(row, "version")?,
        description: row.try_get("description")?,
        published: time(row, "published")?,
        source,
    })
}

fn token_info(row: &SqliteRow) -> Result<TokenInfo, StoreError> {
    Ok(TokenInfo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        verbs: from_json(row, "verbs")?,
        modules: row.try_get("modules")?,
        created: time(row, "created")?,
        expires: time(row, "expires")?,
    })
}

fn corrupt(column: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("`{column}`: {error}"))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(|error| corrupt(column, error))
}

fn parse<T: FromStr<Err: std::fmt::Display>>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    row.try_get::<String, _>(column)?.parse().map_err(|error| corrupt(column, error))
}

pub(super) fn from_json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    serde_json::from_str(&row.try_get::<String, _>(column)?).map_err(|error| corrupt(column, error))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Changed, HubAccount, HubSecret, HubServer, HubStore, Pointer};

    #[tokio::test]
    async fn nothing_is_registered_after_a_key_was_proved_by_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("x.db")).await.expect("a store");
        let (user, now) = ("user:x", Timestamp::UNIX_EPOCH);
        let account = HubAccount {
            user: user.to_owned(),
            username: "x".to_owned(),
            password: String::new(),
            confirmed: false,
            proved: false,
        };
        store.add_hub_account(&account, now).await.expect("an account");
        let pointer = Pointer {
            id: "agent:x".parse().expect("an id"),
            description: String::new(),
            parameters: String::new(),
            url: "u".to_owned(),
            version: "v1".to_owned(),
            entrypoint: String::new(),
            execution_type: String::new(),
        };
        let secret = HubSecret { key_name: "k".to_owned(), value: "v".to_owned() };
        let server =
            HubServer { id: "server:x".to_owned(), node: "node:x".to_owned(), protocol: "ws".to_owned(), port: 1 };
        for expected in [Changed::Done, Changed::NotOwner] {
            let changed = [
                store.put_pointer(&pointer, user, true, now).await,
                store.put_hub_node(user, &serde_json::Value::Null, true).await,
                store.put_hub_server(&server, user, true).await,
                store.change_hub_secrets(user, std::slice::from_ref(&secret), &[]).await,
            ];
            assert_eq!(changed.map(|changed| changed.expect("an answer")), [expected; 4]);
            // As a call would that was checked before, and comes after.
            store.ensure_user(user, false, now).await.expect("a user");
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_survived() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("x.db")).await.expect("a store");
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(store.pool.acquire().await.expect("a connection"));
        }
        for connection in &mut connections {
            // No more pages than there are.
            sqlx::query("PRAGMA max_page_count = 1").execute(&mut **connection).await.expect("a pragma");
        }
        drop(connections);
        let now = Timestamp::UNIX_EPOCH;
        let mut full = 0;
        for number in 0..1000 {
            match store.add_challenge(&format!("{number:0100}"), Timestamp::MAX, now).await {
                Ok(()) => {}
                Err(StoreError::Full) => full += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        // A connection that was closed comes back without the limit, as if the disk had room again.
        assert!((1..=CONNECTIONS).contains(&full), "{full}");
        assert!(store.ensure_user("user:x", false, now).await.expect("room again"));
    }
}
