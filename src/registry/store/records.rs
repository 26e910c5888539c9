//! The records of a registry that does not run, read without changing them: what `fsck` judges.

use std::path::Path;

use napt_registry_client::IndexEntry;
use sqlx::{
    ConnectOptions, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{StoreError, sqlite};

/// A registry's database, opened for reading only.
#[derive(Debug)]
pub(in crate::registry) struct Records(SqliteConnection);

/// A version's row with what the index shows of it.
#[derive(Debug)]
pub(in crate::registry) struct VersionRecord {
    pub(in crate::registry) entry: IndexEntry,
    pub(in crate::registry) manifest: String,
    pub(in crate::registry) readme: Option<String>,
}

/// A module's row.
#[derive(Debug)]
pub(in crate::registry) struct ModuleRecord {
    /// `type:name`.
    pub(in crate::registry) id: String,
    /// The version that search shows.
    pub(in crate::registry) shown: String,
    /// Whether it is kept elsewhere.
    pub(in crate::registry) is_pointer: bool,
    /// How many owners it has.
    pub(in crate::registry) owners: i64,
    /// The version that search should show.
    pub(in crate::registry) highest: Option<String>,
}

impl Records {
    pub(in crate::registry) async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Records(SqliteConnectOptions::new().filename(path).read_only(true).connect().await?))
    }

    /// What SQLite itself finds wrong with the file.
    pub(in crate::registry) async fn damage(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("PRAGMA integrity_check").fetch_all(&mut self.0).await?;
        let texts: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
        Ok(texts?.into_iter().filter(|text| text != "ok").collect())
    }

    /// Rows that point at rows that are not there: `TABLE to TABLE`.
    pub(in crate::registry) async fn dangling(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut self.0).await?;
        let text = |row: &SqliteRow| -> Result<String, sqlx::Error> {
            Ok(format!("{} to {}", row.try_get::<String, _>(0)?, row.try_get::<String, _>(2)?))
        };
        Ok(rows.iter().map(text).collect::<Result<_, _>>()?)
    }

    /// All versions, with what could not be understood of them.
    pub(in crate::registry) async fn versions(&mut self) -> Result<Vec<Result<VersionRecord, String>>, StoreError> {
        let rows = sqlx::query("SELECT * FROM entries ORDER BY id").fetch_all(&mut self.0).await?;
        let record = |row: &SqliteRow| -> Result<VersionRecord, String> {
            let record = || -> Result<VersionRecord, StoreError> {
                let (manifest, readme) = (row.try_get("manifest")?, row.try_get("readme")?);
                Ok(VersionRecord { entry: sqlite::entry(row)?, manifest, readme })
            };
            let name = |column| row.try_get::<String, _>(column).unwrap_or_default();
            record().map_err(|error| format!("{}:{}@{}: {error}", name("type"), name("name"), name("version")))
        };
        Ok(rows.iter().map(record).collect())
    }

    /// All modules.
    pub(in crate::registry) async fn modules(&mut self) -> Result<Vec<ModuleRecord>, StoreError> {
        let sql = "SELECT id, type || ':' || name AS module, version, \
                   EXISTS (SELECT 1 FROM pointers WHERE module_id = modules.id) AS is_pointer, \
                   (SELECT count(*) FROM owners WHERE module_id = modules.id) AS owners FROM modules ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&mut self.0).await?;
        let mut modules = Vec::new();
        for row in rows {
            let highest = sqlite::highest(&mut self.0, row.try_get("id")?).await?;
            modules.push(ModuleRecord {
                id: row.try_get("module")?,
                shown: row.try_get("version")?,
                is_pointer: row.try_get("is_pointer")?,
                owners: row.try_get("owners")?,
                highest: highest.map(|version| version.to_string()),
            });
        }
        Ok(modules)
    }
}
