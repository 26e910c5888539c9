//! Layered configuration: flag, environment, a running `napt dev`, `.napt/config.toml` up the tree, the user's `config.toml`, defaults.
//! Every value knows where it is from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use url::Url;

use super::{
    Dirs, Environment,
    layer::{Layer, ProviderSetting},
};
use crate::{
    identity::StoreError,
    module::DevSession,
    report::{Fault, Kind, did_you_mean, did_you_mean_or},
};

/// The registry when nothing else is said.
pub const DEFAULT_REGISTRY_URL: &str = "http://127.0.0.1:7080";
/// The node when nothing else is said.
pub const DEFAULT_NODE_URL: &str = "http://127.0.0.1:7001";

/// A setting that configuration files may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The registry's URL.
    Registry,
    /// The node's URL.
    Node,
    /// When to use colour.
    Color,
    /// The key of a node's model provider.
    ProviderKey,
}

impl Key {
    /// All of them.
    pub const ALL: [Key; 4] = [Key::Registry, Key::Node, Key::Color, Key::ProviderKey];

    /// As it stands in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Key::Registry => "registry",
            Key::Node => "node",
            Key::Color => "color",
            Key::ProviderKey => "provider-key",
        }
    }

    /// Whether its value is never shown, and kept out of checkouts.
    pub fn is_secret(self) -> bool {
        self == Key::ProviderKey
    }

    fn default(self) -> Option<&'static str> {
        match self {
            Key::Registry => Some(DEFAULT_REGISTRY_URL),
            Key::Node => Some(DEFAULT_NODE_URL),
            Key::Color => Some("auto"),
            Key::ProviderKey => None,
        }
    }

    /// What the environment says, and which variable.
    fn variable(self, env: &Environment) -> Option<(&str, &'static str)> {
        match self {
            Key::Registry => env.registry.as_deref().map(|value| (value, "NAPT_REGISTRY")),
            Key::Node => {
                let naptha = || env.node_url.as_deref().map(|value| (value, "NODE_URL"));
                env.node.as_deref().map(|value| (value, "NAPT_NODE")).or_else(naptha)
            }
            Key::Color => env.color,
            Key::ProviderKey => env.provider_key.as_ref().map(|key| (key.reveal(), "NAPT_PROVIDER_KEY")),
        }
    }

    /// Whether `value` can be its value; else what it should be.
    fn check(self, value: &str) -> Result<(), &'static str> {
        match self {
            Key::Registry if is_name(value) => Ok(()),
            Key::Registry => server(value).map(drop).ok_or("the URL of a registry, or the name of one"),
            Key::Node => server(value).map(drop).ok_or("the URL of a node"),
            Key::Color if ["auto", "always", "never"].contains(&value) => Ok(()),
            Key::Color => Err("`auto`, `always` or `never`"),
            Key::ProviderKey if !value.is_empty() && !value.contains(char::is_whitespace) => Ok(()),
            Key::ProviderKey => Err("a key: it is empty, or has spaces"),
        }
    }
}

/// Whether a text is the name of a registry rather than the URL of one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The URL of a server.
pub(super) fn server(value: &str) -> Option<Url> {
    Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Key {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let wanted = text.replace('_', "-");
        let found = Key::ALL.into_iter().find(|key| key.name() == wanted);
        found.ok_or_else(|| SettingsError::UnknownKey { given: text.to_owned(), place: None })
    }
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", content = "at", rename_all = "snake_case")]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Variable(&'static str),
    /// A configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1, where that is known.
        line: Option<usize>,
    },
    /// Built in.
    Default,
}

