//! napt's own `/v1`.

use jiff::Timestamp;
/// RFC 9457 problem JSON: the same on registries and nodes. `detail` is also what Naptha's clients read.
pub use napt_registry_client::Problem;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{config::Deployment, module::ModuleId};

/// Who a node is. Public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `node:` and its public key.
    pub id: String,
    /// napt's version.
    pub version: String,
    /// Whether clients without credentials are let in (loopback only).
    pub open: bool,
    /// Models that need no provider.
    pub models: Vec<String>,
    /// The registry that it installs from.
    pub registry: String,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted and stored.
    Pending,
    /// Its module is being run.
    Processing,
    /// It has a result.
    Completed,
    /// It has an error.
    Error,
    /// It was asked to end before it had a result.
    Cancelled,
}

impl RunStatus {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, RunStatus::Completed | RunStatus::Error | RunStatus::Cancelled)
    }

    /// Whether it ended without a result.
    pub fn is_failure(self) -> bool {
        matches!(self, RunStatus::Error | RunStatus::Cancelled)
    }

    /// As it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Processing => "processing",
            RunStatus::Completed => "completed",
            RunStatus::Error => "error",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// The nearest status that Naptha's clients know.
    pub fn naptha(self) -> &'static str {
        match self {
            RunStatus::Cancelled => "error",
            other => other.as_str(),
        }
    }

    /// Reads what [`RunStatus::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [RunStatus::Pending, RunStatus::Processing, RunStatus::Completed, RunStatus::Error, RunStatus::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A request to run a deployed module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRequest {
    /// Which module.
    pub module: ModuleId,
    /// What it gets: an object.
    #[serde(default)]
    pub inputs: Value,
    /// What differs from the deployed configuration.
    #[serde(default)]
    pub deployment: Option<Deployment>,
}

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunView {
    /// 32 hex digits, sortable by time.
    pub id: String,
    /// The run that called for it; the id may be of another node's run.
    pub parent: Option<String>,
    /// The run that all of its tree goes back to.
    pub root: String,
    /// Which module.
    pub module: ModuleId,
    /// Which version of it.
    pub version: Option<Version>,
    /// Who owns it: `user:` and a public key.
    pub consumer: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What the module got.
    pub inputs: Value,
    /// What the module answered: its text, or the JSON of its value.
    pub result: Option<String>,
    /// Why there is no result.
    pub error: Option<String>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its process was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// A numbered event of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunEvent {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub payload: EventPayload,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventPayload {
    /// Its status changed.
    Status {
        /// The new status.
        status: RunStatus,
        /// Why, when it is an error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The module wrote a line.
    Line {
        /// `stdout` or `stderr`.
        stream: String,
        /// Without its newline.
        text: String,
    },
    /// The module called another one.
    Call {
        /// The child run, as its node calls it.
        run: String,
        /// Which module.
        module: ModuleId,
        /// On which node.
        node: String,
    },
    /// The module had a model answer.
    Inference {
        /// Whose model, as its node calls the provider.
        provider: String,
        /// Which one.
        model: String,
        /// How much it was asked, if the provider says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_tokens: Option<u64>,
        /// How much it answered, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        completion_tokens: Option<u64>,
    },
}

/// One module of a deployment: exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulePin {
    /// Which module.
    pub id: ModuleId,
    /// Which version.
    pub version: Version,
    /// The SHA-256 of its archive, in hex.
    pub sha256: String,
    /// The modules that it calls.
    #[serde(default)]
    pub dependencies: Vec<ModuleId>,
}

/// A request to deploy a module and all that it needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployRequest {
    /// What the deployment is called; the module's name when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The module to deploy.
    pub root: ModuleId,
    /// The root and all that it needs. Those that were not uploaded are fetched from the node's registry.
    pub modules: Vec<ModulePin>,
    /// What differs from the module's own `deployment.json`.
    #[serde(default)]
    pub deployment: Option<Deployment>,
    /// Do everything but the last step: what is live stays live.
    #[serde(default)]
    pub dry_run: bool,
}

