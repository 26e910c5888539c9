//! What the book says is what the program does.

use std::collections::BTreeSet;

use napt::{
    config::{Deployment, LlmConfig},
    module::ManifestFile,
};
use serde_json::Value;

/// The keys and words of a schema, in all of its types.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            found.extend(map.get("const").and_then(Value::as_str).map(str::to_owned));
            let words = map.get("enum").and_then(Value::as_array).into_iter().flatten();
            found.extend(words.filter_map(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_configuration_page_has_every_key() {
    let page = include_str!("../../docs/configuration.md");
    let mut found = BTreeSet::new();
    for schema in
        [schemars::schema_for!(ManifestFile), schemars::schema_for!(Deployment), schemars::schema_for!(LlmConfig)]
    {
        keys(schema.as_value(), &mut found);
    }
    assert!(found.contains("max_rounds") && found.contains("litellm") && found.contains("timeout"), "{found:?}");
    // Sections are written in brackets.
    let missing: Vec<_> = found
        .iter()
        .filter(|key| {
            ![format!("`{key}`"), format!("`[{key}]`"), format!("\"{key}\"")].iter().any(|text| page.contains(text))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
