//! What a command line asks for: rows, changes, conditions, words.

use serde_json::{Map, Value, json};

use super::{
    Args, usage,
    values::{json_of, wrapped},
};
use crate::{context::Context, report::Failure};

impl Args {
    /// What a create of `db` sends: a schema, or rows.
    pub(super) fn rows(&self, context: &Context) -> Result<Value, Failure> {
        match json_of(context, "--schema", self.schema.as_deref())? {
            Some(schema) => Ok(wrapped("schema", schema)),
            None => Ok(wrapped("data", self.needed(context)?)),
        }
    }

    pub(super) fn needed(&self, context: &Context) -> Result<Value, Failure> {
        json_of(context, "--data", self.data.as_deref())?.ok_or_else(|| {
            usage("the data is missing", "give it with `--data`, or a new table's columns with `--schema`")
        })
    }

    /// What is searched for; what is no JSON is words.
    pub(super) fn query(&self, context: &Context) -> Result<Value, Failure> {
        let text =
            self.data.as_deref().ok_or_else(|| usage("what to search for is missing", "give it with `--data`"))?;
        match text.starts_with(['[', '{', '"', '@', '-']) {
            true => Ok(json_of(context, "--data", Some(text))?.unwrap_or(Value::Null)),
            false => Ok(text.into()),
        }
    }

    /// The rows that `--where` means.
    pub(super) fn wanted(&self) -> Result<Map<String, Value>, Failure> {
        let pair = |text: &String| {
            let (column, value) = text
                .split_once('=')
                .ok_or_else(|| usage(format!("`{text}` is not `column=value`"), "write for example `--where id=1`"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((column.to_owned(), value))
        };
        self.conditions.iter().map(pair).collect()
    }

    /// The options of a read, with what `--where` says.
    pub(super) fn with_conditions(&self, options: Value) -> Result<Value, Failure> {
        let wanted = self.wanted()?;
        if wanted.is_empty() {
            return Ok(options);
        }
        let mut options = options.as_object().cloned().unwrap_or_default();
        let conditions = options.entry("conditions").or_insert_with(|| json!([]));
        if let Some(conditions) = conditions.as_array_mut() {
            conditions.push(wanted.into());
        }
        Ok(options.into())
    }

    /// Which rows a change is for: `--where`, or where `naptha` has it.
    pub(super) fn condition(&self, options: &Value) -> Result<Value, Failure> {
        let mut wanted = options.get("condition").and_then(Value::as_object).cloned().unwrap_or_default();
        wanted.extend(self.wanted()?);
        if wanted.is_empty() {
            return Err(usage("a condition is missing", "say which rows, for example `--where id=1`"));
        }
        Ok(wanted.into())
    }
}
