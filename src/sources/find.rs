//! Which module of a checkout is meant: a project of napt's, or one that is adopted here.

use std::path::{Path, PathBuf};

use super::SourceError;
use crate::{
    adopt::{AdoptError, AdoptOptions, adopt},
    module::{MANIFEST_FILE, ManifestFile, ModuleId, Project},
    report::{Reporter, Silent},
};

/// How many folders down a project may be.
const MAX_DEPTH: usize = 3;
/// How many projects are looked at.
const MAX_PROJECTS: usize = 200;

/// A module in a checkout.
pub(super) struct Found {
    pub(super) project: Project,
    /// Whether its manifest was made here.
    pub(super) is_adopted: bool,
}

/// The module that is meant, else the only one. Folders with a `napt.toml` go before those without.
pub(super) fn find(
    root: &Path,
    source: &str,
    wanted: Option<&ModuleId>,
    reporter: &dyn Reporter,
) -> Result<Found, SourceError> {
    let mut folders = Vec::new();
    folders_of(root, 0, &mut folders)?;
    let (written, bare): (Vec<PathBuf>, Vec<PathBuf>) =
        folders.into_iter().partition(|folder| folder.join(MANIFEST_FILE).is_file());
    let mut projects = Vec::new();
    for folder in written {
        // A workspace's root may be no module itself.
        let path = folder.join(MANIFEST_FILE);
        let is_module =
            ManifestFile::parse(&fs_err::read_to_string(&path)?, &path).map_or(true, |it| it.module.is_some());
        if is_module {
            let project = Project::load(&folder)
                .map_err(|error| SourceError::Project { source_of: source.to_owned(), error: Box::new(error) });
            projects.push(project?);
        }
    }
    if !projects.is_empty() {
        let project = choose(projects, source, wanted)?;
        return Ok(Found { project, is_adopted: false });
    }
    let adopted = adopt_one(&bare, source, wanted, reporter)?;
    Ok(Found { project: adopted, is_adopted: true })
}

/// Folders that may be projects, outermost first.
fn folders_of(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    found.push(folder.to_owned());
    if depth == MAX_DEPTH {
        return Ok(());
    }
    let mut below: Vec<PathBuf> = fs_err::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")))
        .collect();
    below.sort();
    for path in below {
        if found.len() >= MAX_PROJECTS {
            break;
        }
        folders_of(&path, depth + 1, found)?;
    }
    Ok(())
}

fn choose(projects: Vec<Project>, source: &str, wanted: Option<&ModuleId>) -> Result<Project, SourceError> {
    let source_of = source.to_owned();
    let found: Vec<String> = projects.iter().map(|project| project.id().to_string()).collect();
    let is_only = projects.len() == 1;
    let mut fitting = projects.into_iter().filter(|project| wanted.is_none_or(|wanted| project.id() == wanted));
    match (fitting.next(), fitting.next(), wanted) {
        (Some(one), None, _) => Ok(one),
        (Some(_), Some(_), _) => Err(SourceError::Several { source_of, found }),
        (None, _, Some(wanted)) if is_only => {
            // `found` is the one that there is.
            let found = found.first().and_then(|id| id.parse().ok()).unwrap_or_else(|| wanted.clone());
            Err(SourceError::Other { source_of, wanted: wanted.clone(), found })
        }
        (None, _, wanted) => Err(SourceError::NoModule { source_of, wanted: wanted.cloned(), found }),
    }
}

/// A project of Naptha's: at the root, else the only one below or that of the name.
fn adopt_one(
    folders: &[PathBuf],
    source: &str,
    wanted: Option<&ModuleId>,
    reporter: &dyn Reporter,
) -> Result<Project, SourceError> {
    let source_of = || source.to_owned();
    let failed = |error| SourceError::Adopt { source_of: source_of(), error: Box::new(error) };
    let options = |folder: &Path, dry_run| AdoptOptions {
        path: folder.to_owned(),
        // What a module is registered as, it is.
        module_type: wanted.map(|wanted| wanted.module_type),
        dry_run,
        ..AdoptOptions::default()
    };
    let mut found: Vec<(PathBuf, ModuleId)> = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        match adopt(&options(folder, true), &Silent) {
            // What is below a module is part of it.
            Ok(_) if found.iter().any(|(above, _)| folder.starts_with(above)) => {}
            Ok(adopted) => found.push((folder.clone(), adopted.id)),
            Err(AdoptError::NoModule(_) | AdoptError::Persona(_) | AdoptError::Name { .. }) => {}
            Err(AdoptError::Unfit { .. }) if at > 0 => {}
            // The root's own trouble is told; a folder's below may be anything.
            Err(error) if at == 0 => return Err(failed(error)),
            Err(_) => {}
        }
    }
    let ids: Vec<String> = found.iter().map(|(_, id)| id.to_string()).collect();
    let is_only = found.len() == 1;
    let mut fitting = found.iter().filter(|(_, id)| wanted.is_none_or(|wanted| wanted == id));
    let (folder, _) = match (fitting.next(), fitting.next()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) => return Err(SourceError::Several { source_of: source_of(), found: ids }),
        (None, _) => {
            return Err(match (found.first(), wanted) {
                (Some((_, other)), Some(wanted)) if is_only => {
                    SourceError::Other { source_of: source_of(), wanted: wanted.clone(), found: other.clone() }
                }
                _ => SourceError::NoModule { source_of: source_of(), wanted: wanted.cloned(), found: ids },
            });
        }
    };
    adopt(&options(folder, false), &Quiet(reporter)).map_err(failed)?;
    Project::load(folder).map_err(|error| SourceError::Project { source_of: source_of(), error: Box::new(error) })
}

/// Passes on what is wrong; that a manifest was written into a folder that goes away is nobody's concern.
struct Quiet<'a>(&'a dyn Reporter);

impl Reporter for Quiet<'_> {
    fn step(&self, _verb: &str, _what: &str) {}
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
    fn detail(&self, message: &str) {
        self.0.detail(message);
    }
}
