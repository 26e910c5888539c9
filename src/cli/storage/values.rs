//! JSON as people give it, and answers as people read them.

use std::{io::Read, path::Path};

use serde_json::{Value, json};

use crate::{context::Context, report::Failure};

/// JSON as text, from `@FILE`, or from stdin for `-`.
pub(super) fn json_of(context: &Context, flag: &str, given: Option<&str>) -> Result<Option<Value>, Failure> {
    let Some(given) = given else { return Ok(None) };
    let read;
    let text = match given.strip_prefix('@') {
        Some(file) => {
            read = fs_err::read_to_string(context.cwd.join(Path::new(file)))?;
            &read
        }
        None if given == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            read = text;
            &read
        }
        None => given,
    };
    super::super::arguments::json_value(flag, text).map(Some)
}

/// `{"schema": …}` and `{"data": …}` are how Naptha's command line has them.
pub(super) fn wrapped(key: &str, value: Value) -> Value {
    match value.as_object() {
        Some(object)
            if object.len() == 1 && object.get(key).is_some_and(|inner| inner.is_object() || inner.is_array()) =>
        {
            value
        }
        _ => json!({ key: value }),
    }
}

/// A line for each row, file or hit.
pub(super) fn human(result: &Value) -> String {
    let rows = match result {
        Value::Array(rows) => rows,
        Value::Object(object) if object.get("data").is_some_and(Value::is_array) => match &object["data"] {
            Value::Array(rows) => rows,
            _ => return String::new(),
        },
        Value::Object(object) => {
            let data = object.get("data").unwrap_or(result);
            let said = ["ipfs_hash", "message"].iter().find_map(|key| data.get(key)).unwrap_or(data);
            let name = data.get("ipns_hash").map(|name| format!("\n{}", shown(name)));
            return shown(said) + &name.unwrap_or_default();
        }
        other => return shown(other),
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(row: &Value) -> String {
    match (
        row.pointer("/location/path").or_else(|| row.get("path")),
        row.get("metadata").filter(|it| it.get("custom").is_some()),
    ) {
        (Some(Value::String(path)), Some(metadata)) => {
            let more = match (row.get("data"), metadata.get("size"), metadata.pointer("/custom/filename")) {
                (Some(data), ..) if !data.is_null() => shown(data),
                (_, Some(Value::Number(size)), Some(name)) => format!("{size}  {}", shown(name)),
                (_, Some(Value::Number(size)), None) => size.to_string(),
                _ => "folder".to_owned(),
            };
            format!("{path}  {more}")
        }
        _ => shown(row),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "done".to_owned(),
        Value::Number(count) => format!("{count} changed"),
        other => other.to_string(),
    }
}
