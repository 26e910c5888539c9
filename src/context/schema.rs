//! The JSON Schema of configuration files, for editors.

use serde_json::{Map, Value, json};

use super::{
    layer::{PROVIDERS, REGISTRIES},
    settings::Key,
};

/// Where a workspace keeps it, relative to its `.napt/config.toml`.
pub(super) const CONFIG_SCHEMA: &str = "schemas/config.json";

/// The JSON Schema of `config.toml`.
pub fn config_schema() -> Value {
    let mut properties: Map<String, Value> = Key::ALL.iter().map(|key| (key.name().to_owned(), of(*key))).collect();
    properties.insert(
        REGISTRIES.to_owned(),
        json!({
            "description": "Registries by the names that commands and manifests call them by.",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": { "url": { "description": "The registry's URL.", "type": "string", "format": "uri" } },
                "required": ["url"],
                "additionalProperties": false,
            },
        }),
    );
    properties.insert(
        PROVIDERS.to_owned(),
        json!({
            "description": "A node's model providers by name; only in your own file, never in a workspace's.",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "url": { "description": "The provider's base URL.", "type": "string", "format": "uri" },
                    "models": {
                        "description": "The models that it serves, with `*` for anything; left out: all that no other does.",
                        "type": "array",
                        "items": { "type": "string" },
                    },
                    "key": { "description": "The provider's key.", "type": "string" },
                },
                "required": ["url"],
                "additionalProperties": false,
            },
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": concat!("napt ", env!("CARGO_PKG_VERSION")),
        "title": "config.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn of(key: Key) -> Value {
    match key {
        Key::Registry => json!({ "description": "The registry: its URL, or its name.", "type": "string" }),
        Key::Node => json!({ "description": "The node's URL.", "type": "string", "format": "uri" }),
        Key::Color => {
            json!({ "description": "When to use colour.", "type": "string", "enum": ["auto", "always", "never"] })
        }
        Key::ProviderKey => json!({
            "description": "The key of a node's model provider; only in your own file, never in a workspace's.",
            "type": "string",
        }),
    }
}
