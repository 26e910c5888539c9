//! The ways to show findings. Paths are relative to a base folder, with `/` on every platform.

mod github;
mod human;
mod json;

use std::path::Path;

pub use github::github;
pub use human::human;
pub use json::json;

/// A file's path as it is shown.
fn shown(path: &Path, base: &Path) -> String {
    let path = path.strip_prefix(base).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
