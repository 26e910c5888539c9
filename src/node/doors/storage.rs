//! Naptha's storage door: `db` here, files below.

mod files;

use axum::{
    Json,
    extract::{Path, Query, State},
};
pub(super) use files::files;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Refusal,
    request::{Authenticated, reason},
};
use crate::node::{
    NodeError, Shared,
    core::{DatabaseError, ReadOptions, Search},
};

impl From<DatabaseError> for NodeError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Io(error) => NodeError::internal("use a user's tables")(error),
            DatabaseError::NoTable(_) => NodeError::missing(error.to_string()),
            DatabaseError::Duplicate(_) | DatabaseError::OtherSchema(_) => NodeError::Conflict(error.to_string()),
            DatabaseError::Quota(_) | DatabaseError::TooMuch(_) => NodeError::TooLarge(error.to_string()),
            DatabaseError::Sqlite(_) => NodeError::internal("use a user's tables")(error),
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

/// JSON in the query; absent or empty is the default.
fn parameter<T: DeserializeOwned + Default>(name: &str, text: Option<&str>) -> Result<T, NodeError> {
    match text {
        None | Some("" | "null") => Ok(T::default()),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| NodeError::Invalid(format!("`{name}` is not as expected: {}", reason(&error)))),
    }
}

/// What Naptha calls metadata.
fn metadata(custom: &Value) -> Value {
    json!({
        "content_type": null, "created_at": null, "modified_at": null, "size": null, "checksum": null,
        "tags": {}, "custom": custom,
    })
}

fn object(storage: &str, path: &str, data: Value, custom: &Value) -> Value {
    json!({
        "location": { "storage_type": storage, "path": path, "options": {} },
        "data": data,
        "metadata": metadata(custom),
    })
}

/// What a search finds, as Naptha's SDK expects it.
fn hit(path: &str, data: Value, custom: &Value) -> Value {
    json!({ "path": path, "data": data, "metadata": metadata(custom) })
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
    Ok(Json(object("db", &table, Value::Bool(true), &json!({}))))
}

/// The options of a request that has nothing else in its query.
#[derive(Debug, Deserialize)]
pub(super) struct OptionsQuery {
    options: Option<String>,
}

impl OptionsQuery {
    pub(super) fn parse<T: DeserializeOwned + Default>(&self) -> Result<T, NodeError> {
        parameter("options", self.options.as_deref())
    }
}

/// Rows, as a bare list.
pub(super) async fn read(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<OptionsQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    Ok(Json(core.database.read(&user, &table, query.parse()?).await?.into()))
}

/// Rows, as a storage object that says how many there are in all.
pub(super) async fn list(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<OptionsQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let options: ReadOptions = query.parse()?;
    let total = core.database.count(&user, &table, &options).await?;
    let rows = core.database.read(&user, &table, options).await?;
    Ok(Json(object("db", &table, rows.into(), &json!({ "total": total }))))
}

/// The names of a user's tables, as a storage object.
pub(super) async fn tables(State(core): State<Shared>, request: Authenticated) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let tables = core.database.tables(&user).await?;
    Ok(Json(object("db", "", tables.into(), &json!({}))))
}

#[derive(Debug, Deserialize)]
pub(super) struct ConditionQuery {
    condition: Option<String>,
    options: Option<String>,
}

/// What comes with a delete beside the condition.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeleteOptions {
    /// Where Naptha's command line has the condition.
    condition: Option<Map<String, Value>>,
    /// That the whole table is meant.
    drop: bool,
}

impl ConditionQuery {
    fn parse(&self) -> Result<Map<String, Value>, NodeError> {
        parameter("condition", self.condition.as_deref())
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
    Ok(Json(object("db", &table, changed.into(), &json!({}))))
}

/// Deletes rows; the whole table only when told so in words.
pub(super) async fn delete(
    State(core): State<Shared>,
    Path(table): Path<String>,
    Query(query): Query<ConditionQuery>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let options: DeleteOptions = parameter("options", query.options.as_deref())?;
    let mut condition = query.parse()?;
    condition.extend(options.condition.unwrap_or_default());
    let done = match (options.drop, condition.is_empty()) {
        (true, true) => core.database.drop_table(&user, &table).await.map(|()| Value::Bool(true))?,
        (true, false) => {
            let what = "a `condition` deletes rows and `drop` the whole table: send one of them";
            return Err(NodeError::Invalid(what.to_owned()).into());
        }
        (false, _) => core.database.delete(&user, &table, condition).await?.into(),
    };
    Ok(Json(object("db", &table, done, &json!({}))))
}

/// Searches a table.
pub(super) async fn search(
    State(core): State<Shared>,
    Path(table): Path<String>,
    request: Authenticated,
) -> Result<Json<Value>, Refusal> {
    let user = request.caller.consumer(None)?;
    let search: Search = request.json()?;
    let found = core.database.search(&user, &table, &search).await?;
    let hits = found.into_iter().map(|row| hit(&table, Value::Object(row), &json!({})));
    Ok(Json(hits.collect()))
}
