//! Naptha's `db` storage on SQLite: one database file a user, so that a user's tables are that user's. Identifiers
//! from callers are validated and quoted, values always bound.

mod columns;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode},
};

use self::columns::Columns;

/// Rows that one read gives at the most.
const MAX_ROWS: u32 = 10_000;

/// Open databases; the rest are opened again when needed.
const MAX_OPEN: usize = 64;

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

/// Options of a read or list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::node) struct ReadOptions {
    columns: Option<Vec<String>>,
    conditions: Option<Vec<Map<String, Value>>>,
    /// What public modules write by mistake and mean as one of `conditions`.
    condition: Option<Map<String, Value>>,
    order_by: Option<String>,
    order_direction: Option<String>,
    limit: Option<u32>,
    offset: Option<u32>,
    vector_col: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Keys that the SDK sends beside those above; they say something about vectors only.
const VECTOR_KEYS: [&str; 5] = ["query_vector", "query_col", "answer_col", "top_k", "include_similarity"];

type Connection = Arc<tokio::sync::Mutex<SqliteConnection>>;

/// All users' databases.
#[derive(Debug)]
pub(in crate::node) struct Database {
    folder: PathBuf,
    open: Mutex<HashMap<String, Connection>>,
}

/// A statement being put together: its text and what is bound to it, in order.
#[derive(Default)]
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn query(&self) -> Query<'_, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        for value in &self.values {
            query = match value {
                Value::Null => query.bind(None::<String>),
                Value::Bool(flag) => query.bind(*flag),
                Value::Number(number) => match number.as_i64() {
                    Some(integer) => query.bind(integer),
                    None => query.bind(number.as_f64()),
                },
                Value::String(text) => query.bind(text.clone()),
                Value::Array(_) | Value::Object(_) => query.bind(value.to_string()),
            };
        }
        query
    }
}

/// Checks and quotes a name.
fn quoted(name: &str, what: &'static str) -> Result<String, DatabaseError> {
    let fine = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
        && !name.to_ascii_lowercase().starts_with("sqlite_");
    if fine { Ok(format!("\"{name}\"")) } else { Err(DatabaseError::Name(name.chars().take(80).collect(), what)) }
}

impl Database {
    pub(super) fn new(folder: PathBuf) -> Self {
        Database { folder, open: Mutex::default() }
    }

