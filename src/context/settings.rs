//! Layered configuration: flag, environment, `.napt/config.toml` up the tree, the user's `config.toml`, defaults.
//! Every value knows where it is from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use url::Url;

use super::Dirs;
use crate::report::{Fault, Kind};

/// The registry when nothing else is said.
pub const DEFAULT_REGISTRY_URL: &str = "http://127.0.0.1:7080";
/// The node when nothing else is said.
pub const DEFAULT_NODE_URL: &str = "http://127.0.0.1:7001";

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Variable(&'static str),
    /// A configuration file.
    File(PathBuf),
    /// Built in.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("the command line"),
            Source::Variable(name) => write!(f, "the environment variable `{name}`"),
            Source::File(path) => write!(f, "`{}`", path.display()),
            Source::Default => f.write_str("the default"),
        }
    }
}

/// A value and where it is from.
#[derive(Debug, Clone)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it is from.
    pub source: Source,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file is not TOML of the right shape; the text has line, column and excerpt.
    #[error("cannot read `{}`\n{error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        error: Box<toml::de::Error>,
    },
    /// A value is not the URL of a server.
    #[error("`{value}` from {from} is not the URL of a {what}")]
    Url {
        /// What it should be the URL of.
        what: &'static str,
        /// The value, without credentials.
        value: String,
        /// Where it is from.
        from: Source,
    },
    /// A registry is named, and none has the name.
    #[error("no registry is called `{name}`, as {from} has it")]
    UnknownRegistry {
        /// The name.
        name: String,
        /// Where it is from.
        from: Source,
        /// The names there are.
        known: Vec<String>,
    },
}

impl Fault for SettingsError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            SettingsError::Url { .. } => Some("write for example `http://127.0.0.1:7001`".to_owned()),
            SettingsError::UnknownRegistry { name, known, .. } => Some(format!(
                "{}; a registry's URL begins with `http://` or `https://`",
                crate::registries::unknown_name(name, known)
            )),
            SettingsError::Io(_) | SettingsError::Syntax { .. } => None,
        }
    }
}

/// A configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    registry: Option<String>,
    node: Option<String>,
    #[serde(default)]
    registries: BTreeMap<String, RegistryTable>,
}

/// `[registries.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryTable {
    url: String,
}

/// The configuration files that apply, nearest first.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    layers: Vec<(PathBuf, ConfigFile)>,
}

impl Settings {
    /// Reads `.napt/config.toml` in `cwd` and above, then the user's.
    pub(super) fn read(cwd: &Path, dirs: &Dirs) -> Result<Self, SettingsError> {
        let mut layers = Vec::new();
        let above = cwd.ancestors().map(|folder| folder.join(".napt").join("config.toml"));
        for path in above.chain([dirs.config.join("config.toml")]) {
            if path.is_file() {
                let text = fs_err::read_to_string(&path)?;
                let file = toml::from_str(&text)
                    .map_err(|error| SettingsError::Syntax { path: path.clone(), error: Box::new(error) })?;
                layers.push((path, file));
            }
        }
        Ok(Settings { layers })
    }

    /// The registries with a name, the nearest file's of each.
    pub(super) fn registries(&self) -> Result<BTreeMap<String, Setting<Url>>, SettingsError> {
        let mut found = BTreeMap::new();
        for (path, file) in self.layers.iter().rev() {
            for (name, table) in &file.registries {
                found.insert(name.clone(), server("registry", table.url.clone(), Source::File(path.clone()))?);
            }
        }
        Ok(found)
    }

    pub(super) fn url(
        &self,
        what: &'static str,
        flag: Option<&str>,
        variable: Option<(&str, &'static str)>,
        default: &str,
    ) -> Result<Setting<Url>, SettingsError> {
        let in_files = || {
            self.layers.iter().find_map(|(path, file)| {
                let value = if what == "registry" { &file.registry } else { &file.node };
                value.clone().map(|value| (value, Source::File(path.clone())))
            })
        };
        let (value, source) = flag
            .map(|value| (value.to_owned(), Source::Flag))
            .or_else(|| variable.map(|(value, name)| (value.to_owned(), Source::Variable(name))))
            .or_else(in_files)
            .unwrap_or_else(|| (default.to_owned(), Source::Default));
        if what == "registry" && is_name(&value) {
            let mut registries = self.registries()?;
            return registries.remove(&value).ok_or_else(|| SettingsError::UnknownRegistry {
                name: value,
                from: source,
                known: registries.into_keys().collect(),
            });
        }
        server(what, value, source)
    }
}

/// Whether a text is the name of a registry rather than the URL of one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn server(what: &'static str, value: String, source: Source) -> Result<Setting<Url>, SettingsError> {
    match Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Setting { value: url, source }),
        _ => Err(SettingsError::Url { what, value: crate::secrets::redact(&value), from: source }),
    }
}
