//! Values on their way in and out: JSON as callers have it, and what SQLite keeps of it by a column's type.

use std::fmt::Write;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

use super::DatabaseError;

/// The largest dimension of a vector.
pub(super) const MAX_DIMENSION: u32 = 16_000;

/// A value as it is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Bound {
    /// As it stands in SQL, for defaults.
    pub(super) fn literal(&self) -> String {
        match self {
            Bound::Null => "NULL".to_owned(),
            Bound::Boolean(flag) => i64::from(*flag).to_string(),
            Bound::Integer(number) => number.to_string(),
            Bound::Float(number) => format!("{number:?}"),
            Bound::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Bound::Blob(bytes) => format!("X'{}'", hex::encode(bytes)),
        }
    }
}

/// What a single value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    Integer,
    Float,
    Boolean,
    Timestamp,
    Json,
}

impl Scalar {
    pub(super) const ALL: [Scalar; 6] =
        [Scalar::Integer, Scalar::Float, Scalar::Boolean, Scalar::Timestamp, Scalar::Json, Scalar::Text];

    /// As schemas name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Scalar::Text => "text",
            Scalar::Integer => "integer",
            Scalar::Float => "float",
            Scalar::Boolean => "boolean",
            Scalar::Timestamp => "timestamp",
            Scalar::Json => "jsonb",
        }
    }

    /// Reads a name of a type; those of Postgres that mean the same are fine.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "text" | "string" | "varchar" | "uuid" => Scalar::Text,
            "integer" | "int" | "bigint" => Scalar::Integer,
            "float" | "real" | "double" | "numeric" => Scalar::Float,
            "boolean" | "bool" => Scalar::Boolean,
            "timestamp" | "datetime" => Scalar::Timestamp,
            "jsonb" | "json" => Scalar::Json,
            _ => return None,
        })
    }

    /// The declared type, by which it is found again.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Scalar::Text => "TEXT",
            Scalar::Integer => "INTEGER",
            Scalar::Float => "REAL",
            Scalar::Boolean => "BOOLEAN",
            Scalar::Timestamp => "TIMESTAMP_TEXT",
            Scalar::Json => "JSON_TEXT",
        }
    }

    /// A value of this type; `None` when it is of another one.
    fn encode(self, value: &Value) -> Option<Bound> {
        Some(match (self, value) {
            (_, Value::Null) => Bound::Null,
            (Scalar::Json, value) => Bound::Text(value.to_string()),
            (Scalar::Text, Value::String(text)) => Bound::Text(printable(text)),
            (Scalar::Text, value) => Bound::Text(value.to_string()),
            (Scalar::Integer, Value::String(text)) => Bound::Integer(text.trim().parse().ok()?),
            (Scalar::Integer, Value::Number(number)) => Bound::Integer(whole(number)?),
            (Scalar::Float, Value::String(text)) => {
                Bound::Float(text.trim().parse().ok().filter(|number: &f64| number.is_finite())?)
            }
            (Scalar::Float, Value::Number(number)) => Bound::Float(number.as_f64()?),
            (Scalar::Boolean, Value::Bool(flag)) => Bound::Boolean(*flag),
            (Scalar::Boolean, Value::Number(number)) => Bound::Boolean(match number.as_i64()? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            (Scalar::Boolean, Value::String(text)) => Bound::Boolean(match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "1" => true,
                "false" | "f" | "no" | "0" => false,
                _ => return None,
            }),
            (Scalar::Timestamp, Value::String(text)) => Bound::Text(timestamp(text.trim())?),
            _ => return None,
        })
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    One(Scalar),
    /// JSON text.
    List(Scalar),
    /// As 32-bit floats, little-endian; the dimension 0 is any.
    Vector(u32),
}

