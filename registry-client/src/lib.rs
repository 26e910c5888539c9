//! The wire types of a napt module registry and its async HTTP client. Nothing here knows napt itself, so that any
//! Rust program can read an index, fetch a module or publish one.
//!
//! The client retries what may be retried, follows no redirect with credentials, and bounds the time and the memory
//! that a broken or hostile server can take.

mod client;
mod error;
mod retry;
mod transfer;
mod types;

pub use client::{IndexAnswer, RegistryClient, account_challenge_text, node_owner_text};
pub use error::ClientError;
pub use retry::{Policy, retry_after};
pub use types::{
    Challenge, IndexConfig, IndexDep, IndexEntry, Me, ModuleDetails, ModuleSource, ModuleSummary, ModuleVersion,
    NewToken, NodeAnnounced, NodeAnnouncement, NodeList, NodeRecord, Page, PasswordAccount, PasswordRequest, Problem,
    PublishStatus, Published, SignUp, SignedUp, TokenInfo, TokenRequest, Verb, YankRequest,
};
/// The version of the index's lines that this crate reads and writes.
pub const INDEX_FORMAT: u32 = 1;
