//! Where a project keeps its module: the package folder, or a persona's file.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::AdoptError;
use crate::{
    config::{DEPLOYMENT_FILE, read_persona},
    module::{ModuleName, NativeManifest, Runtime},
};

/// A module as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: ModuleName,
    pub(super) name_from: String,
    pub(super) runtime: Runtime,
    /// The folder of code and configuration.
    pub(super) package: PathBuf,
    /// The same as the user knows it: relative to the project, with `/` at its end; nothing for the project's own.
    pub(super) shown: String,
    pub(super) entrypoint: String,
    pub(super) entrypoint_from: String,
    /// What a persona says of itself.
    pub(super) description: Option<String>,
}

/// The native manifest as a table; empty when there is none.
pub(super) fn pyproject(root: &Path) -> Result<Table, AdoptError> {
    match fs_err::read_to_string(root.join("pyproject.toml")) {
        // What is not TOML was told by whoever read it as a native manifest.
        Ok(text) => Ok(text.parse().unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(error.into()),
    }
}

/// Finds the module of a project.
pub(super) fn find(root: &Path, native: &NativeManifest) -> Result<Found, AdoptError> {
    let table = pyproject(root)?;
    let listed = listed_packages(&table);
    let mut folders = Vec::new();
    for base in ["", "src"] {
        folders.extend(modules_in(&root.join(base), base)?);
    }
    if folders.is_empty() {
        if let Some((package, folder)) = listed.iter().find(|(_, folder)| !matches!(folder.as_str(), "" | "." | "src"))
        {
            return Err(AdoptError::Elsewhere { package: package.clone(), folder: folder.clone() });
        }
        return persona(root, native);
    }
    let named = native.name.as_ref().map(|name| name.replace(['-', '.'], "_").to_lowercase());
    let is_listed = |folder: &&(String, String)| listed.iter().any(|(package, _)| *package == folder.1);
    let is_named = |folder: &&(String, String)| named.as_ref() == Some(&folder.1);
    let (base, name) = match folders.as_slice() {
        [only] => only,
        several => {
            let candidates: Vec<_> = several.iter().filter(is_listed).collect();
            let one = match candidates.as_slice() {
                [one] => Some(*one),
                _ => several.iter().find(is_named),
            };
            one.ok_or_else(|| AdoptError::Several {
                root: root.to_owned(),
                folders: several.iter().map(shown).collect(),
            })?
        }
    };
    let package = root.join(base).join(name);
    let shown = shown(&(base.clone(), name.clone()));
    let (entrypoint, entrypoint_from) = entrypoint(&package)?;
    Ok(Found {
        name: name.parse().map_err(|error| AdoptError::Name { folder: shown.clone(), error })?,
        name_from: format!("the folder `{shown}`"),
        runtime: Runtime::Python,
        package,
        shown: format!("{shown}/"),
        entrypoint,
        entrypoint_from,
        description: None,
    })
}

fn shown((base, name): &(String, String)) -> String {
    if base.is_empty() { name.clone() } else { format!("{base}/{name}") }
}

/// The folders in `folder` that look like a module, sorted.
fn modules_in(folder: &Path, base: &str) -> Result<Vec<(String, String)>, AdoptError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_module = path.join("run.py").is_file() || path.join("configs").join(DEPLOYMENT_FILE).is_file();
        if let (true, Ok(name)) = (is_module && path.is_dir(), entry.file_name().into_string()) {
            // A project whose files stand in `src` itself has no package.
            let is_hidden = name.starts_with('.');
            if !is_hidden && (!base.is_empty() || name != "src") {
                found.push((base.to_owned(), name));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What `pyproject.toml` lists as packages, each with the folder that it is in.
fn listed_packages(table: &Table) -> Vec<(String, String)> {
    let tool = |name: &str| table.get("tool").and_then(|tools| tools.get(name));
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let poetry = list(tool("poetry").and_then(|poetry| poetry.get("packages")));
    let setuptools = list(tool("setuptools").and_then(|setuptools| setuptools.get("packages")));
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_poetry = poetry.iter().map(|package| (text(package, "include"), text(package, "from")));
    let of_setuptools = setuptools.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), String::new()));
    of_poetry.chain(of_setuptools).filter(|(name, _)| !name.is_empty()).collect()
}

/// The file that nodes call: `run.py`, else the first with a function of its own name.
fn entrypoint(package: &Path) -> Result<(String, String), AdoptError> {
    let default = || ("run.py".to_owned(), "what nodes expect".to_owned());
    if package.join("run.py").is_file() {
        return Ok(default());
    }
    let mut names: Vec<String> = fs_err::read_dir(package)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".py"))
        .collect();
    names.sort();
    for name in names {
        let function = name.trim_end_matches(".py");
        let text = fs_err::read_to_string(package.join(&name)).unwrap_or_default();
        let is_defined = text.lines().any(|line| {
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("def ")
                .and_then(|rest| rest.strip_prefix(function))
                .is_some_and(|rest| rest.starts_with('('))
        });
        if is_defined {
            let reason = format!("it defines `{function}`");
            return Ok((name, reason));
        }
    }
    Ok(default())
}

/// A project that is data: the only file that can be a persona, or the one named so.
fn persona(root: &Path, native: &NativeManifest) -> Result<Found, AdoptError> {
    let mut files: Vec<String> = fs_err::read_dir(root)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| [".json", ".yaml", ".yml"].iter().any(|suffix| name.ends_with(suffix)))
        .filter(|name| !name.starts_with('.'))
        .collect();
    files.sort();
    let folder = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (text, name_from) = match &native.name {
        Some(name) => (name.as_str(), "`pyproject.toml`"),
        None => (folder, "the project's folder"),
    };
    let text = text.to_lowercase().replace(['-', '.'], "_");
    let is_named = |file: &&String| {
        let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
        stem == "persona" || stem.replace('-', "_") == text
    };
    let file = match files.as_slice() {
        [only] => only,
        several => several.iter().find(is_named).ok_or_else(|| AdoptError::NoModule(root.to_owned()))?,
    };
    let persona = read_persona(root, file)?;
    Ok(Found {
        name: text.parse().map_err(|error| AdoptError::Name { folder: folder.to_owned(), error })?,
        name_from: name_from.to_owned(),
        runtime: Runtime::Data,
        package: root.to_owned(),
        shown: String::new(),
        entrypoint: file.clone(),
        entrypoint_from: "what an agent is told".to_owned(),
        description: persona
            .get("description")
            .and_then(|text| text.as_str())
            .and_then(|text| text.lines().next())
            .map(str::to_owned),
    })
}
