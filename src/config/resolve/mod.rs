//! Deployment resolution: a given deployment over the module's own files, as Naptha's node does it, with the repairs
//! that its users need: absent and empty lists of sub-deployments are filled from the defaults, more nodes than
//! defaults repeat the last one, unknown keys survive, and a wrong name is an error that lists the names.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    DEPLOYMENT_FILE, Deployment, LLM_CONFIGS_FILE, LlmConfig, ModuleEntry, NodeEntry, SUB_DEPLOYMENTS, merge,
    types::MAX_DEPTH,
};
use crate::{
    module::{ModuleId, ModuleType},
    report::{Fault, Kind, did_you_mean_or},
};

/// Most sub-deployments of one deployment, at all depths together: modules whose lists name others whose lists name
/// others multiply quickly.
const MAX_DEPLOYMENTS: usize = 10_000;

/// Why a deployment cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file is not JSON of the right shape.
    #[error("`{}` is not a list of configurations: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        error: serde_json::Error,
    },
    /// A name that no file has.
    #[error("`{module}` has no {what} `{given}`")]
    UnknownName {
        /// Whose files were searched.
        module: String,
        /// What was looked for.
        what: &'static str,
        /// The name.
        given: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A module that is not part of the deployment.
    #[error("`{0}` is not part of this deployment")]
    UnknownModule(String),
    /// A persona that is not part of the deployment.
    #[error("`{module}` has the persona `{persona}`, which is not part of this deployment")]
    UnknownPersona {
        /// Whose configuration names it.
        module: ModuleId,
        /// What it names.
        persona: String,
    },
    /// A `persona_module` without a name.
    #[error("`persona_module` of `{0}` does not name a persona")]
    NoPersona(ModuleId),
    /// A sub-deployment that says neither in its own file nor in the request which module it is of.
    #[error("element {index} of `{list}` does not say which module it is of")]
    NoModule {
        /// The list's key.
        list: &'static str,
        /// Its place, from 0.
        index: usize,
    },
    /// A sub-deployment of a module that cannot stand in its list.
    #[error("element {index} of `{list}` is of `{given}`, which is not of the type `{expected}`")]
    WrongType {
        /// The list's key.
        list: &'static str,
        /// Its place, from 0.
        index: usize,
        /// The module that it names.
        given: String,
        /// The type that the list is of.
        expected: ModuleType,
    },
    /// Modules that call modules that call modules, and so on.
    #[error("the modules of `{0}` call each other more than {MAX_DEPTH} deep")]
    TooDeep(String),
    /// Lists within lists that multiply beyond what anyone means.
    #[error("the deployment of `{0}` has more than {MAX_DEPLOYMENTS} sub-deployments")]
    TooMany(String),
    /// A merged value has the wrong shape.
    #[error("the merged deployment is not valid: {0}")]
    Shape(serde_json::Error),
    /// Modules that list each other.
    #[error("`{0}` is deployed inside of itself")]
    Cycle(String),
}

impl Fault for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            ConfigError::Io(_) => Kind::Failed,
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::UnknownName { given, known, .. } if !known.is_empty() => {
                let all = || format!("the names are {}", known.join(", "));
                Some(did_you_mean_or(given, known.iter().map(String::as_str), all))
            }
            ConfigError::UnknownPersona { module, persona } => {
                let id = if persona.contains(':') { persona.clone() } else { format!("persona:{persona}") };
                Some(format!("add `\"{id}\" = \"*\"` to `[dependencies]` of `{module}` and deploy again"))
            }
            ConfigError::NoPersona(_) => Some("write `\"persona_module\": {\"name\": \"…\"}`".to_owned()),
            ConfigError::UnknownModule(_) => Some("add it to `[dependencies]` of the module that calls it".to_owned()),
            ConfigError::NoModule { .. } => Some("add `\"module\": {\"name\": \"…\"}` to it".to_owned()),
            ConfigError::WrongType { .. } => Some("each type has a list of its own: move it there".to_owned()),
            ConfigError::TooDeep(_) | ConfigError::TooMany(_) => {
                Some("look for modules whose sub-deployments have sub-deployments again".to_owned())
            }
            ConfigError::Cycle(_) => Some("take it out of the sub-deployments of the modules that it calls".to_owned()),
            ConfigError::Syntax { .. } => Some("`napt check` shows every problem with its place".to_owned()),
            ConfigError::Shape(_) => Some("`napt schema deployments` has the keys and what they hold".to_owned()),
            ConfigError::Io(_) | ConfigError::UnknownName { .. } => None,
        }
    }
}

/// A module's configuration files, read once.
#[derive(Debug, Clone, Default)]
pub struct ModuleConfigs {
    /// `deployment.json`.
    pub deployments: Vec<Deployment>,
    /// `llm_configs.json`.
    pub llm_configs: Vec<LlmConfig>,
    /// `{agent,tool,…}_deployments.json`, in the order of [`SUB_DEPLOYMENTS`].
    pub subs: [Vec<Deployment>; 5],
}

