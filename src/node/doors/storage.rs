//! Naptha's storage door, as far as it goes: `db`.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Refusal,
    request::{Authenticated, reason},
};
use crate::node::{
    NodeError, Shared,
    core::{DatabaseError, ReadOptions},
};

impl From<DatabaseError> for NodeError {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::NoTable(_) => NodeError::missing(error.to_string()),
            DatabaseError::Duplicate(_) | DatabaseError::OtherSchema(_) => NodeError::Conflict(error.to_string()),
            DatabaseError::Sqlite(_) | DatabaseError::Io(_) => NodeError::internal("use a user's tables")(error),
            _ => NodeError::Invalid(error.to_string()),
        }
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        NodeError::from(error).into()
    }
}

/// The form field `data`: JSON.
fn form_data(body: &[u8]) -> Result<Map<String, Value>, NodeError> {
    let field = url::form_urlencoded::parse(body).find(|(name, _)| name == "data");
    let (_, text) = field.ok_or_else(|| NodeError::Invalid("the form has no field `data`".to_owned()))?;
    serde_json::from_str(&text)
        .map_err(|error| NodeError::Invalid(format!("the field `data` is not as expected: {}", reason(&error))))
}

fn object(table: &str, data: Value) -> Json<Value> {
    Json(json!({
        "location": { "storage_type": "db", "path": table, "options": {} },
        "data": data,
        "metadata": {
            "content_type": null, "created_at": null, "modified_at": null, "size": null, "checksum": null,
            "tags": {}, "custom": {},
        },
    }))
}

/// Makes a table (`schema`) or inserts rows (`data`).
pub(super) async fn create(
    State(core): State<Shared>,
    Path(table): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let data = form_data(&request.body)?;
    if let Some(Value::Object(schema)) = data.get("schema") {
        core.database.create_table(&user, &table, schema).await?;
        return Ok(Json(Value::Bool(true)));
    }
    let row = |value: &Value| {
        value.as_object().cloned().ok_or_else(|| NodeError::Invalid("each row is an object of columns".to_owned()))
    };
    let rows: Vec<Map<String, Value>> = match data.get("data") {
        Some(Value::Array(rows)) => rows.iter().map(row).collect::<Result<_, _>>()?,
        Some(value) => vec![row(value)?],
        None => return Err(NodeError::Invalid("`data` holds neither `schema` nor `data`".to_owned()).into()),
    };
    core.database.insert(&user, &table, &rows).await?;
    Ok(object(&table, Value::Bool(true)))
}

#[derive(Debug, Deserialize)]
pub(super) struct ReadQuery {
    options: Option<String>,
}

impl ReadQuery {
    fn parse(&self) -> Result<ReadOptions, NodeError> {
        match self.options.as_deref() {
            None | Some("") => Ok(ReadOptions::default()),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| NodeError::Invalid(format!("`options` are not as expected: {}", reason(&error)))),
        }
    }
}

/// Rows, as a bare list.
pub(super) async fn read(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<ReadQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    Ok(Json(core.database.read(&user, &table, query.parse()?).await?.into()))
}

/// Rows, as a storage object.
pub(super) async fn list(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<ReadQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    Ok(object(&table, core.database.read(&user, &table, query.parse()?).await?.into()))
}

#[derive(Debug, Deserialize)]
pub(super) struct ConditionQuery {
    condition: Option<String>,
}

impl ConditionQuery {
    fn parse(&self) -> Result<Map<String, Value>, NodeError> {
        match self.condition.as_deref() {
            None | Some("") => Ok(Map::new()),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| NodeError::Invalid(format!("`condition` is not as expected: {}", reason(&error)))),
        }
    }
}

/// Changes rows.
pub(super) async fn update(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<ConditionQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let data = form_data(&request.body)?;
    let change = match data.get("data") {
        Some(Value::Object(change)) => change.clone(),
        _ => return Err(NodeError::Invalid("`data` holds no object `data` with the changes".to_owned()).into()),
    };
    let changed = core.database.update(&user, &table, query.parse()?, &change).await?;
    Ok(object(&table, changed.into()))
}

/// Deletes rows.
pub(super) async fn delete(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<ConditionQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    Ok(object(&table, core.database.delete(&user, &table, query.parse()?).await?.into()))
}