impl Kind {
    /// Reads a type of a schema.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix("vector") {
            let rest = rest.trim();
            if rest.is_empty() {
                return Some(Kind::Vector(0));
            }
            let dimension = rest.strip_prefix('(')?.strip_suffix(')')?.trim().parse().ok()?;
            return (1..=MAX_DIMENSION).contains(&dimension).then_some(Kind::Vector(dimension));
        }
        match name.strip_suffix("[]") {
            Some(element) => Scalar::parse(element).map(Kind::List),
            None => Scalar::parse(&name).map(Kind::One),
        }
    }

    pub(super) fn declared(self) -> String {
        match self {
            Kind::One(scalar) => scalar.declared().to_owned(),
            Kind::List(scalar) => format!("LIST_{}", scalar.declared()),
            Kind::Vector(0) => "VECTOR".to_owned(),
            Kind::Vector(dimension) => format!("VECTOR({dimension})"),
        }
    }

    pub(super) fn of_declared(text: &str) -> Self {
        if text.starts_with("VECTOR") {
            return Kind::parse(text).unwrap_or(Kind::Vector(0));
        }
        let scalar = |text: &str| Scalar::ALL.into_iter().find(|scalar| scalar.declared() == text);
        match text.strip_prefix("LIST_") {
            Some(element) => Kind::List(scalar(element).unwrap_or(Scalar::Json)),
            None => Kind::One(scalar(text).unwrap_or(Scalar::Text)),
        }
    }

    /// As people know it.
    pub(super) fn name(self) -> String {
        match self {
            Kind::One(scalar) => scalar.name().to_owned(),
            Kind::List(scalar) => format!("{}[]", scalar.name()),
            Kind::Vector(0) => "vector".to_owned(),
            Kind::Vector(dimension) => format!("vector({dimension})"),
        }
    }

    /// Whether people's words may be in it.
    pub(super) fn is_searchable(self) -> bool {
        matches!(self, Kind::One(Scalar::Text | Scalar::Json) | Kind::List(Scalar::Text | Scalar::Json))
    }

    /// A value as the column stores it.
    pub(super) fn encode(self, column: &str, value: &Value) -> Result<Bound, DatabaseError> {
        let wrong = || {
            DatabaseError::Invalid(format!("the column `{column}` holds {}, and the value given is none", self.name()))
        };
        match (self, value) {
            (_, Value::Null) => Ok(Bound::Null),
            (Kind::One(scalar), value) => scalar.encode(value).ok_or_else(wrong),
            (Kind::List(scalar), Value::Array(elements)) => {
                let fits = |element: &Value| scalar.encode(element).is_some();
                let encoded = || Bound::Text(value.to_string());
                elements.iter().all(fits).then(encoded).ok_or_else(wrong)
            }
            (Kind::List(_), _) => Err(wrong()),
            (Kind::Vector(dimension), value) => {
                let vector = vector(value).ok_or_else(wrong)?;
                check_dimension(column, dimension, vector.len())?;
                Ok(Bound::Blob(vector.iter().flat_map(|number| number.to_le_bytes()).collect()))
            }
        }
    }

    /// A stored value as JSON.
    pub(super) fn decode(self, row: &SqliteRow, index: usize) -> Result<Value, DatabaseError> {
        Ok(match self {
            Kind::One(Scalar::Integer) => row.try_get_unchecked::<Option<i64>, _>(index)?.into(),
            Kind::One(Scalar::Float) => row.try_get_unchecked::<Option<f64>, _>(index)?.into(),
            Kind::One(Scalar::Boolean) => row.try_get_unchecked::<Option<bool>, _>(index)?.into(),
            Kind::One(Scalar::Text | Scalar::Timestamp) => row.try_get_unchecked::<Option<String>, _>(index)?.into(),
            Kind::One(Scalar::Json) | Kind::List(_) => match row.try_get_unchecked::<Option<String>, _>(index)? {
                Some(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                None => Value::Null,
            },
            Kind::Vector(_) => match row.try_get_unchecked::<Option<&[u8]>, _>(index)? {
                Some(bytes) => vector_text(bytes).into(),
                None => Value::Null,
            },
        })
    }
}

/// Fails unless a vector fits its column.
pub(super) fn check_dimension(column: &str, dimension: u32, found: usize) -> Result<(), DatabaseError> {
    if found == 0 || found > MAX_DIMENSION as usize || (dimension != 0 && dimension as usize != found) {
        let wanted = match dimension {
            0 => format!("1 to {MAX_DIMENSION}"),
            _ => dimension.to_string(),
        };
        return Err(DatabaseError::Invalid(format!(
            "the column `{column}` holds vectors of {wanted} numbers, and the one given has {found}"
        )));
    }
    Ok(())
}