impl Source {
    /// The line of a file in which the byte `at` of its text is.
    pub(super) fn in_file(path: &Path, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        Source::File { path: path.to_owned(), line: Some(before.matches('\n').count() + 1) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("the command line"),
            Source::Variable(name) => write!(f, "the environment variable `{name}`"),
            Source::File { path, line: Some(line) } => write!(f, "`{}:{line}`", path.display()),
            Source::File { path, line: None } => write!(f, "`{}`", path.display()),
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
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file with secrets is open to others, or cannot be read.
    #[error(transparent)]
    Private(#[from] StoreError),
    /// A file is not TOML. Its text is not repeated, since it may hold secrets.
    #[error("cannot read {place}: {reason}")]
    Syntax {
        /// Where.
        place: Source,
        /// What the parser said.
        reason: String,
    },
    /// There is no such setting.
    #[error("there is no setting `{given}`{}", place.as_ref().map(|place| format!(", which {place} has")).unwrap_or_default())]
    UnknownKey {
        /// What was given.
        given: String,
        /// Where, if it was in a file.
        place: Option<Source>,
    },
    /// A value in a file is no text.
    #[error("`{key}` in {place} is not a text")]
    NotText {
        /// The setting.
        key: Key,
        /// Where.
        place: Source,
    },
    /// A value cannot be used.
    #[error("{} from {from} is not {expected}", if key.is_secret() { format!("the `{key}`") } else { format!("`{value}`") })]
    Value {
        /// The setting.
        key: Key,
        /// What it should be.
        expected: &'static str,
        /// The value, without credentials.
        value: String,
        /// Where it is from.
        from: Source,
    },
    /// A secret that anybody with the checkout would have.
    #[error("`{key}` is a secret, and `{}` is in a checkout", path.display())]
    Secret {
        /// The setting.
        key: Key,
        /// The file.
        path: PathBuf,
    },
    /// Providers of a node that whoever wrote a checkout would choose.
    #[error("`[providers]` in `{}` is in a checkout", path.display())]
    Providers {
        /// The file.
        path: PathBuf,
    },
    /// A registry is named, and none has the name.
    #[error("no registry is called `{name}`, which is from {from}")]
    UnknownRegistry {
        /// The name.
        name: String,
        /// Where it is from.
        from: Source,
        /// The names there are.
        known: Vec<String>,
    },
}

impl SettingsError {
    /// That the text of the file `path` is not what a parser expected.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = error
            .span()
            .map_or(Source::File { path: path.to_owned(), line: None }, |span| Source::in_file(path, text, span.start));
        SettingsError::Syntax { place, reason: error.message().replace('\n', ", ") }
    }
}

impl Fault for SettingsError {
    fn kind(&self) -> Kind {
        match self {
            SettingsError::Private(error) => error.kind(),
            SettingsError::Io(_) => Kind::Failed,
            _ => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            SettingsError::Value { key: Key::Registry | Key::Node, .. } => {
                Some("write for example `http://127.0.0.1:7001`".to_owned())
            }
            SettingsError::Value { key: Key::Color, value, .. } => {
                did_you_mean(value, ["auto", "always", "never"]).map(|near| format!("did you mean `{near}`?"))
            }
            SettingsError::UnknownKey { given, .. } => {
                let names = Key::ALL.map(Key::name);
                let all = || format!("the settings are {}", names.join(", "));
                Some(did_you_mean_or(&given.replace('_', "-"), names, all))
            }
            SettingsError::NotText { .. } => Some("write it in quotes".to_owned()),
            SettingsError::Secret { key, .. } => {
                Some(format!("take it out, and keep it in your own file: `napt config set {key} --user`"))
            }
            SettingsError::Providers { .. } => {
                Some("keep them in your own `config.toml`; `napt config` shows where its folder is".to_owned())
            }
            SettingsError::UnknownRegistry { name, known, .. } => Some(format!(
                "{} (a URL begins with `http://` or `https://`)",
                crate::registries::unknown_name(name, known)
            )),
            SettingsError::Private(error) => error.hint(),
            SettingsError::Io(_) | SettingsError::Syntax { .. } | SettingsError::Value { .. } => None,
        }
    }
}

/// The configuration files that apply, nearest first.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    layers: Vec<Layer>,
}

impl Settings {
    /// Reads where a running `napt dev` of this workspace is, `.napt/config.toml` in `cwd` and above, then the user's.
    pub(super) fn read(cwd: &Path, dirs: &Dirs) -> Result<Self, SettingsError> {
        let users = dirs.config.join("config.toml");
        let session = DevSession::find(cwd).map(|(path, session)| Ok(Layer::of_session(&path, session)));
        let above = cwd.ancestors().map(|folder| folder.join(".napt").join("config.toml"));
        let paths = above.filter(|path| *path != users).map(|path| (path, false)).chain([(users.clone(), true)]);
        let there = paths.filter(|(path, _)| path.is_file());
        let files = there.map(|(path, is_users)| Layer::read(path, is_users));
        Ok(Settings { layers: session.into_iter().chain(files).collect::<Result<_, _>>()? })
    }

    /// The registries with a name, the nearest file's of each.
    pub(super) fn registries(&self) -> BTreeMap<String, Setting<Url>> {
        self.layers.iter().rev().flat_map(|layer| layer.registries.clone()).collect()
    }

    /// The model providers of a node.
    pub(super) fn providers(&self) -> BTreeMap<String, ProviderSetting> {
        self.layers.iter().flat_map(|layer| layer.providers.clone()).collect()
    }

    /// A setting, if anything says what it is.
    pub(super) fn get(
        &self,
        key: Key,
        flag: Option<&str>,
        env: &Environment,
    ) -> Result<Option<Setting<String>>, SettingsError> {
        let in_files = || {
            let found = self.layers.iter().find_map(|layer| layer.values.get(&key));
            found.map(|setting| (setting.value.as_str(), setting.source.clone()))
        };
        let found = flag
            .map(|value| (value, Source::Flag))
            .or_else(|| key.variable(env).map(|(value, name)| (value, Source::Variable(name))))
            .or_else(in_files)
            .or_else(|| key.default().map(|value| (value, Source::Default)));
        let Some((value, source)) = found else { return Ok(None) };
        checked(key, value, &source)?;
        Ok(Some(Setting { value: value.to_owned(), source }))
    }

    /// A setting that is the URL of a server, or the name of a registry.
    pub(super) fn url(&self, key: Key, flag: Option<&str>, env: &Environment) -> Result<Setting<Url>, SettingsError> {
        let Setting { value, source } = self.get(key, flag, env)?.expect("these have defaults");
        match server(&value) {
            Some(value) => Ok(Setting { value, source }),
            None => {
                let mut registries = self.registries();
                registries.remove(&value).ok_or_else(|| SettingsError::UnknownRegistry {
                    name: value,
                    from: source,
                    known: registries.into_keys().collect(),
                })
            }
        }
    }
}

/// Fails when a setting cannot have this value.
pub(super) fn checked(key: Key, value: &str, from: &Source) -> Result<(), SettingsError> {
    key.check(value).map_err(|expected| SettingsError::Value {
        key,
        expected,
        value: if key.is_secret() { "(set)".to_owned() } else { crate::secrets::redact(value) },
        from: from.clone(),
    })
}
