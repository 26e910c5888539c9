//! The JSON Schemas of the files that people write, made of the types that read them: what `check` validates with, and
//! what editors complete with. They are stricter than the types, which keep unknown keys for forward compatibility.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::rules::RULES;
use crate::{
    config::{DEPLOYMENT_FILE, Deployment, LLM_CONFIGS_FILE, LlmConfig, SUB_DEPLOYMENTS},
    module::{MANIFEST_FILE, ManifestFile, SCHEMA_FOLDER},
    resolve::{LOCK_FILE, Lock},
};

/// Types whose unknown keys are part of a record of Naptha's that other tools fill in.
const FREE: [&str; 1] = ["NodeEntry"];

/// What Naptha's own module records hold besides the name.
const MODULE_RECORD: [&str; 9] = [
    "id",
    "description",
    "parameters",
    "author",
    "module_url",
    "module_type",
    "module_version",
    "module_entrypoint",
    "execution_type",
];

/// A kind of file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `napt.toml`
    Manifest,
    /// `deployment.json` and `*_deployments.json`
    Deployments,
    /// `llm_configs.json`
    LlmConfigs,
    /// `napt.lock`
    Lock,
}

impl Schema {
    /// All of them.
    pub const ALL: [Schema; 4] = [Schema::Manifest, Schema::Deployments, Schema::LlmConfigs, Schema::Lock];

    /// As it is typed, and named on disk.
    pub fn name(self) -> &'static str {
        match self {
            Schema::Manifest => "manifest",
            Schema::Deployments => "deployments",
            Schema::LlmConfigs => "llm_configs",
            Schema::Lock => "lock",
        }
    }

    /// The file that it is kept in: `manifest.json`.
    pub fn file(self) -> String {
        format!("{}.json", self.name())
    }

    /// The names of the files that it describes.
    pub fn describes(self) -> Vec<&'static str> {
        match self {
            Schema::Manifest => vec![MANIFEST_FILE],
            Schema::Deployments => {
                std::iter::once(DEPLOYMENT_FILE).chain(SUB_DEPLOYMENTS.map(|(_, _, file)| file)).collect()
            }
            Schema::LlmConfigs => vec![LLM_CONFIGS_FILE],
            Schema::Lock => vec![LOCK_FILE],
        }
    }

    /// The schema itself: draft 7, which editors understand for JSON and TOML alike.
    pub fn value(self) -> Value {
        let mut schema = match self {
            Schema::Manifest => of::<ManifestFile>(),
            Schema::Deployments => of::<Vec<Deployment>>(),
            Schema::LlmConfigs => of::<Vec<LlmConfig>>(),
            Schema::Lock => of::<Lock>(),
        };
        tighten(&mut schema, "");
        schema["title"] = self.describes().join(", ").into();
        schema["$comment"] = concat!("napt ", env!("CARGO_PKG_VERSION")).into();
        if self == Schema::Manifest {
            schema["anyOf"] = json!([{ "required": ["module"] }, { "required": ["workspace"] }]);
            name_rules(&mut schema);
        }
        schema
    }

    /// The same as text, as it stands in files.
    pub fn text(self) -> String {
        format!("{:#}\n", self.value())
    }
}

fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// Closes the objects of known keys, and says what the format of a number means.
fn tighten(schema: &mut Value, name: &str) {
    let Value::Object(map) = schema else { return };
    if name == "ModuleEntry"
        && let Some(Value::Object(properties)) = map.get_mut("properties")
    {
        properties.extend(MODULE_RECORD.map(|key| (key.to_owned(), json!(true))));
    }
    if map.contains_key("properties") && !FREE.contains(&name) {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            bound(property);
        }
    }
    if let Some(Value::Object(definitions)) = map.get_mut("definitions") {
        for (name, definition) in definitions {
            tighten(definition, name);
        }
    }
}

fn bound(property: &mut Map<String, Value>) {
    if property.get("format").is_some_and(|format| format == "uint32") {
        property.insert("maximum".to_owned(), u32::MAX.into());
    }
}

/// Lists the rules where their levels are set, for editors to complete. Other names stay possible: a rule of another
/// version is no error.
fn name_rules(schema: &mut Value) {
    let level = schema["properties"]["lints"]["additionalProperties"].clone();
    let rules: Map<String, Value> = RULES
        .iter()
        .map(|rule| (rule.name.to_owned(), json!({ "description": rule.summary, "allOf": [level.clone()] })))
        .collect();
    schema["properties"]["lints"]["properties"] = rules.into();
}

/// What a project keeps for editors, by path: the schemas, and which file each is of where a file cannot say so itself.
/// Naptha's JSON files are lists, which have no place for `$schema`.
pub fn editor_files() -> Vec<(String, String)> {
    let schemas = Schema::ALL.map(|schema| (format!("{SCHEMA_FOLDER}/{}", schema.file()), schema.text()));
    let matches = [Schema::Deployments, Schema::LlmConfigs].map(|schema| {
        let files: Vec<String> = schema.describes().iter().map(|file| format!("**/configs/{file}")).collect();
        json!({ "fileMatch": files, "url": format!("./{SCHEMA_FOLDER}/{}", schema.file()) })
    });
    let settings = format!("{:#}\n", json!({ "json.schemas": matches }));
    schemas.into_iter().chain([(".vscode/settings.json".to_owned(), settings)]).collect()
}
