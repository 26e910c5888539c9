//! Reading a table: by conditions, and by the distance of vectors.

use std::{cmp::Ordering, collections::BinaryHeap};

use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection};

use super::{
    Database, DatabaseError, Statement,
    columns::{Column, Columns},
    quoted,
    values::{check_dimension, numbers, vector},
};

/// Rows that one read gives at the most.
pub(super) const MAX_ROWS: u32 = 10_000;

/// Bytes of the rows that one read gives, about.
const MAX_ANSWER: usize = 64 << 20;

/// Rows that a search by vectors gives unless told otherwise, as on Naptha's nodes.
const TOP_K: u32 = 5;

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
    query_vector: Option<Value>,
    top_k: Option<u32>,
    include_similarity: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Options that Naptha's node takes and does nothing with.
const UNUSED: [&str; 2] = ["query_col", "answer_col"];

impl ReadOptions {
    /// Those of a search: the nearest rows to a vector.
    pub(super) fn nearest(vector: Value, column: Option<String>, limit: u32) -> Self {
        ReadOptions { vector_col: column, query_vector: Some(vector), top_k: Some(limit), ..ReadOptions::default() }
    }

    /// Refuses what it does not know: a mistyped condition would give every row.
    fn check(&self) -> Result<(), DatabaseError> {
        match self.others.keys().find(|key| !UNUSED.contains(&key.as_str())) {
            Some(key) => Err(DatabaseError::Invalid(format!(
                "unknown option `{}`; the options are columns, conditions, order_by, order_direction, limit, offset, \
                 vector_col, query_vector, top_k, include_similarity",
                key.chars().take(80).collect::<String>()
            ))),
            None => Ok(()),
        }
    }

    /// The columns that are shown.
    fn shown<'c>(&self, columns: &'c Columns, table: &str) -> Result<Vec<&'c Column>, DatabaseError> {
        match &self.columns {
            Some(names) => names.iter().map(|name| columns.get(table, name)).collect(),
            None => Ok(columns.all().iter().collect()),
        }
    }

    fn conditions(&self) -> Vec<Map<String, Value>> {
        self.conditions.iter().flatten().chain(&self.condition).cloned().collect()
    }

    fn is_by_vector(&self) -> bool {
        self.vector_col.is_some() || self.query_vector.as_ref().is_some_and(|vector| !vector.is_null())
    }
}

/// A row by its distance.
#[derive(Debug, Clone, Copy)]
struct Near {
    distance: f32,
    row: i64,
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Near {}

/// The square of the Euclidean distance.
fn squared_distance(stored: &[u8], wanted: &[f32]) -> f32 {
    numbers(stored).zip(wanted).map(|(a, b)| (a - b) * (a - b)).sum()
}

impl Database {
    /// Reads rows: all conditions must hold. With a vector, the nearest rows, nearest first.
    pub(in crate::node) async fn read(
        &self,
        user: &str,
        table: &str,
        options: ReadOptions,
    ) -> Result<Vec<Value>, DatabaseError> {
        options.check()?;
        quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        if options.is_by_vector() {
            return nearest(&mut db, table, &columns, &options).await;
        }
        let mut statement = select(&options.shown(&columns, table)?, table)?;
        statement.filter(&columns, table, &options.conditions())?;
        let order = match &options.order_by {
            Some(order) => order_clause(&columns, table, order, options.order_direction.as_deref())?,
            None => " ORDER BY rowid".to_owned(),
        };
        let limit = options.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS);
        let offset = options.offset.unwrap_or(0);
        statement.sql.push_str(&format!("{order} LIMIT {limit} OFFSET {offset}"));
        let rows = rows(&mut db, &statement, &options.shown(&columns, table)?).await?;
        Ok(rows.into_iter().map(|(_, row)| Value::Object(row)).collect())
    }

    /// How many rows a read without limit would find.
    pub(in crate::node) async fn count(
        &self,
        user: &str,
        table: &str,
        options: &ReadOptions,
    ) -> Result<i64, DatabaseError> {
        let name = quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut statement = Statement { sql: format!("SELECT count(*) FROM {name}"), ..Statement::default() };
        statement.filter(&columns, table, &options.conditions())?;
        Ok(statement.query().fetch_one(&mut *db).await?.get(0))
    }
}

/// `SELECT` of the row's number and some columns.
pub(super) fn select(shown: &[&Column], table: &str) -> Result<Statement, DatabaseError> {
    let mut names = vec!["rowid".to_owned()];
    for column in shown {
        names.push(quoted(&column.name, "column")?);
    }
    let sql = format!("SELECT {} FROM {}", names.join(", "), quoted(table, "table")?);
    Ok(Statement { sql, ..Statement::default() })
}

