//! A table's columns: as schemas give them, and as SQLite has them.

use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection};

use super::{
    DatabaseError, quoted,
    values::{Bound, Kind, Scalar},
};

/// Columns that a table may have.
const MAX_COLUMNS: usize = 500;

/// What SQLite puts where a schema's default is the present time.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%f','now')";

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    primary_key: bool,
    required: bool,
    /// What stands there when a row has nothing, in SQL.
    default: Option<String>,
}

/// A table's columns, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns(Vec<Column>);

impl Column {
    /// Reads a column of a schema: a type, or an object with `type`, `dimension`, `primary_key`, `required` and
    /// `default`.
    fn parse(name: &str, value: &Value) -> Result<Self, DatabaseError> {
        let given = value.as_str().or_else(|| value.get("type").and_then(Value::as_str)).unwrap_or_default();
        let unknown = || {
            DatabaseError::Invalid(format!(
                "column `{name}` has the unknown type `{given}`; the types are text, integer, float, boolean, jsonb, \
                 timestamp, vector(dimension) and lists such as text[]"
            ))
        };
        let kind = match (Kind::parse(given).ok_or_else(unknown)?, value.get("dimension")) {
            (Kind::Vector(0), Some(dimension)) if !dimension.is_null() => Kind::parse(&format!("vector({dimension})"))
                .ok_or_else(|| {
                    DatabaseError::Invalid(format!("the dimension of column `{name}` is not a number from 1 to 16000"))
                })?,
            (kind, _) => kind,
        };
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        let default = match value.get("default") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if kind == Kind::One(Scalar::Timestamp) && is_now(text) => Some(NOW.to_owned()),
            Some(value) => Some(kind.encode(name, value)?.literal()),
        };
        let (primary_key, required) = (flag("primary_key"), flag("required"));
        Ok(Column { name: name.to_owned(), kind, primary_key, required: required || primary_key, default })
    }
}

/// Whether a default means the time at which a row is made.
fn is_now(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "now()" | "now" | "current_timestamp")
}

impl Columns {
    /// Reads a schema.
    pub(super) fn parse(schema: &Map<String, Value>) -> Result<Self, DatabaseError> {
        if schema.is_empty() || schema.len() > MAX_COLUMNS {
            return Err(DatabaseError::Invalid(format!("a `schema` has 1 to {MAX_COLUMNS} columns")));
        }
        let columns: Result<_, _> = schema.iter().map(|(name, value)| Column::parse(name, value)).collect();
        Ok(Columns(columns?))
    }

    /// The columns of a table; `None` when there is none.
    pub(super) async fn read(db: &mut SqliteConnection, table: &str) -> Result<Option<Self>, DatabaseError> {
        let rows = sqlx::query("SELECT name, type, pk, \"notnull\", dflt_value FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(db)
            .await?;
        let columns = rows.iter().map(|row| Column {
            name: row.get(0),
            kind: Kind::of_declared(row.get(1)),
            primary_key: row.get::<i64, _>(2) > 0,
            required: row.get::<i64, _>(3) > 0,
            default: row.get(4),
        });
        Ok((!rows.is_empty()).then(|| Columns(columns.collect())))
    }

    /// For `CREATE TABLE`.
    pub(super) fn definition(&self) -> Result<String, DatabaseError> {
        let mut parts = Vec::new();
        for column in &self.0 {
            let required = if column.required { " NOT NULL" } else { "" };
            let default = column.default.as_ref().map(|default| format!(" DEFAULT ({default})")).unwrap_or_default();
            parts.push(format!("{} {}{required}{default}", quoted(&column.name, "column")?, column.kind.declared()));
        }
        let keys: Result<Vec<String>, DatabaseError> =
            self.0.iter().filter(|column| column.primary_key).map(|column| quoted(&column.name, "column")).collect();
        let keys = keys?;
        if !keys.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
        }
        Ok(parts.join(", "))
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Column] {
        &self.0
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|column| column.name.clone()).collect()
    }

    /// The column of this name.
    pub(super) fn get(&self, table: &str, name: &str) -> Result<&Column, DatabaseError> {
        self.0.iter().find(|known| known.name == name).ok_or_else(|| DatabaseError::NoColumn {
            table: table.to_owned(),
            column: name.chars().take(80).collect(),
            known: self.names().join(", "),
        })
    }

    /// A vector column and its dimension: the one that is named, or the only one.
    pub(super) fn vector(&self, table: &str, name: Option<&str>) -> Result<(&str, u32), DatabaseError> {
        let vectors: Vec<(&str, u32)> = self.0.iter().filter_map(Column::dimension).collect();
        match (name, vectors.as_slice()) {
            (Some(name), _) => self.get(table, name)?.dimension().ok_or_else(|| {
                DatabaseError::Invalid(format!("the column `{name}` of the table `{table}` holds no vectors"))
            }),
            (None, [only]) => Ok(*only),
            (None, _) => Err(DatabaseError::Invalid(format!(
                "the table `{table}` has {} columns of vectors: name one as `vector_col`",
                vectors.len()
            ))),
        }
    }

    /// A value as a column stores it.
    pub(super) fn encode(&self, table: &str, column: &str, value: &Value) -> Result<Bound, DatabaseError> {
        self.get(table, column)?.kind.encode(column, value)
    }
}

impl Column {
    /// Its name and dimension, if it holds vectors.
    fn dimension(&self) -> Option<(&str, u32)> {
        match self.kind {
            Kind::Vector(dimension) => Some((self.name.as_str(), dimension)),
            Kind::One(_) | Kind::List(_) => None,
        }
    }
}