impl ModuleConfigs {
    /// Reads the files in a `configs` folder; those that are absent are empty.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let mut subs: [Vec<Deployment>; 5] = Default::default();
        for (list, (_, _, file)) in subs.iter_mut().zip(SUB_DEPLOYMENTS) {
            *list = read_list(&folder.join(file))?;
        }
        Ok(ModuleConfigs {
            deployments: read_list(&folder.join(DEPLOYMENT_FILE))?,
            llm_configs: read_list(&folder.join(LLM_CONFIGS_FILE))?,
            subs,
        })
    }
}

fn read_list<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, ConfigError> {
    match fs_err::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| ConfigError::Syntax { path: path.to_owned(), error }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Where the configurations of a deployment's modules are found.
pub trait Catalog {
    /// The files of one module; `None` when it is not part of the deployment.
    fn configs(&self, id: &ModuleId) -> Option<&ModuleConfigs>;

    /// What a persona says; `None` when it is not part of the deployment.
    fn persona(&self, id: &ModuleId) -> Option<&Map<String, Value>>;
}

/// Resolves `given` for the module `id`: merged configuration, module entries, and sub-deployments all the way down.
pub fn resolve(id: &ModuleId, given: &Deployment, catalog: &dyn Catalog) -> Result<Deployment, ConfigError> {
    resolve_inside(id, given, &mut Walk { catalog, above: Vec::new(), resolved: 0 })
}

/// Where in a deployment the resolution is.
struct Walk<'a> {
    catalog: &'a dyn Catalog,
    /// The modules that this one is deployed inside of.
    above: Vec<ModuleId>,
    /// How many deployments have been resolved.
    resolved: usize,
}

fn resolve_inside(id: &ModuleId, given: &Deployment, walk: &mut Walk<'_>) -> Result<Deployment, ConfigError> {
    if walk.above.contains(id) {
        return Err(ConfigError::Cycle(id.to_string()));
    }
    let root = walk.above.first().unwrap_or(id);
    if walk.above.len() > MAX_DEPTH {
        return Err(ConfigError::TooDeep(root.to_string()));
    }
    if walk.resolved > MAX_DEPLOYMENTS {
        return Err(ConfigError::TooMany(root.to_string()));
    }
    walk.resolved += 1;
    let configs = walk.catalog.configs(id).ok_or_else(|| ConfigError::UnknownModule(id.to_string()))?;
    let default = default_entry(given, configs);
    let mut merged = merged(given, &default)?;
    merged.module = Some(module_entry(id, merged.module.take()));
    merged.name = given.name.clone().or(default.name.clone());
    merged.node.get_or_insert_with(|| NodeEntry { ip: Some("localhost".to_owned()), ..NodeEntry::default() });
    merged.initialized = Some(true);
    if let Some(config) = &mut merged.config {
        if let Some(llm) = config.llm_config.take() {
            config.llm_config = Some(resolve_llm(id, llm, configs)?);
        }
        if let Some(entry) = &config.persona_module {
            let persona = resolve_persona(id, entry, walk.catalog)?;
            let prompt = config.system_prompt.get_or_insert_default();
            prompt.insert("persona".to_owned(), Value::Object(persona));
        }
    }
    walk.above.push(id.clone());
    for ((module_type, list, _), described) in SUB_DEPLOYMENTS.into_iter().zip(&configs.subs) {
        let given_list = given.subs(module_type).and_then(Option::as_deref).unwrap_or_default();
        let default_list = default.subs(module_type).and_then(Option::as_deref).unwrap_or_default();
        let sources = List { of: id, module_type, key: list, given: given_list, defaults: default_list, described };
        let resolved = resolve_list(&sources, walk)?;
        if let Some(slot) = merged.subs_mut(module_type) {
            *slot = Some(resolved);
        }
    }
    walk.above.pop();
    Ok(merged)
}

/// The entry of `deployment.json` that `given` names, else the first: a sub-deployment is named after its caller's
/// file, and Naptha's clients put the module's name there.
fn default_entry(given: &Deployment, configs: &ModuleConfigs) -> Deployment {
    let named = configs.deployments.iter().find(|entry| entry.name.is_some() && entry.name == given.name);
    named.or(configs.deployments.first()).cloned().unwrap_or_default()
}

fn merged(given: &Deployment, default: &Deployment) -> Result<Deployment, ConfigError> {
    // By one name, so that what is given goes over the default whatever either is called.
    let mut given = given.with_new_storage_names();
    given.keep_names_of(default);
    let given = serde_json::to_value(given).map_err(ConfigError::Shape)?;
    let default = serde_json::to_value(default.with_new_storage_names()).map_err(ConfigError::Shape)?;
    serde_json::from_value(merge(&given, &default)).map_err(ConfigError::Shape)
}

