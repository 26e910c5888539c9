//! `--fix`: makes the changes that rules are certain of, checks again, and takes back what made it worse.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use git2::{ErrorCode, Repository, StatusOptions};
use serde::Serialize;

use super::{CheckError, Diagnostic, Edit, Options, Report, SourceFile, check};
use crate::files;

/// One change may uncover the next. Far more than any file needs, so that it ends whatever rules do.
const MAX_PASSES: usize = 16;

/// What was changed, and what is left to say.
#[derive(Debug)]
pub struct Fixed {
    /// What was mended, in order.
    pub mended: Vec<Mended>,
    /// The check of what is there now.
    pub report: Report,
}

/// A finding that is no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mended {
    /// The file that was changed, relative to the checked folder.
    pub file: String,
    /// The rule.
    pub rule: &'static str,
    /// What was wrong.
    pub message: String,
}

/// Checks, and mends what can be mended for certain; nothing while git does not have all files as they are, unless
/// `allow_dirty`.
pub fn fix(path: &Path, options: &Options, allow_dirty: bool) -> Result<Fixed, CheckError> {
    let mut fixed = Fixed { mended: Vec::new(), report: check(path, options)? };
    let mut refused = BTreeSet::new();
    for pass in 0..MAX_PASSES {
        let batch = compatible(&fixed.report, &refused);
        if batch.is_empty() {
            break;
        }
        if pass == 0 && !allow_dirty {
            is_committed(&fixed.report.root)?;
        }
        // When all together make it worse, one alone may not.
        let alone = batch.iter().filter(|_| batch.len() > 1).map(|diagnostic| vec![*diagnostic]);
        let mut done = None;
        for batch in std::iter::once(batch.clone()).chain(alone) {
            match (attempt(path, options, &fixed.report, &batch)?, batch.as_slice()) {
                (Some(after), _) => {
                    let root = &fixed.report.root;
                    let mended: Vec<Mended> = batch.iter().map(|diagnostic| Mended::of(diagnostic, root)).collect();
                    done = Some((mended, after));
                    break;
                }
                (None, [diagnostic]) => {
                    refused.insert(key(diagnostic));
                }
                (None, _) => {}
            }
        }
        if let Some((mended, after)) = done {
            fixed.mended.extend(mended);
            fixed.report = after;
        }
    }
    Ok(fixed)
}

impl Mended {
    fn of(diagnostic: &Diagnostic, root: &Path) -> Self {
        let changed = diagnostic.fix.first().map_or(&diagnostic.place.file, |edit| &edit.file);
        Mended {
            file: super::render::shown(&changed.path, root),
            rule: diagnostic.rule,
            message: diagnostic.message.clone(),
        }
    }
}

type Key = (&'static str, PathBuf, String);

/// A finding, across checks between which its place may move.
fn key(diagnostic: &Diagnostic) -> Key {
    (diagnostic.rule, diagnostic.place.file.path.clone(), diagnostic.message.clone())
}

/// The findings whose changes do not get in each other's way.
fn compatible<'a>(report: &'a Report, refused: &BTreeSet<Key>) -> Vec<&'a Diagnostic> {
    let mut taken: Vec<&Edit> = Vec::new();
    let mut chosen = Vec::new();
    for diagnostic in report.diagnostics.iter().filter(|diagnostic| !diagnostic.fix.is_empty()) {
        let is_possible =
            diagnostic.fix.iter().all(|edit| is_ours(&edit.file, &report.root) && taken.iter().all(|t| !meet(t, edit)));
        if is_possible && !refused.contains(&key(diagnostic)) {
            taken.extend(&diagnostic.fix);
            chosen.push(diagnostic);
        }
    }
    chosen
}

/// Whether a file may be changed. In a text that is not UTF-8 places are not those of the file; and what a link leads to
/// elsewhere is not the project's.
fn is_ours(file: &SourceFile, root: &Path) -> bool {
    file.is_utf8() && fs_err::canonicalize(&file.path).is_ok_and(|path| path.starts_with(root))
}

/// Whether two changes touch the same bytes, or insert at the same place.
fn meet(a: &Edit, b: &Edit) -> bool {
    a.file.path == b.file.path && (a.span == b.span || (a.span.start < b.span.end && b.span.start < a.span.end))
}

/// Makes the changes, and the check of what they lead to. With more errors than before everything is as it was, and
/// there is no report.
fn attempt(
    path: &Path,
    options: &Options,
    before: &Report,
    batch: &[&Diagnostic],
) -> Result<Option<Report>, CheckError> {
    let mut files: BTreeMap<&Path, (&Arc<SourceFile>, Vec<&Edit>)> = BTreeMap::new();
    for edit in batch.iter().flat_map(|diagnostic| &diagnostic.fix) {
        files.entry(&edit.file.path).or_insert((&edit.file, Vec::new())).1.push(edit);
    }
    let mut changed = Vec::new();
    let mut change = || {
        for (path, (file, edits)) in &mut files {
            edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
            let mut text = file.text.clone();
            for edit in edits.iter().rev() {
                text.replace_range(edit.span.clone(), &edit.text);
            }
            files::write(path, text.as_bytes())?;
            changed.push(*file);
        }
        check(path, options)
    };
    let after = change();
    if after.as_ref().is_ok_and(|after| after.errors() <= before.errors()) {
        return after.map(Some);
    }
    for file in changed {
        files::write(&file.path, file.text.as_bytes())?;
    }
    after.map(|_| None)
}

/// Whether git has everything below `root` as it is.
fn is_committed(root: &Path) -> Result<(), CheckError> {
    let repository = match Repository::discover(root) {
        Ok(repository) => repository,
        Err(error) if error.code() == ErrorCode::NotFound => return Err(CheckError::NoRepository(root.to_owned())),
        Err(error) => return Err(error.into()),
    };
    let mut options = StatusOptions::new();
    options.include_untracked(true).include_ignored(false).exclude_submodules(true);
    let below = repository.workdir().and_then(|folder| fs_err::canonicalize(folder).ok());
    if let Some(below) = below.and_then(|folder| root.strip_prefix(folder).ok().map(Path::to_owned))
        && !below.as_os_str().is_empty()
    {
        options.pathspec(below).disable_pathspec_match(true);
    }
    let statuses = repository.statuses(Some(&mut options))?;
    let mut changed: Vec<String> =
        statuses.iter().filter_map(|entry| entry.path().ok().map(|path| format!("`{path}`"))).collect();
    match changed.len() {
        0 => return Ok(()),
        count if count > 5 => {
            changed.truncate(4);
            changed.push(format!("and {} more", count - 4));
        }
        _ => {}
    }
    Err(CheckError::Dirty(changed))
}