/// A request to deploy the content of an earlier revision again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// Which one; the one before the live one when absent.
    #[serde(default)]
    pub revision: Option<u64>,
    /// Do everything but the last step.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a node says while it deploys; the last one is `ready` or `failed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeployEvent {
    /// A step.
    Step {
        /// For example `Installing`.
        verb: String,
        /// What it is about.
        what: String,
    },
    /// How far something long is. Told now and then, not for each byte.
    Progress {
        /// Which of the things that go on at once.
        number: u64,
        /// What is being done with it, for example `Fetching`.
        verb: String,
        /// Bytes so far; nothing when it is over.
        done: Option<u64>,
        /// Of how many, if that is known.
        total: Option<u64>,
    },
    /// The revision is live.
    Ready {
        /// The deployment.
        deployment: Box<DeploymentView>,
        /// It was live already, and nothing has changed.
        #[serde(default)]
        unchanged: bool,
    },
    /// The revision before it, if any, is still live.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// What a later version may tell besides.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl DeployEvent {
    /// The verb of a step that is a warning.
    pub const WARNING: &str = "Warning";
}

/// A revision of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentView {
    /// What it is called.
    pub name: String,
    /// From 1.
    pub revision: u64,
    /// The module.
    pub module: ModuleId,
    /// Its version.
    pub version: Version,
    /// All modules in it.
    pub modules: Vec<ModulePin>,
    /// Who deployed it.
    pub owner: String,
    /// When.
    pub created: Timestamp,
    /// The merged configuration, without credentials; empty for users who are not the owner.
    pub deployment: Deployment,
    /// What other nodes have deployed for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The revision whose content was deployed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<u64>,
    /// Nothing is deployed any more: this revision only says who removed it, and when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl DeploymentView {
    /// Whether both deploy the same, whoever did it and when.
    pub fn same_as(&self, other: &Self) -> bool {
        self.module == other.module
            && self.modules == other.modules
            && self.deployment == other.deployment
            && self.parts == other.parts
            && self.removed == other.removed
    }
}

/// What a peer has deployed for a revision: a revision of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which module.
    pub module: ModuleId,
    /// The peer's id.
    pub node: String,
    /// What the deployment is called there.
    pub name: String,
    /// Its revision there.
    pub revision: u64,
}

/// A live deployment and the runs that go on in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// Its live revision.
    #[serde(flatten)]
    pub deployment: DeploymentView,
    /// Runs of the live revision that have not ended, not counting those that they called for here.
    pub runs: u64,
    /// The same of its older revisions.
    pub draining: u64,
}

/// A revision in a deployment's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevisionStatus {
    /// The revision.
    #[serde(flatten)]
    pub deployment: DeploymentView,
    /// Whether new runs go to it.
    pub live: bool,
    /// Runs of it that have not ended, not counting those that they called for here.
    pub runs: u64,
}

/// A request for a token of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewToken {
    /// What it is for, in words.
    pub name: String,
    /// How long it is good for, in seconds.
    pub expires_in: u64,
}

/// A token, shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenView {
    /// What it is for.
    pub name: String,
    /// The token itself.
    pub token: String,
    /// Until when it is good.
    pub expires: Timestamp,
}

/// A secret for a node, sealed so that only this node can open it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewSecret {
    /// The variable that it becomes.
    pub name: String,
    /// The module whose runs alone get it; all of the user's do otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// Its value as a JWE for the node's key.
    pub sealed: String,
    /// Nodes whose forwarded calls get it too.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// What is shown of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretView {
    /// The variable that it becomes.
    pub name: String,
    /// The module whose runs alone get it.
    pub module: Option<ModuleId>,
    /// Nodes whose forwarded calls get it too.
    pub nodes: Vec<String>,
    /// When it was given.
    pub updated: Timestamp,
}
