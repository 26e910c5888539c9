//! Column types: Naptha's names, what SQLite keeps, and the way back to JSON.

use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{DatabaseError, quoted};

/// What a column holds, as far as JSON tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
    /// `jsonb`, lists and vectors: JSON text.
    Json,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: Kind,
    primary_key: bool,
    required: bool,
}

/// A table's columns, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns(Vec<Column>);

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            "text" | "string" | "timestamp" => Kind::Text,
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            "boolean" => Kind::Boolean,
            "jsonb" | "json" => Kind::Json,
            name if name.ends_with("[]") || name.starts_with("vector") => Kind::Json,
            _ => return None,
        })
    }

    /// The declared type, by which the kind is found again.
    fn declared(self) -> &'static str {
        match self {
            Kind::Text => "TEXT",
            Kind::Integer => "INTEGER",
            Kind::Float => "REAL",
            Kind::Boolean => "BOOLEAN",
            Kind::Json => "JSON_TEXT",
        }
    }

    fn of_declared(text: &str) -> Self {
        [Kind::Integer, Kind::Float, Kind::Boolean, Kind::Json]
            .into_iter()
            .find(|kind| kind.declared() == text)
            .unwrap_or(Kind::Text)
    }
}

impl Columns {
    /// Reads a schema: a type by column, or an object with `type`, `primary_key` and `required`.
    pub(super) fn parse(schema: &Map<String, Value>) -> Result<Self, DatabaseError> {
        if schema.is_empty() {
            return Err(DatabaseError::Invalid("a `schema` needs at least one column".to_owned()));
        }
        let flag = |value: &Value, key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        let columns: Result<Vec<Column>, DatabaseError> = schema
            .iter()
            .map(|(name, value)| {
                let given = value.as_str().or_else(|| value.get("type").and_then(Value::as_str)).unwrap_or_default();
                let kind = Kind::parse(given).ok_or_else(|| {
                    DatabaseError::Invalid(format!(
                        "column `{name}` has the unknown type `{given}`; the types are text, integer, float, boolean, \
                         jsonb, timestamp, vector and lists such as text[]"
                    ))
                })?;
                let (primary_key, required) = (flag(value, "primary_key"), flag(value, "required"));
                Ok(Column { name: name.clone(), kind, primary_key, required: required || primary_key })
            })
            .collect();
        Ok(Columns(columns?))
    }

    /// The columns of a table; `None` when there is none.
    pub(super) async fn read(db: &mut SqliteConnection, table: &str) -> Result<Option<Self>, DatabaseError> {
        let rows = sqlx::query("SELECT name, type, pk, \"notnull\" FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(db)
            .await?;
        let columns = rows.iter().map(|row| Column {
            name: row.get(0),
            kind: Kind::of_declared(row.get(1)),
            primary_key: row.get::<i64, _>(2) > 0,
            required: row.get::<i64, _>(3) > 0,
        });
        Ok((!rows.is_empty()).then(|| Columns(columns.collect())))
    }

    /// For `CREATE TABLE`.
    pub(super) fn definition(&self) -> Result<String, DatabaseError> {
        let mut parts = Vec::new();
        for column in &self.0 {
            let required = if column.required { " NOT NULL" } else { "" };
            parts.push(format!("{} {}{required}", quoted(&column.name, "column")?, column.kind.declared()));
        }
        let keys: Result<Vec<String>, DatabaseError> =
            self.0.iter().filter(|column| column.primary_key).map(|column| quoted(&column.name, "column")).collect();
        let keys = keys?;
        if !keys.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
        }
        Ok(parts.join(", "))
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|column| column.name.clone()).collect()
    }

    /// Fails when there is no such column.
    pub(super) fn require(&self, table: &str, column: &str) -> Result<(), DatabaseError> {
        if self.0.iter().any(|known| known.name == column) {
            return Ok(());
        }
        Err(DatabaseError::NoColumn {
            table: table.to_owned(),
            column: column.chars().take(80).collect(),
            known: self.names().join(", "),
        })
    }

    /// A value as a column stores it. NUL and control characters are taken out of text, as Naptha's node does.
    pub(super) fn encode(&self, table: &str, column: &str, value: &Value) -> Result<Value, DatabaseError> {
        self.require(table, column)?;
        let kind = self.0.iter().find(|known| known.name == column).map_or(Kind::Text, |column| column.kind);
        Ok(match value {
            Value::Null => Value::Null,
            value if kind == Kind::Json => Value::String(value.to_string()),
            Value::String(text) => {
                Value::String(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect())
            }
            other => other.clone(),
        })
    }

    /// A stored value as JSON.
    pub(super) fn value(&self, column: &str, row: &SqliteRow, index: usize) -> Result<Value, DatabaseError> {
        let kind = self.0.iter().find(|known| known.name == column).map_or(Kind::Text, |column| column.kind);
        Ok(match kind {
            Kind::Integer => row.try_get::<Option<i64>, _>(index)?.into(),
            Kind::Float => row.try_get::<Option<f64>, _>(index)?.into(),
            Kind::Boolean => row.try_get::<Option<bool>, _>(index)?.into(),
            Kind::Text => row.try_get_unchecked::<Option<String>, _>(index)?.into(),
            Kind::Json => match row.try_get_unchecked::<Option<String>, _>(index)? {
                Some(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                None => Value::Null,
            },
        })
    }
}