    async fn connection(&self, user: &str) -> Result<Connection, DatabaseError> {
        let key = crate::identity::body_digest(user.as_bytes());
        if let Some(open) = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&key) {
            return Ok(open.clone());
        }
        fs_err::tokio::create_dir_all(&self.folder).await?;
        let connection =
            Arc::new(tokio::sync::Mutex::new(Self::connect(&self.folder.join(format!("{key}.sqlite"))).await?));
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.retain(|_, connection| Arc::strong_count(connection) > 1);
        }
        Ok(open.entry(key).or_insert(connection).clone())
    }

    async fn connect(path: &Path) -> Result<SqliteConnection, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(std::time::Duration::from_secs(10));
        Ok(options.connect().await?)
    }

    /// Makes a table; true also when it is there already with the same columns.
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
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *db).await?;
        Ok(())
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
            statement.query().execute(&mut *transaction).await.map_err(|error| match &error {
                sqlx::Error::Database(inner) if inner.is_unique_violation() => {
                    DatabaseError::Duplicate(table.to_owned())
                }
                sqlx::Error::Database(inner) if inner.message().contains("constraint failed") => {
                    DatabaseError::Invalid(format!("the row does not fit the table `{table}`: {}", inner.message()))
                }
                _ => error.into(),
            })?;
        }
        transaction.commit().await?;
        Ok(())
    }

    fn conditions(
        statement: &mut Statement,
        columns: &Columns,
        table: &str,
        conditions: &[Map<String, Value>],
    ) -> Result<String, DatabaseError> {
        let mut parts = Vec::new();
        for (column, value) in conditions.iter().flatten() {
            let value = columns.encode(table, column, value)?;
            let name = quoted(column, "column")?;
            parts.push(match value {
                Value::Null => format!("{name} IS NULL"),
                value => format!("{name} = {}", statement.bind(value)),
            });
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) })
    }

    /// Reads rows: all conditions must hold.
    pub(in crate::node) async fn read(
        &self,
        user: &str,
        table: &str,
        options: ReadOptions,
    ) -> Result<Vec<Value>, DatabaseError> {
        if options.vector_col.is_some() {
            return Err(DatabaseError::Invalid("vector search is not served by this version of napt".to_owned()));
        }
        if let Some(key) = options.others.keys().find(|key| !VECTOR_KEYS.contains(&key.as_str())) {
            return Err(DatabaseError::Invalid(format!(
                "unknown option `{key}`; the options are columns, conditions, order_by, order_direction, limit, offset"
            )));
        }
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut statement = Statement::default();
        let wanted: Vec<String> = options.columns.unwrap_or_else(|| columns.names());
        let mut shown = Vec::new();
        for column in &wanted {
            columns.require(table, column)?;
            shown.push(quoted(column, "column")?);
        }
        let conditions: Vec<_> = options.conditions.into_iter().flatten().chain(options.condition).collect();
        let filter = Self::conditions(&mut statement, &columns, table, &conditions)?;
        let order = match &options.order_by {
            Some(order) => Self::order(&columns, table, order, options.order_direction.as_deref())?,
            None => " ORDER BY rowid".to_owned(),
        };
        let limit = options.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS);
        let offset = options.offset.unwrap_or(0);
        statement.sql = format!("SELECT {} FROM {name}{filter}{order} LIMIT {limit} OFFSET {offset}", shown.join(", "));
        let rows = statement.query().fetch_all(&mut *db).await?;
        rows.iter()
            .map(|row| {
                let mut object = Map::new();
                for (index, column) in wanted.iter().enumerate() {
                    object.insert(column.clone(), columns.value(column, row, index)?);
                }
                Ok(Value::Object(object))
            })
            .collect()
    }

    /// `order_by` is `column` or `column desc`; `order_direction` counts when the former says nothing.
    fn order(columns: &Columns, table: &str, order: &str, direction: Option<&str>) -> Result<String, DatabaseError> {
        let mut words = order.split_whitespace();
        let column = words.next().unwrap_or_default();
        columns.require(table, column)?;
        let direction = words.next().or(direction).unwrap_or("asc").to_ascii_lowercase();
        if !matches!(direction.as_str(), "asc" | "desc") || words.next().is_some() {
            return Err(DatabaseError::Invalid("`order_by` is a column, with `asc` or `desc`".to_owned()));
        }
        Ok(format!(" ORDER BY {} {direction}", quoted(column, "column")?))
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
        let filter = Self::conditions(&mut statement, &columns, table, &[condition])?;
        statement.sql = format!("UPDATE {name} SET {}{filter}", changes.join(", "));
        Ok(statement.query().execute(&mut *db).await?.rows_affected())
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
                "a delete needs a `condition`; without one the whole table would be dropped".to_owned(),
            ));
        }
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut statement = Statement::default();
        let filter = Self::conditions(&mut statement, &columns, table, &[condition])?;
        statement.sql = format!("DELETE FROM {name}{filter}");
        Ok(statement.query().execute(&mut *db).await?.rows_affected())
    }

    /// Rows of a table.
    #[cfg(test)]
    async fn count(&self, user: &str, table: &str) -> i64 {
        let connection = self.connection(user).await.expect("a database");
        let sql = format!("SELECT count(*) FROM {}", quoted(table, "table").expect("a name"));
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *connection.lock().await).await.expect("a table");
        sqlx::Row::get(&row, 0)
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

    #[tokio::test]
    async fn tables_are_a_users_own_and_names_are_never_sql() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(folder.path().to_owned());
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
        assert_eq!(database.count("a", "t").await, 2);
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
        assert_eq!(database.count("a", "t").await, 1);
    }
}
