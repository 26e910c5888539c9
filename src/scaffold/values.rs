//! Values of variables in a file, TOML or JSON by its suffix, each with its place for messages.

use std::{collections::BTreeMap, ops::Range, path::Path};

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged, parse_to_ast};
use toml::de::{DeTable, DeValue};

use super::ScaffoldError;

/// A value as it would be typed.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) text: String,
    /// The file and line; `None` for one of the command line.
    pub(super) place: Option<String>,
}

impl Given {
    /// An error of this value, with its place.
    pub(super) fn wrong(&self, error: ScaffoldError) -> ScaffoldError {
        match &self.place {
            Some(place) => ScaffoldError::At { place: place.clone(), error: Box::new(error) },
            None => error,
        }
    }
}

/// Values by variable.
pub(super) type Values = BTreeMap<String, Given>;

/// A key with its place in the text, and its value unless that is a list, a table or nothing.
type Entry = (String, Range<usize>, Option<String>);

/// Reads the file of `--values`.
pub(super) fn read(path: &Path) -> Result<Values, ScaffoldError> {
    let text = fs_err::read_to_string(path)?;
    let place = |at: usize| {
        let line = text.get(..at).unwrap_or(&text).matches('\n').count() + 1;
        format!("`{}`, line {line}", path.display())
    };
    let entries = match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("toml") => toml_entries(&text),
        Some("json") => json_entries(&text),
        _ => return Err(ScaffoldError::ValuesFormat(path.to_owned())),
    };
    let entries = entries
        .map_err(|(at, reason)| ScaffoldError::At { place: place(at), error: ScaffoldError::Values(reason).into() })?;
    let mut values = Values::new();
    for (variable, span, value) in entries {
        let place = place(span.start);
        let text = value.ok_or_else(|| ScaffoldError::At {
            place: place.clone(),
            error: ScaffoldError::Values(format!(
                "the value of `{variable}` must be a text, a number or a truth value"
            ))
            .into(),
        })?;
        values.insert(variable, Given { text, place: Some(place) });
    }
    Ok(values)
}

fn toml_entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().replace('\n', ", ")))?;
    let value = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix());
            Some(read.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string()))
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    Ok(table.get_ref().iter().map(|(key, it)| (key.get_ref().to_string(), key.span(), value(it.get_ref()))).collect())
}

fn json_entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_trailing_commas: false,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &strict)
        .map_err(|error| (error.range().start, error.kind().to_string()))?;
    let Some(ast::Value::Object(object)) = parsed.value else {
        return Err((0, "it must be an object with a key for each variable".to_owned()));
    };
    let value = |value: &ast::Value<'_>| match value {
        ast::Value::StringLit(text) => Some(text.value.to_string()),
        ast::Value::NumberLit(number) => Some(number.value.to_owned()),
        ast::Value::BooleanLit(value) => Some(value.value.to_string()),
        ast::Value::Array(_) | ast::Value::Object(_) | ast::Value::NullKeyword(_) => None,
    };
    let entry = |property: &ast::ObjectProp<'_>| {
        let range = property.name.range();
        (property.name.as_str().to_owned(), range.start..range.end, value(&property.value))
    };
    Ok(object.properties.iter().map(entry).collect())
}
