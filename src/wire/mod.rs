//! What crosses the network between nodes, modules and clients. `naptha` has the shapes of Naptha's protocols,
//! `api` those of napt's own `/v1`, `envelope` what nodes say to each other.

mod api;
mod envelope;
mod naptha;

pub use api::{
    DeployEvent, DeployRequest, DeploymentStatus, DeploymentView, EventPayload, ModulePin, NewSecret, NewToken,
    NodeInfo, Part, Problem, RevisionStatus, RollbackRequest, RunEvent, RunRequest, RunStatus, RunView, SecretView,
    TokenView,
};
pub use envelope::{Envelope, EnvelopeError, SignedEnvelope};
pub use naptha::{NodeConfig, NodeServer, RunInput, RunRecord, SecretRow, UserReply, naptha_time};
