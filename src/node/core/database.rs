//! Naptha's `db` storage on SQLite: one database file a user, so that a user's tables are that user's. Identifiers
//! from callers are validated and quoted, values always bound.

mod columns;
mod read;
mod search;
mod values;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Row, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode},
};

use self::{columns::Columns, values::Bound};
pub(in crate::node) use self::{
    read::ReadOptions,
    search::{Search, Wanted},
};
use crate::crash;

/// Open databases; the rest are opened again when needed.
const MAX_OPEN: usize = 64;

/// Bytes of a page of SQLite's.
const PAGE: u64 = 4096;

/// What one request may add to a database.
const MAX_GROWTH: u64 = 64 << 20;

/// Why a table cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum DatabaseError {
    /// A name that is not allowed.
    #[error("`{0}` is not a name for a {1}: use letters, digits and `_`, at most 63, not starting with a digit")]
    Name(String, &'static str),
    /// There is no such table.
    #[error("there is no table `{0}`; create it with a `schema` first")]
    NoTable(String),
    /// A column that the table lacks.
    #[error("the table `{table}` has no column `{column}`; its columns are {known}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Those that there are.
        known: String,
    },
    /// Created before, with other columns.
    #[error("the table `{0}` exists with another schema; use that one, or another name")]
    OtherSchema(String),
    /// A row with this key is there.
    #[error("a row with this key is in the table `{0}` already")]
    Duplicate(String),
    /// The user's tables are as large as they may be.
    #[error("the tables have reached the {} that this node keeps for a user; delete what is not needed", bytesize::ByteSize(*.0))]
    Quota(u64),
    /// The answer would be larger than the node gives.
    #[error("the rows have more than {} MiB together; ask for fewer with `limit` and `offset`, or for some `columns`", .0 >> 20)]
    TooMuch(usize),
    /// A request that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The file cannot be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

type Connection = Arc<tokio::sync::Mutex<SqliteConnection>>;

/// All users' databases.
#[derive(Debug)]
pub(in crate::node) struct Database {
    folder: PathBuf,
    /// Bytes that one user's tables may have.
    quota: u64,
    open: Mutex<HashMap<String, Connection>>,
}

/// A statement being put together: its text and what is bound to it, in order.
#[derive(Default)]
struct Statement {
    sql: String,
    values: Vec<Bound>,
}

impl Statement {
    fn bind(&mut self, value: Bound) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn query(&self) -> Query<'_, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        for value in &self.values {
            query = match value {
                Bound::Null => query.bind(None::<String>),
                Bound::Boolean(flag) => query.bind(*flag),
                Bound::Integer(number) => query.bind(*number),
                Bound::Float(number) => query.bind(*number),
                Bound::Text(text) => query.bind(text.clone()),
                Bound::Blob(bytes) => query.bind(bytes.clone()),
            };
        }
        query
    }

    /// Adds ` WHERE …`: all conditions must hold.
    fn filter(
        &mut self,
        columns: &Columns,
        table: &str,
        conditions: &[Map<String, Value>],
    ) -> Result<(), DatabaseError> {
        for (index, (column, value)) in conditions.iter().flatten().enumerate() {
            let value = columns.encode(table, column, value)?;
            let name = quoted(column, "column")?;
            let part = match value {
                Bound::Null => format!("{name} IS NULL"),
                value => format!("{name} = {}", self.bind(value)),
            };
            self.sql.push_str(if index == 0 { " WHERE " } else { " AND " });
            self.sql.push_str(&part);
        }
        Ok(())
    }
}

/// Checks and quotes a name.
fn quoted(name: &str, what: &'static str) -> Result<String, DatabaseError> {
    let fine = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
        && !name.to_ascii_lowercase().starts_with("sqlite_")
        // SQLite's own, which a column of this name would hide.
        && !["rowid", "_rowid_", "oid"].iter().any(|own| name.eq_ignore_ascii_case(own));
    if fine { Ok(format!("\"{name}\"")) } else { Err(DatabaseError::Name(name.chars().take(80).collect(), what)) }
}

impl Database {
    pub(super) fn new(folder: PathBuf, quota: u64) -> Self {
        Database { folder, quota, open: Mutex::default() }
    }

