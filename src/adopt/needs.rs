//! What a project needs: the modules that its configuration names, and the SDK.

use std::path::Path;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{AdoptError, Finding, find::Found};
use crate::{
    config::{DEPLOYMENT_FILE, Deployment, ModuleConfigs, SUB_DEPLOYMENTS},
    module::{GitSource, ModuleId, ModuleType, Project, PythonNeedsError, python_needs},
    report::Reporter,
};

/// A module that it calls.
#[derive(Debug)]
pub(super) struct Need {
    id: ModuleId,
    /// As TOML.
    value: String,
    pub(super) reason: String,
}

impl Need {
    /// The line of `[dependencies]`.
    pub(super) fn line(&self) -> String {
        format!("\"{}\" = {}", self.id, self.value)
    }

    pub(super) fn into_finding(self) -> Finding {
        Finding { key: self.id.to_string(), value: self.value, reason: self.reason }
    }
}

/// The modules that the configuration names, in the order of the files. What cannot be read is told and left out.
pub(super) fn needs(root: &Path, own: &ModuleId, found: &Found, reporter: &dyn Reporter) -> Vec<Need> {
    let configs = match ModuleConfigs::read(&found.package.join("configs")) {
        Ok(configs) => configs,
        Err(error) => {
            reporter.warn(&format!("{error}; the modules that it names are not among the dependencies"));
            return Vec::new();
        }
    };
    let mut named: Vec<Named<'_>> = Vec::new();
    for deployment in &configs.deployments {
        collect(deployment, None, DEPLOYMENT_FILE, &mut named);
    }
    for ((module_type, _, file), deployments) in SUB_DEPLOYMENTS.into_iter().zip(&configs.subs) {
        for deployment in deployments {
            collect(deployment, Some(module_type), file, &mut named);
        }
    }
    let mut needs: Vec<Need> = Vec::new();
    for Named { id, file, place } in named {
        if id == *own || needs.iter().any(|need| need.id == id) {
            continue;
        }
        let file = format!("`{}configs/{file}`", found.shown);
        let beside = root.parent().map(|parent| parent.join(id.name.as_str()));
        let sibling = beside.and_then(|folder| Project::load(&folder).ok()).filter(|project| *project.id() == id);
        let (value, reason) = match (sibling, place) {
            (None, Some(place)) => (in_git(&place), file),
            (Some(project), _) => {
                let version = &project.manifest.version;
                (format!("{{ path = \"../{}\", version = \"^{version}\" }}", id.name), file)
            }
            (None, None) => ("\"*\"".to_owned(), format!("{file}; write which versions work")),
        };
        needs.push(Need { id, value, reason });
    }
    needs
}

/// A module that a file names.
struct Named<'a> {
    id: ModuleId,
    file: &'a str,
    /// Where in git the file says that it is.
    place: Option<GitSource>,
}

/// A place in git as a value of `[dependencies]`.
fn in_git(place: &GitSource) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let reference = place.reference.key().zip(place.reference.name());
    let reference = reference.map(|(key, name)| format!(", {key} = {}", text(name))).unwrap_or_default();
    format!("{{ git = {}{reference} }}", text(place.url()))
}

/// The modules of a deployment and all in it. `module_type` is that of its list; the project's own has none.
fn collect<'a>(deployment: &Deployment, module_type: Option<ModuleType>, file: &'a str, found: &mut Vec<Named<'a>>) {
    let mut add = |module_type, name: Option<&str>, url: Option<&Json>, version: Option<&Json>| {
        let bare = name.map(|name| name.split_once(':').map_or(name, |(_, bare)| bare));
        if let Some(name) = bare.and_then(|bare| bare.parse().ok()) {
            let url = url.and_then(Json::as_str).filter(|url| !url.is_empty());
            // What is no place in git is looked up by name.
            let place = url.and_then(|url| GitSource::of_naptha(url, version.and_then(Json::as_str)).ok());
            found.push(Named { id: ModuleId { module_type, name }, file, place });
        }
    };
    if let (Some(module_type), Some(module)) = (module_type, &deployment.module) {
        let of = |key: &str| module.extra.get(key);
        add(module_type, module.name.as_deref(), of("module_url"), of("module_version"));
    }
    let persona = deployment.config.as_ref().and_then(|config| config.persona_module.as_ref());
    let of = |key: &str| persona.and_then(|entry| entry.get(key));
    add(ModuleType::Persona, of("name").and_then(Json::as_str), of("module_url"), of("module_version"));
    for (module_type, _, _) in SUB_DEPLOYMENTS {
        for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
            collect(element, Some(module_type), file, found);
        }
    }
}

/// Why the manifest should say which SDK, when `pyproject.toml` does not.
pub(super) fn sdk_without_version(root: &Path) -> Result<Option<String>, AdoptError> {
    let table = super::find::pyproject(root)?;
    let is_sdk = |name: &str| name.trim().to_lowercase().replace('_', "-") == "naptha-sdk";
    let listed = table.get("project").and_then(|project| project.get("dependencies")).and_then(Value::as_array);
    let from_git = listed.into_iter().flatten().filter_map(Value::as_str).any(|text| {
        text.split_once('@').is_some_and(|(name, url)| is_sdk(name) && url.trim_start().starts_with("git+"))
    });
    let poetry = |table: &Table| -> Option<bool> {
        let dependencies = table.get("tool")?.get("poetry")?.get("dependencies")?.as_table()?;
        let (_, value) = dependencies.iter().find(|(name, _)| is_sdk(name))?;
        Some(value.get("git").is_some() && value.get("tag").is_none())
    };
    let is_open = from_git || (listed.is_none() && poetry(&table).unwrap_or_default());
    Ok(is_open.then(|| "`pyproject.toml` takes naptha-sdk from git; nodes install this version of it".to_owned()))
}

/// Why nodes cannot install what it needs of Python, if so.
pub(super) fn python_problem(root: &Path) -> Result<Option<String>, AdoptError> {
    match python_needs(root, None) {
        Ok(_) => Ok(None),
        Err(PythonNeedsError::Io(error)) => Err(error.into()),
        Err(error) => Ok(Some(error.to_string())),
    }
}
