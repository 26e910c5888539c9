//! What a new project has to do with git.

use std::path::Path;

use git2::{Config, ErrorCode, Repository, RepositoryInitOptions};

/// `Name <mail>` as git is configured, or nothing.
pub(super) fn author() -> String {
    let Ok(config) = Config::open_default() else { return String::new() };
    match (config.get_string("user.name"), config.get_string("user.email")) {
        (Ok(name), Ok(mail)) => format!("{name} <{mail}>"),
        (Ok(name), Err(_)) => name,
        (Err(_), _) => String::new(),
    }
}

/// Whether the folder `path`, which does not exist yet, would be kept in a repository around it.
pub(super) fn is_kept_above(path: &Path) -> bool {
    let Some(parent) = path.parent() else { return false };
    match Repository::discover(parent) {
        // With a slash at its end, it is a folder to git although it does not exist.
        Ok(repository) => !repository.is_path_ignored(path.join("")).unwrap_or(false),
        // Somebody else's repository is one nevertheless.
        Err(error) => error.code() != ErrorCode::NotFound,
    }
}

/// Makes `root` a repository, without a commit.
pub(super) fn init(root: &Path) -> Result<(), git2::Error> {
    let branch = Config::open_default().and_then(|config| config.get_string("init.defaultBranch"));
    let mut options = RepositoryInitOptions::new();
    options.no_reinit(true).external_template(false).initial_head(branch.as_deref().unwrap_or("main"));
    Repository::init_opts(root, &options).map(drop)
}