fn module_entry(id: &ModuleId, entry: Option<ModuleEntry>) -> ModuleEntry {
    let mut entry = entry.unwrap_or_default();
    entry.name = Some(id.name.to_string());
    entry.extra.insert("id".to_owned(), Value::String(id.to_string()));
    entry.extra.insert("module_type".to_owned(), Value::String(id.module_type.to_string()));
    entry
}

fn resolve_llm(id: &ModuleId, given: LlmConfig, configs: &ModuleConfigs) -> Result<LlmConfig, ConfigError> {
    let Some(name) = &given.config_name else { return Ok(given) };
    let Some(found) = configs.llm_configs.iter().find(|entry| entry.config_name.as_ref() == Some(name)) else {
        // A complete one that was merged before needs no file.
        if given.model.is_some() {
            return Ok(given);
        }
        return Err(ConfigError::UnknownName {
            module: id.to_string(),
            what: "LLM configuration",
            given: name.clone(),
            known: configs.llm_configs.iter().filter_map(|entry| entry.config_name.clone()).collect(),
        });
    };
    let given = serde_json::to_value(&given).map_err(ConfigError::Shape)?;
    let found = serde_json::to_value(found).map_err(ConfigError::Shape)?;
    serde_json::from_value(merge(&given, &found)).map_err(ConfigError::Shape)
}

/// What the persona of `persona_module` says.
fn resolve_persona(
    id: &ModuleId,
    entry: &Map<String, Value>,
    catalog: &dyn Catalog,
) -> Result<Map<String, Value>, ConfigError> {
    let name = entry.get("name").and_then(Value::as_str).ok_or_else(|| ConfigError::NoPersona(id.clone()))?;
    let persona = match name.split_once(':') {
        Some((module_type, bare)) => (module_type == ModuleType::Persona.as_str()).then_some(bare),
        None => Some(name),
    };
    let persona = persona.and_then(|bare| bare.parse().ok());
    persona
        .and_then(|name| catalog.persona(&ModuleId { module_type: ModuleType::Persona, name }))
        .cloned()
        .ok_or_else(|| ConfigError::UnknownPersona { module: id.clone(), persona: name.to_owned() })
}

/// One list of sub-deployments and where its elements come from.
struct List<'a> {
    /// The module that lists them.
    of: &'a ModuleId,
    module_type: ModuleType,
    key: &'static str,
    /// What the caller gives.
    given: &'a [Deployment],
    /// The same list of the module's `deployment.json`.
    defaults: &'a [Deployment],
    /// The module's file that describes deployments of this type.
    described: &'a [Deployment],
}

fn resolve_list(list: &List<'_>, walk: &mut Walk<'_>) -> Result<Vec<Deployment>, ConfigError> {
    let count = if list.given.is_empty() { list.defaults.len() } else { list.given.len() };
    (0..count)
        .map(|index| {
            let (id, element) = list.element(index)?;
            resolve_inside(&id, &element, walk)
        })
        .collect()
}

impl List<'_> {
    /// An element and the module that it is of: what is given over the default over its description.
    fn element(&self, index: usize) -> Result<(ModuleId, Deployment), ConfigError> {
        let given = self.given.get(index).cloned().unwrap_or_default();
        // More elements than defaults repeat the last default.
        let default = self.defaults.get(index).or(self.defaults.last()).cloned().unwrap_or_default();
        let description = match default.name.as_ref().or(given.name.as_ref()) {
            Some(name) => self.described.iter().find(|entry| entry.name.as_ref() == Some(name)),
            None => self.described.get(index).or(self.described.last()),
        };
        if let (Some(name), None, None, None) = (&default.name, description, &default.module, &given.module) {
            return Err(ConfigError::UnknownName {
                module: self.of.to_string(),
                what: self.key,
                given: name.clone(),
                known: self.described.iter().filter_map(|entry| entry.name.clone()).collect(),
            });
        }
        let mut element = merged(&default, description.unwrap_or(&Deployment::default()))?;
        element = merged(&given, &element)?;
        // Naptha's clients call an element by its module when they know no better.
        if let Some(name) = &default.name {
            element.name = Some(name.clone());
        }
        let name = element
            .module
            .as_ref()
            .and_then(|module| module.name.as_deref())
            .ok_or(ConfigError::NoModule { list: self.key, index })?;
        let bare = match name.split_once(':') {
            Some((given, bare)) if given == self.module_type.as_str() => bare,
            Some(_) => {
                return Err(ConfigError::WrongType {
                    list: self.key,
                    index,
                    given: name.to_owned(),
                    expected: self.module_type,
                });
            }
            None => name,
        };
        let name = bare.parse().map_err(|_| ConfigError::UnknownModule(name.to_owned()))?;
        Ok((ModuleId { module_type: self.module_type, name }, element))
    }
}