/// The rows of a [`select`], by their numbers.
pub(super) async fn rows(
    db: &mut SqliteConnection,
    statement: &Statement,
    shown: &[&Column],
) -> Result<Vec<(i64, Map<String, Value>)>, DatabaseError> {
    let mut found = Vec::new();
    let mut size = 0;
    let mut rows = statement.query().fetch(db);
    while let Some(row) = rows.try_next().await? {
        let mut object = Map::new();
        for (index, column) in shown.iter().enumerate() {
            let value = column.kind.decode(&row, index + 1)?;
            size += weight(&value) + column.name.len();
            object.insert(column.name.clone(), value);
        }
        if size > MAX_ANSWER {
            return Err(DatabaseError::TooMuch(MAX_ANSWER));
        }
        found.push((row.get(0), object));
    }
    Ok(found)
}

/// About how many bytes a value has.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum::<usize>() + 16,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>() + 16,
        _ => 16,
    }
}

/// `order_by` is `column` or `column desc`; `order_direction` counts when the former says nothing.
fn order_clause(columns: &Columns, table: &str, order: &str, direction: Option<&str>) -> Result<String, DatabaseError> {
    let mut words = order.split_whitespace();
    let column = columns.get(table, words.next().unwrap_or_default())?;
    let direction = words.next().or(direction).unwrap_or("asc").to_ascii_lowercase();
    if !matches!(direction.as_str(), "asc" | "desc") || words.next().is_some() {
        return Err(DatabaseError::Invalid("`order_by` is a column, with `asc` or `desc`".to_owned()));
    }
    Ok(format!(" ORDER BY {} {direction}, rowid", quoted(&column.name, "column")?))
}

/// The nearest rows to a vector by Euclidean distance, of those that meet the conditions. Every vector is looked at; only
/// the best rows are kept meanwhile.
async fn nearest(
    db: &mut SqliteConnection,
    table: &str,
    columns: &Columns,
    options: &ReadOptions,
) -> Result<Vec<Value>, DatabaseError> {
    let (column, dimension) = columns.vector(table, options.vector_col.as_deref())?;
    let wanted = options.query_vector.as_ref().and_then(vector).ok_or_else(|| {
        DatabaseError::Invalid("`query_vector` is a list of numbers, and goes with `vector_col`".to_owned())
    })?;
    check_dimension(column, dimension, wanted.len())?;
    let top = options.top_k.unwrap_or(TOP_K);
    if top == 0 || options.order_by.is_some() {
        let what = "`top_k` is at least 1, and a read by vector is ordered by distance, without `order_by`";
        return Err(DatabaseError::Invalid(what.to_owned()));
    }
    let (limit, offset) = (options.limit.unwrap_or(MAX_ROWS), options.offset.unwrap_or(0) as usize);
    let top = top.min(limit).min(MAX_ROWS) as usize;

    let mut statement = select(&[columns.get(table, column)?], table)?;
    statement.filter(columns, table, &options.conditions())?;
    let mut best: BinaryHeap<Near> = BinaryHeap::new();
    let mut scanned = statement.query().fetch(&mut *db);
    while let Some(row) = scanned.try_next().await? {
        let Some(stored) = row.try_get_unchecked::<Option<&[u8]>, _>(1)? else { continue };
        // Where the column takes any dimension, only vectors of one can be compared.
        if stored.len() != wanted.len() * size_of::<f32>() {
            continue;
        }
        let near = Near { distance: squared_distance(stored, &wanted), row: row.get(0) };
        if best.len() < top + offset {
            best.push(near);
        } else if best.peek().is_some_and(|worst| near < *worst) {
            best.pop();
            best.push(near);
        }
    }
    drop(scanned);
    let best: Vec<Near> = best.into_sorted_vec().into_iter().skip(offset).collect();

    let shown = options.shown(columns, table)?;
    let mut statement = select(&shown, table)?;
    let ids: Vec<String> = best.iter().map(|near| near.row.to_string()).collect();
    statement.sql.push_str(&format!(" WHERE rowid IN ({})", ids.join(", ")));
    let mut found = rows(db, &statement, &shown).await?;
    found.sort_by_key(|(row, _)| best.iter().position(|near| near.row == *row));
    let with_distance = options.include_similarity.unwrap_or(true);
    let objects = found.into_iter().zip(&best).map(|((_, mut object), near)| {
        if with_distance {
            object.insert("distance".to_owned(), f64::from(near.distance).sqrt().into());
        }
        Value::Object(object)
    });
    Ok(objects.collect())
}
