//! Naptha's shapes, as `naptha-sdk` 1.0.5 sends and parses them.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::RunView;
use crate::config::Deployment;

/// A request to run a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInput {
    /// `user:` and the public key of who pays and owns.
    pub consumer_id: String,
    /// What the module gets; an object, or null.
    #[serde(default)]
    pub inputs: Value,
    /// What to run.
    pub deployment: Deployment,
    /// Over the consumer id.
    #[serde(default)]
    pub signature: Option<String>,
    /// Fields of one type only (`agent_run`, `orchestrator_runs`, …).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A secret as the SDK sends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretRow {
    /// `user:` and a public key, sometimes with `<record>` before it.
    pub user_id: String,
    /// Encrypted for one node, in base64.
    pub secret_value: String,
    /// The variable that it becomes.
    pub key_name: String,
}

impl SecretRow {
    /// Whose it is.
    pub fn user(&self) -> &str {
        self.user_id.strip_prefix("<record>").unwrap_or(&self.user_id)
    }
}

/// A run as the SDK's `*Run` classes parse it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// Who owns it.
    pub consumer_id: String,
    /// What the module got.
    pub inputs: Value,
    /// What was run.
    pub deployment: Value,
    /// Always empty: a run's tree is on napt's own API.
    pub orchestrator_runs: Vec<Value>,
    /// `pending`, `processing`, `completed` or `error`.
    pub status: String,
    /// Whether it ended badly.
    pub error: bool,
    /// The run's id.
    pub id: String,
    /// One string when completed.
    pub results: Vec<String>,
    /// Why it ended badly; empty otherwise.
    pub error_message: Option<String>,
    /// ISO 8601, UTC, without a zone.
    pub created_time: Option<String>,
    /// Likewise.
    pub start_processing_time: Option<String>,
    /// Likewise.
    pub completed_time: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    /// Never set.
    pub input_schema_ipfs_hash: Option<String>,
    /// As it came with the request; the SDK needs a string.
    pub signature: String,
}

/// A time as Naptha writes it: `2026-11-22T22:21:31.116209`.
pub fn naptha_time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

impl RunRecord {
    /// A run of ours in Naptha's shape. Its clients know no `cancelled`: that is an error with this message.
    pub fn of(view: &RunView, deployment: Value, signature: String) -> Self {
        let duration = view.finished.zip(view.started).map(|(end, start)| end.duration_since(start).as_secs_f64());
        RunRecord {
            consumer_id: view.consumer.clone(),
            inputs: view.inputs.clone(),
            deployment,
            orchestrator_runs: Vec::new(),
            status: view.status.naptha().to_owned(),
            error: view.status.is_failure(),
            id: view.id.clone(),
            results: view.result.iter().cloned().collect(),
            error_message: Some(view.error.clone().unwrap_or_default()),
            created_time: Some(naptha_time(view.created)),
            start_processing_time: view.started.map(naptha_time),
            completed_time: view.finished.map(naptha_time),
            duration,
            input_schema_ipfs_hash: None,
            signature,
        }
    }
}

/// A server of a node, by the names of SDK 1.x and of 0.2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are Naptha's
pub struct NodeServer {
    pub communication_protocol: String,
    pub server_type: String,
    pub port: u16,
    pub node_id: String,
}

/// A node, by the names of SDK 1.x and of 0.2. Modules need all of it in every deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are Naptha's
pub struct NodeConfig {
    pub id: String,
    pub owner: String,
    pub public_key: String,
    pub ip: String,
    pub user_communication_protocol: String,
    pub node_communication_protocol: String,
    pub user_communication_port: u16,
    pub num_node_communication_servers: u32,
    pub server_type: String,
    pub http_port: u16,
    pub num_servers: u32,
    pub provider_types: Vec<String>,
    pub servers: Vec<NodeServer>,
    pub models: Vec<String>,
    pub docker_jobs: bool,
    pub ports: Vec<u16>,
    pub routing_type: Option<String>,
    pub routing_url: Option<String>,
    pub num_gpus: Option<u32>,
    pub arch: Option<String>,
    pub os: Option<String>,
    pub ram: Option<u64>,
    pub vram: Option<u64>,
}

/// What `/user/check` and `/user/register` answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserReply {
    /// 128 hex digits.
    pub public_key: String,
    /// `user:` and the key; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Absent in the answer to a registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_registered: Option<bool>,
}
