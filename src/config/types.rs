//! The shapes of `configs/*.json`, after `naptha_sdk/schemas.py` 1.0.5. All fields are optional there too, since
//! what a file leaves out is filled in from elsewhere. Fields that are absent go out as `null`, as Naptha's do.

use std::cell::Cell;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::module::ModuleType;

/// One entry of a deployment file, or a deployment on the wire.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// Where it runs; else on the node that resolves it.
    #[serde(default)]
    pub node: Option<NodeEntry>,
    /// What other files call this deployment.
    #[serde(default)]
    pub name: Option<String>,
    /// Which module it is of.
    #[serde(default)]
    pub module: Option<ModuleEntry>,
    /// Its settings.
    #[serde(default)]
    pub config: Option<DeploymentConfig>,
    /// What is saved of its runs.
    #[serde(default)]
    pub data_generation_config: Option<DataGenerationConfig>,
    /// Agents that it calls.
    #[serde(default, deserialize_with = "sub_deployments")]
    pub agent_deployments: Option<Vec<Deployment>>,
    /// Tools that it calls.
    #[serde(default, deserialize_with = "sub_deployments")]
    pub tool_deployments: Option<Vec<Deployment>>,
    /// Environments that it acts in.
    #[serde(default, deserialize_with = "sub_deployments")]
    pub environment_deployments: Option<Vec<Deployment>>,
    /// Knowledge bases that it uses.
    #[serde(default, deserialize_with = "sub_deployments")]
    pub kb_deployments: Option<Vec<Deployment>>,
    /// Memories that it uses.
    #[serde(default, deserialize_with = "sub_deployments")]
    pub memory_deployments: Option<Vec<Deployment>>,
    /// Set by nodes.
    #[serde(default)]
    pub initialized: Option<bool>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Deepest nesting of deployments. One is a large value, and a parser of hostile input must not run out of stack.
pub(super) const MAX_DEPTH: usize = 16;

/// Reads a list of sub-deployments unless it is nested too deeply, wherever it is from.
fn sub_deployments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Deployment>>, D::Error> {
    thread_local!(static DEPTH: Cell<usize> = const { Cell::new(0) });
    /// One level deeper for as long as it lives.
    struct Level;
    impl Drop for Level {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _level = Level;
    if DEPTH.get() > MAX_DEPTH {
        return Err(serde::de::Error::custom(format!("deployments are nested more than {MAX_DEPTH} deep")));
    }
    Option::deserialize(deserializer)
}

impl Deployment {
    /// The list of one type of sub-deployment; `None` for a type that cannot be one.
    pub fn subs(&self, module_type: ModuleType) -> Option<&Option<Vec<Deployment>>> {
        match module_type {
            ModuleType::Agent => Some(&self.agent_deployments),
            ModuleType::Tool => Some(&self.tool_deployments),
            ModuleType::Environment => Some(&self.environment_deployments),
            ModuleType::Kb => Some(&self.kb_deployments),
            ModuleType::Memory => Some(&self.memory_deployments),
            ModuleType::Orchestrator | ModuleType::Persona => None,
        }
    }

    /// The same, to change it.
    pub fn subs_mut(&mut self, module_type: ModuleType) -> Option<&mut Option<Vec<Deployment>>> {
        match module_type {
            ModuleType::Agent => Some(&mut self.agent_deployments),
            ModuleType::Tool => Some(&mut self.tool_deployments),
            ModuleType::Environment => Some(&mut self.environment_deployments),
            ModuleType::Kb => Some(&mut self.kb_deployments),
            ModuleType::Memory => Some(&mut self.memory_deployments),
            ModuleType::Orchestrator | ModuleType::Persona => None,
        }
    }

    /// Applies `change` to its node and those of everything below it.
    pub fn for_each_node(&mut self, change: &mut dyn FnMut(&mut Option<NodeEntry>)) {
        change(&mut self.node);
        for (module_type, _, _) in super::SUB_DEPLOYMENTS {
            for element in self.subs_mut(module_type).and_then(Option::as_mut).into_iter().flatten() {
                element.for_each_node(change);
            }
        }
    }
}

/// Where a deployment runs: by address (`ip`) or by name, as Naptha's documents write it, or by `id`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeEntry {
    /// Host, address or URL; `localhost` without a port is the node that resolves it.
    #[schemars(example = &"localhost")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The node's name, id or URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Port of its HTTP door.
    #[schemars(example = 7001)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_communication_port: Option<u16>,
    /// `http` or `https`.
    #[schemars(example = &"https")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_communication_protocol: Option<String>,
    /// The rest of Naptha's node record.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Which module a deployment is of. Only `name` matters in a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleEntry {
    /// The module's name, with or without `type:` in front.
    #[schemars(example = &"agent:chat")]
    #[serde(default)]
    pub name: Option<String>,
    /// The rest of Naptha's module record.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A deployment's settings. Which keys mean something depends on the module's type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentConfig {
    /// What this configuration is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_name: Option<String>,
    /// The language model: `config_name` of an entry of the same package's `llm_configs.json`, and what differs from it (all but knowledge bases and memories).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_config: Option<LlmConfig>,
    /// Rounds of interaction (orchestrators).
    #[schemars(example = 5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<u32>,
    /// A persona: `{"name": …}` (agents).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona_module: Option<Map<String, Value>>,
    /// What the model is told first: any object (agents).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<Map<String, Value>>,
    /// What kind of environment it is (environments).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_type: Option<String>,
    /// Where its data is (knowledge bases, memories, environments).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_config: Option<StorageConfig>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An entry of `llm_configs.json`, or a reference to one by `config_name`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmConfig {
    /// What this configuration is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_name: Option<String>,
    /// Which API it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<LlmClient>,
    /// The model's name at the provider; `napt/echo` is built in.
    #[schemars(example = &"napt/echo")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Upper bound of an answer, in tokens.
    #[schemars(example = 500)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 is the most predictable.
    #[schemars(example = 0.7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// URL of the provider's API, for modules that call it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
    /// Settings of embedding models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Which API a language model is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names say it
pub enum LlmClient {
    Openai,
    AzureOpenai,
    Anthropic,
    Vllm,
    Litellm,
    Ollama,
    Stability,
}

/// Where a knowledge base, memory or environment keeps its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StorageConfig {
    /// Which kind of storage.
    pub storage_type: StorageType,
    /// A table, or a folder.
    pub path: String,
    /// Columns of the table, each with `type`, `primary_key`, `required`, `default`, `dimension`.
    #[serde(default)]
    pub storage_schema: Map<String, Value>,
    /// Settings of that kind of storage.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Kinds of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// Tables.
    Db,
    /// Files.
    Fs,
    /// Content-addressed files.
    Ipfs,
}

/// What is saved of a module's runs. Modules read it; nodes do not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataGenerationConfig {
    /// Whether outputs are to be saved.
    #[serde(default)]
    pub save_outputs: Option<bool>,
    /// In which kind of place.
    #[serde(default)]
    pub save_outputs_location: Option<String>,
    /// In which folder of it.
    #[serde(default)]
    pub save_outputs_path: Option<String>,
    /// Whether inputs are to be saved.
    #[serde(default)]
    pub save_inputs: Option<bool>,
    /// In which kind of place.
    #[serde(default)]
    pub save_inputs_location: Option<String>,
    /// Under which name, unless the module gives another.
    #[serde(default)]
    pub default_filename: Option<String>,
    /// Keys that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