/// A vector: a list of numbers, or such a list as text.
pub(super) fn vector(value: &Value) -> Option<Vec<f32>> {
    let parsed;
    let numbers = match value {
        Value::Array(numbers) => numbers,
        Value::String(text) => {
            parsed = serde_json::from_str::<Vec<Value>>(text).ok()?;
            &parsed
        }
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "that is the precision of vectors")]
    let number = |value: &Value| value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    numbers.iter().map(number).collect()
}

/// The numbers of a stored vector.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// `[1,0.5]`, as Naptha's nodes give vectors.
fn vector_text(bytes: &[u8]) -> String {
    let mut text = String::from("[");
    for (index, number) in numbers(bytes).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{number}", if index == 0 { "" } else { "," });
    }
    text.push(']');
    text
}

/// Text without NUL and control characters, as Naptha's node keeps it.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect()
}

/// A number without a fraction.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9.0e15)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
        Some(float as i64)
    })
}

/// A time in ISO 8601 without zone; one with a zone is turned to UTC.
fn timestamp(text: &str) -> Option<String> {
    let time = match text.parse::<Timestamp>() {
        Ok(moment) => moment.to_zoned(TimeZone::UTC).datetime(),
        Err(_) => text.parse::<civil::DateTime>().ok()?,
    };
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_of_their_columns_type() {
        let encode = |kind: &str, value: Value| Kind::parse(kind).expect(kind).encode("c", &value).ok();
        for (kind, value, expected) in [
            ("text", json!("a\u{0}b\n"), Bound::Text("ab\n".to_owned())),
            ("TEXT", json!(5), Bound::Text("5".to_owned())),
            ("integer", json!(5.0), Bound::Integer(5)),
            ("integer", json!("-5"), Bound::Integer(-5)),
            ("float", json!(1), Bound::Float(1.0)),
            ("boolean", json!("true"), Bound::Boolean(true)),
            ("jsonb", json!({"a": [1]}), Bound::Text("{\"a\":[1]}".to_owned())),
            ("text[]", json!(["a"]), Bound::Text("[\"a\"]".to_owned())),
            ("vector(2)", json!([1, 0.5]), Bound::Blob(vec![0, 0, 128, 63, 0, 0, 0, 63])),
            ("VECTOR(2)", json!("[1,0.5]"), Bound::Blob(vec![0, 0, 128, 63, 0, 0, 0, 63])),
            ("timestamp", json!("2025-01-02 03:04:05"), Bound::Text("2025-01-02T03:04:05".to_owned())),
            ("timestamp", json!("2025-01-02T03:04:05.5+01:00"), Bound::Text("2025-01-02T02:04:05.5".to_owned())),
            ("timestamp", json!("2025-01-02"), Bound::Text("2025-01-02T00:00:00".to_owned())),
            ("integer", Value::Null, Bound::Null),
        ] {
            assert_eq!(encode(kind, value.clone()), Some(expected), "{kind} {value}");
        }
        for (kind, value) in [
            ("integer", json!(1.5)),
            ("integer", json!("x")),
            ("integer", json!(u64::MAX)),
            ("float", json!("NaN")),
            ("boolean", json!(2)),
            ("timestamp", json!("soon")),
            ("integer[]", json!(["a"])),
            ("text[]", json!("a")),
            ("vector(2)", json!([1])),
            ("vector(2)", json!([1, "a"])),
            ("vector(2)", json!([1, 1e300])),
            ("vector", json!([])),
            ("vector", json!(vec![0; 16_001])),
        ] {
            assert_eq!(encode(kind, value.clone()), None, "{kind} {value}");
        }
        for kind in ["vector(0)", "vector(x)", "vector(99999)", "vectors", "text[][]", "blob", ""] {
            assert_eq!(Kind::parse(kind), None, "{kind}");
        }
        for kind in ["text", "integer[]", "timestamp", "jsonb", "vector", "vector(3)", "float", "boolean"] {
            let kind = Kind::parse(kind).expect(kind);
            assert_eq!(Kind::of_declared(&kind.declared()), kind);
        }
    }
}
