//! A commit's files in a folder: read from the repository's objects, so that nothing of it is run, no filter, no hook.

use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use super::SourceError;
use crate::{files, package::Limits, report::Reporter};

/// Folders in folders.
const MAX_DEPTH: usize = 32;
/// How a file begins whose content Git LFS keeps elsewhere.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Modes of entries of a tree.
const EXECUTABLE: i32 = 0o100_755;
const LINK: i32 = 0o120_000;

/// Writes the files of a commit into a folder that is empty.
pub(super) fn checkout(
    repository: &Path,
    url: &str,
    commit: &str,
    into: &Path,
    reporter: &dyn Reporter,
) -> Result<(), SourceError> {
    let unreadable =
        |reason: &dyn std::fmt::Display| SourceError::Unreadable { url: url.to_owned(), reason: reason.to_string() };
    let git = |error: git2::Error| unreadable(&error.message());
    let repository = git2::Repository::open_bare(repository).map_err(git)?;
    let tree = repository.find_commit(Oid::from_str(commit).map_err(git)?).and_then(|commit| commit.tree());
    let limits = Limits::default();
    let (mut bytes, mut count) = (0, 0);
    let mut left_out = Vec::new();
    let mut open: Vec<(Oid, PathBuf, usize)> = vec![(tree.map_err(git)?.id(), PathBuf::new(), 0)];
    while let Some((tree, folder, depth)) = open.pop() {
        let tree = repository.find_tree(tree).map_err(git)?;
        for entry in &tree {
            let name = entry.name().map_err(|_| unreadable(&"a file's name is not UTF-8"))?;
            // Git writes none of these; whoever makes objects by hand may.
            if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
                return Err(unreadable(&format!("`{}` is not the name of a file", name.escape_debug())));
            }
            if name.eq_ignore_ascii_case(".git") {
                continue;
            }
            let path = folder.join(name);
            count += 1;
            if count > limits.files {
                return Err(SourceError::TooMany { url: url.to_owned(), limit: limits.files });
            }
            match (entry.kind(), entry.filemode()) {
                (Some(ObjectType::Tree), _) if depth < MAX_DEPTH => {
                    fs_err::create_dir(into.join(&path))?;
                    open.push((entry.id(), path, depth + 1));
                }
                (Some(ObjectType::Tree), _) => return Err(unreadable(&"its folders are too deep")),
                (Some(ObjectType::Blob), mode) if mode != LINK => {
                    // The header first: what is too large is never in memory.
                    let (size, _) = repository.odb().and_then(|odb| odb.read_header(entry.id())).map_err(git)?;
                    bytes += size as u64;
                    if bytes > limits.unpacked {
                        let what = "what a commit";
                        return Err(SourceError::TooLarge { url: url.to_owned(), what, limit: limits.unpacked });
                    }
                    let blob = repository.find_blob(entry.id()).map_err(git)?;
                    if blob.content().starts_with(LFS) {
                        reporter.warn(&format!(
                            "`{}` is kept by Git LFS, which napt does not ask: the module gets the reference alone",
                            path.display()
                        ));
                    }
                    fs_err::write(into.join(&path), blob.content())?;
                    if mode == EXECUTABLE {
                        files::make_executable(&into.join(&path))?;
                    }
                }
                _ => left_out.push(format!("`{}`", path.display())),
            }
        }
    }
    if !left_out.is_empty() {
        left_out.sort();
        reporter.warn(&format!("links and submodules are left out: {}", left_out.join(", ")));
    }
    Ok(())
}
