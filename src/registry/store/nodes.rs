//! The directory of nodes in SQLite.

use jiff::Timestamp;
use napt_registry_client::NodeRecord;
use sqlx::{Row, Sqlite, SqlitePool, Transaction, sqlite::SqliteRow};

use super::StoreError;

/// Most nodes at a time: a list of them is answered whole.
const MAX_NODES: i64 = 1000;

/// Most nodes of one owner, so that nobody fills the directory alone.
const MAX_OF_OWNER: i64 = 100;

/// Most names of one owner: they are never free again.
const MAX_NAMES: i64 = 200;

/// How an announcement ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// The record is there.
    Done,
    /// The name belongs to another owner.
    NameTaken,
    /// Another node of this owner has the name now.
    NameInUse {
        /// Its id.
        id: String,
    },
    /// The node is in the directory as another owner's.
    OtherOwner,
    /// There is no room for one more.
    Full,
}

/// Puts a record, or renews it. Those last seen before `gone` are not there any more.
pub(super) async fn put(
    mut transaction: Transaction<'static, Sqlite>,
    record: &NodeRecord,
    gone: Timestamp,
) -> Result<Announced, StoreError> {
    let NodeRecord { node, seen } = record;
    sqlx::query("DELETE FROM nodes WHERE seen < ?").bind(gone.as_millisecond()).execute(&mut *transaction).await?;
    let known: Option<String> = sqlx::query("SELECT owner FROM nodes WHERE id = ?")
        .bind(&node.id)
        .fetch_optional(&mut *transaction)
        .await?
        .map(|row| row.try_get(0))
        .transpose()?;
    match known {
        Some(owner) if owner != node.owner => return Ok(Announced::OtherOwner),
        Some(_) => {}
        None => {
            let counts = sqlx::query("SELECT count(*), coalesce(sum(owner = ?), 0) FROM nodes")
                .bind(&node.owner)
                .fetch_one(&mut *transaction)
                .await?;
            let (all, own): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
            if all >= MAX_NODES || own >= MAX_OF_OWNER {
                return Ok(Announced::Full);
            }
        }
    }
    let holder: Option<String> = sqlx::query("SELECT id FROM nodes WHERE name = ? AND id <> ?")
        .bind(&node.name)
        .bind(&node.id)
        .fetch_optional(&mut *transaction)
        .await?
        .map(|row| row.try_get(0))
        .transpose()?;
    let row = sqlx::query("SELECT owner FROM node_names WHERE name = ?")
        .bind(&node.name)
        .fetch_optional(&mut *transaction)
        .await?;
    match row.map(|row| row.try_get::<String, _>(0)).transpose()? {
        Some(owner) if owner != node.owner => return Ok(Announced::NameTaken),
        Some(_) => {}
        None => {
            let sql = "INSERT INTO node_names (name, owner) SELECT ?1, ?2 \
                       WHERE (SELECT count(*) FROM node_names WHERE owner = ?2) < ?3";
            let query = sqlx::query(sql).bind(&node.name).bind(&node.owner).bind(MAX_NAMES);
            if query.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(Announced::Full);
            }
        }
    }
    if let Some(id) = holder {
        return Ok(Announced::NameInUse { id });
    }
    let text = serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    sqlx::query(
        "INSERT INTO nodes (id, owner, name, record, seen) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record, seen = excluded.seen",
    )
    .bind(&node.id)
    .bind(&node.owner)
    .bind(&node.name)
    .bind(text)
    .bind(seen.as_millisecond())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Announced::Done)
}

/// Whether there is one of this id that was seen since.
pub(super) async fn has(pool: &SqlitePool, id: &str, since: Timestamp) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 FROM nodes WHERE id = ? AND seen >= ?").bind(id).bind(since.as_millisecond());
    Ok(query.fetch_optional(pool).await?.is_some())
}

/// Those that were seen since, by name.
pub(super) async fn all(pool: &SqlitePool, since: Timestamp) -> Result<Vec<NodeRecord>, StoreError> {
    let rows = sqlx::query("SELECT record FROM nodes WHERE seen >= ? ORDER BY name")
        .bind(since.as_millisecond())
        .fetch_all(pool)
        .await?;
    let record = |row: &SqliteRow| -> Result<NodeRecord, StoreError> {
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(format!("`record`: {error}")))
    };
    rows.iter().map(record).collect()
}

/// Takes a node out; its name stays its owner's.
pub(super) async fn remove(pool: &SqlitePool, id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query("DELETE FROM nodes WHERE id = ?").bind(id).execute(pool).await?.rows_affected() == 1)
}
