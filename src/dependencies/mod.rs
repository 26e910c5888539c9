//! Verb: what a workspace's modules need: adding and removing it, bringing it up to date, fetching it, showing it.

mod edit;
mod error;
mod tree;
mod update;

pub use edit::{Added, NewEntry, add, remove};
pub use error::DependencyError;
pub use tree::{Tree, TreeNode, TreeOptions, tree};
pub use update::{Change, UpdateOptions, Updated, fetch, is_outdated, update};
