//! Naptha's configuration files as types: deployments, LLM configurations, nodes; loading and merging. `check`
//! validates with these types, the node merges them. Unknown keys survive, for forward compatibility.

mod env_file;
mod merge;
mod persona;
mod resolve;
mod sdk_names;
mod types;

pub use env_file::{ENV_FILE, read_env_file, read_env_variables};
pub use merge::{merge, overlay};
pub use persona::{MAX_PERSONA, PersonaError, read_persona};
pub use resolve::{Catalog, ConfigError, ModuleConfigs, resolve};
pub use types::{
    DataGenerationConfig, Deployment, DeploymentConfig, LlmClient, LlmConfig, ModuleEntry, NodeEntry, StorageConfig,
    StorageType,
};

use crate::module::ModuleType;

/// A project's own deployments.
pub const DEPLOYMENT_FILE: &str = "deployment.json";

/// What modules of 2024 have instead of it.
pub const COMPONENT_FILE: &str = "component.yaml";

/// Models by name.
pub const LLM_CONFIGS_FILE: &str = "llm_configs.json";

/// The types of module that a deployment can list, with the key it lists them under and the file that describes them.
pub const SUB_DEPLOYMENTS: [(ModuleType, &str, &str); 5] = [
    (ModuleType::Agent, "agent_deployments", "agent_deployments.json"),
    (ModuleType::Tool, "tool_deployments", "tool_deployments.json"),
    (ModuleType::Environment, "environment_deployments", "environment_deployments.json"),
    (ModuleType::Kb, "kb_deployments", "kb_deployments.json"),
    (ModuleType::Memory, "memory_deployments", "memory_deployments.json"),
];