    fn path(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{}.sqlite", crate::identity::body_digest(user.as_bytes())))
    }

    async fn connection(&self, user: &str) -> Result<Connection, DatabaseError> {
        if let Some(open) = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(user) {
            return Ok(open.clone());
        }
        fs_err::tokio::create_dir_all(&self.folder).await?;
        let connection = Arc::new(tokio::sync::Mutex::new(self.connect(&self.path(user)).await?));
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.retain(|_, connection| Arc::strong_count(connection) > 1);
        }
        Ok(open.entry(user.to_owned()).or_insert(connection).clone())
    }

    async fn connect(&self, path: &Path) -> Result<SqliteConnection, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(PAGE as u32)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("max_page_count", (self.quota / PAGE).max(1).to_string())
            .busy_timeout(std::time::Duration::from_secs(10));
        Ok(options.connect().await?)
    }

    /// What a failed change means to its caller.
    fn changed<T>(&self, user: &str, table: &str, result: Result<T, sqlx::Error>) -> Result<T, DatabaseError> {
        result.map_err(|error| match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => DatabaseError::Duplicate(table.to_owned()),
            sqlx::Error::Database(inner) if inner.message().contains("constraint failed") => {
                DatabaseError::Invalid(format!("the row does not fit the table `{table}`: {}", inner.message()))
            }
            // SQLite says the same of a full disk.
            sqlx::Error::Database(inner) if inner.message().contains("disk is full") => {
                let size = fs_err::metadata(self.path(user)).map_or(0, |file| file.len());
                if size + MAX_GROWTH >= self.quota { DatabaseError::Quota(self.quota) } else { error.into() }
            }
            _ => error.into(),
        })
    }

    /// Makes a table; fine also when it is there already with the same columns.
    pub(in crate::node) async fn create_table(
        &self,
        user: &str,
        table: &str,
        schema: &Map<String, Value>,
    ) -> Result<(), DatabaseError> {
        let name = quoted(table, "table")?;
        let wanted = Columns::parse(schema)?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        if let Some(columns) = Columns::read(&mut db, table).await? {
            return if columns == wanted { Ok(()) } else { Err(DatabaseError::OtherSchema(table.to_owned())) };
        }
        let sql = format!("CREATE TABLE {name} ({})", wanted.definition()?);
        let made = sqlx::query(AssertSqlSafe(sql)).execute(&mut *db).await;
        match &made {
            Err(sqlx::Error::Database(error)) if error.message().contains("duplicate column") => {
                Err(DatabaseError::Invalid("two columns of the `schema` differ in case only".to_owned()))
            }
            _ => self.changed(user, table, made).map(|_| ()),
        }
    }

    /// The names of a user's tables.
    pub(in crate::node) async fn tables(&self, user: &str) -> Result<Vec<String>, DatabaseError> {
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let listed = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                      ORDER BY name";
        let rows = sqlx::query(listed).fetch_all(&mut *db).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn columns(db: &mut SqliteConnection, table: &str) -> Result<Columns, DatabaseError> {
        Columns::read(db, table).await?.ok_or_else(|| DatabaseError::NoTable(table.to_owned()))
    }

    /// Inserts rows, all or none.
    pub(in crate::node) async fn insert(
        &self,
        user: &str,
        table: &str,
        rows: &[Map<String, Value>],
    ) -> Result<(), DatabaseError> {
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut transaction = sqlx::Connection::begin(&mut *db).await?;
        for row in rows {
            let mut statement = Statement::default();
            let mut names = Vec::new();
            let mut places = Vec::new();
            for (column, value) in row {
                let value = columns.encode(table, column, value)?;
                names.push(quoted(column, "column")?);
                places.push(statement.bind(value));
            }
            statement.sql = if names.is_empty() {
                format!("INSERT INTO {name} DEFAULT VALUES")
            } else {
                format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), places.join(", "))
            };
            self.changed(user, table, statement.query().execute(&mut *transaction).await)?;
        }
        crash::point("storage.insert")?;
        self.changed(user, table, transaction.commit().await)
    }

    /// Changes rows; gives their number.
    pub(in crate::node) async fn update(
        &self,
        user: &str,
        table: &str,
        condition: Map<String, Value>,
        change: &Map<String, Value>,
    ) -> Result<u64, DatabaseError> {
        if condition.is_empty() || change.is_empty() {
            return Err(DatabaseError::Invalid("an update needs a `condition` and `data`".to_owned()));
        }
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut statement = Statement::default();
        let mut changes = Vec::new();
        for (column, value) in change {
            let value = columns.encode(table, column, value)?;
            changes.push(format!("{} = {}", quoted(column, "column")?, statement.bind(value)));
        }
        statement.sql = format!("UPDATE {name} SET {}", changes.join(", "));
        statement.filter(&columns, table, &[condition])?;
        Ok(self.changed(user, table, statement.query().execute(&mut *db).await)?.rows_affected())
    }

    /// Deletes rows; gives their number. Without a condition nothing is deleted: Naptha's clients lose theirs on the
    /// way and would drop the table.
    pub(in crate::node) async fn delete(
        &self,
        user: &str,
        table: &str,
        condition: Map<String, Value>,
    ) -> Result<u64, DatabaseError> {
        if condition.is_empty() {
            return Err(DatabaseError::Invalid(
                "a delete needs a `condition`; to drop the whole table, send the option `drop`".to_owned(),
            ));
        }
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut statement = Statement { sql: format!("DELETE FROM {name}"), ..Statement::default() };
        statement.filter(&columns, table, &[condition])?;
        Ok(statement.query().execute(&mut *db).await?.rows_affected())
    }

    /// Drops a table with all its rows.
    pub(in crate::node) async fn drop_table(&self, user: &str, table: &str) -> Result<(), DatabaseError> {
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        Self::columns(&mut db, table).await?;
        sqlx::query(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(&mut *db).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn options(value: Value) -> ReadOptions {
        serde_json::from_value(value).expect("options")
    }

    async fn count(database: &Database) -> usize {
        database.read("a", "t", ReadOptions::default()).await.expect("rows").len()
    }

    #[tokio::test]
    async fn tables_are_a_users_own_and_names_are_never_sql() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path().to_owned(), 64 << 20);
        let schema = object(json!({
            "id": {"type": "text", "primary_key": true},
            "n": {"type": "integer", "required": true},
            "ok": {"type": "boolean"},
            "data": {"type": "jsonb"},
        }));
        database.create_table("a", "t", &schema).await.expect("a table");
        database.create_table("a", "t", &schema).await.expect("the same table");
        let other = object(json!({"id": {"type": "text"}}));
        assert!(matches!(database.create_table("a", "t", &other).await, Err(DatabaseError::OtherSchema(_))));
        let rows = [
            object(json!({"id": "x", "n": 2, "ok": true, "data": {"deep": [1, "it's"]}})),
            object(json!({"id": "y\u{0}'; DROP TABLE t; --", "n": 1})),
        ];
        database.insert("a", "t", &rows).await.expect("rows");
        assert!(matches!(database.insert("a", "t", &rows).await, Err(DatabaseError::Duplicate(_))));
        assert_eq!(count(&database).await, 2);
        assert!(matches!(database.read("b", "t", ReadOptions::default()).await, Err(DatabaseError::NoTable(_))));

        let read = database.read("a", "t", options(json!({"order_by": "n"}))).await.expect("rows");
        assert_eq!(read[0]["id"], "y'; DROP TABLE t; --");
        assert_eq!(read[1], json!({"id": "x", "n": 2, "ok": true, "data": {"deep": [1, "it's"]}}));
        let some = options(json!({"columns": ["n"], "conditions": [{"id": "x"}, {"ok": true}]}));
        assert_eq!(database.read("a", "t", some).await.expect("a row"), [json!({"n": 2})]);

        for bad in [
            json!({"columns": ["version() as v"]}),
            json!({"order_by": "n; DROP TABLE t"}),
            json!({"conditions": [{"1=1 --": 1}]}),
            json!({"nonsense": 1}),
        ] {
            assert!(database.read("a", "t", options(bad.clone())).await.is_err(), "{bad}");
        }
        assert!(database.read("a", "runs; --", ReadOptions::default()).await.is_err());
        assert!(database.delete("a", "t", Map::new()).await.is_err(), "no condition would drop the table");
        assert_eq!(
            database.update("a", "t", object(json!({"id": "x"})), &object(json!({"n": 7}))).await.expect("one"),
            1
        );
        assert_eq!(database.delete("a", "t", object(json!({"n": 7}))).await.expect("one"), 1);
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn the_nearest_vectors_come_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path().to_owned(), 64 << 20);
        let schema = object(json!({
            "id": {"type": "INTEGER", "primary_key": true},
            "kind": {"type": "TEXT", "default": "it's \"plain\""},
            "v": {"type": "VECTOR", "dimension": 3},
        }));
        database.create_table("a", "t", &schema).await.expect("a table");
        database.create_table("a", "t", &schema).await.expect("the same, with its default");
        let rows: Vec<_> = [json!([0.1, 0, 0]), json!([1, 0, 0]), json!("[1,1,0]"), Value::Null]
            .into_iter()
            .enumerate()
            .map(|(id, v)| object(json!({"id": id, "v": v})))
            .collect();
        database.insert("a", "t", &rows).await.expect("rows");
        let near = |more: Value| {
            let mut wanted = object(json!({"vector_col": "v", "query_vector": [1, 0, 0], "columns": ["id"]}));
            wanted.extend(object(more));
            database.read("a", "t", options(Value::Object(wanted)))
        };
        let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        let found = near(json!({"top_k": 2})).await.expect("rows");
        assert_eq!(found, [json!({"id": 1, "distance": 0.0}), json!({"id": 0, "distance": 0.899_999_968_210_855_6})]);
        assert_eq!(ids(near(json!({})).await.expect("rows")), [1, 0, 2]);
        assert_eq!(ids(near(json!({"top_k": 1, "offset": 1})).await.expect("rows")), [0]);
        assert_eq!(ids(near(json!({"conditions": [{"id": 2}]})).await.expect("rows")), [2]);
        let all = near(json!({"columns": null, "top_k": 1, "include_similarity": false})).await.expect("rows");
        assert_eq!(all, [json!({"id": 1, "kind": "it's \"plain\"", "v": "[1,0,0]"})]);
        for bad in [
            json!({"query_vector": [1, 0]}),
            json!({"query_vector": null}),
            json!({"query_vector": "x"}),
            json!({"vector_col": "kind"}),
            json!({"vector_col": "v) --"}),
            json!({"top_k": 0}),
        ] {
            assert!(near(bad.clone()).await.is_err(), "{bad}");
        }

        let search = |query: Value| {
            let wanted: Search = serde_json::from_value(query).expect("a search");
            let database = &database;
            async move { database.search("a", "t", &wanted).await }
        };
        assert_eq!(search(json!({"query": "PLAIN it's"})).await.expect("rows").len(), 4);
        assert_eq!(search(json!({"query": "pl_in"})).await.expect("rows").len(), 0, "no wildcard of SQL");
        assert_eq!(search(json!({"query": [1, 1, 0], "limit": 1})).await.expect("a row")[0]["id"], 2);
        for bad in [json!({"query": ""}), json!({"query": 1}), json!({"query": "a", "query_type": "regex"})] {
            assert!(search(bad.clone()).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_users_tables_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path().to_owned(), 256 << 10);
        database.create_table("a", "t", &object(json!({"x": "text"}))).await.expect("a table");
        let row = [object(json!({"x": "y".repeat(300 << 10)}))];
        assert!(matches!(database.insert("a", "t", &row).await, Err(DatabaseError::Quota(_))));
        assert_eq!(count(&database).await, 0);
        database.insert("a", "t", &[object(json!({"x": "small"}))]).await.expect("there is room for this");
        database.create_table("b", "t", &object(json!({"x": "text"}))).await.expect("another user's");
        database.drop_table("a", "t").await.expect("dropped");
        assert!(matches!(database.drop_table("a", "t").await, Err(DatabaseError::NoTable(_))));
    }
}
