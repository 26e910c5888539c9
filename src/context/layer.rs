//! One configuration file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::settings::{Key, Setting, SettingsError, Source, server};
use crate::{
    identity::{Secret, read_private},
    module::DevSession,
};

/// The table of registries with a name.
pub(super) const REGISTRIES: &str = "registries";

/// The table of model providers with a name.
pub(super) const PROVIDERS: &str = "providers";

/// A model provider of a node, as a configuration file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSetting {
    /// Its base URL.
    pub url: Url,
    /// The models that it serves; none: all that no other does.
    #[serde(default)]
    pub models: Vec<String>,
    /// Its key.
    pub key: Option<Secret>,
}

#[derive(Deserialize)]
struct Providers {
    providers: BTreeMap<String, ProviderSetting>,
}

/// A configuration file, or what a running `napt dev` wrote: each setting in it, with where it is.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) values: BTreeMap<Key, Setting<String>>,
    pub(super) registries: BTreeMap<String, Setting<Url>>,
    pub(super) providers: BTreeMap<String, ProviderSetting>,
}

/// What a file has of registries with a name.
#[derive(Deserialize)]
struct Named {
    registries: BTreeMap<String, NamedRegistry>,
}

/// `[registries.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedRegistry {
    url: Spanned<String>,
}

impl Layer {
    /// Of a running `napt dev`, whose file is `path`.
    pub(super) fn of_session(path: &Path, session: DevSession) -> Self {
        let setting = |value| Setting { value, source: Source::File { path: path.to_owned(), line: None } };
        let values = [(Key::Registry, setting(session.registry)), (Key::Node, setting(session.node))];
        Layer { values: BTreeMap::from(values), registries: BTreeMap::new(), providers: BTreeMap::new() }
    }

    pub(super) fn read(path: PathBuf, is_users: bool) -> Result<Self, SettingsError> {
        let text = fs_err::read_to_string(&path)?;
        let syntax = |error| SettingsError::syntax(&path, &text, &error);
        let table: BTreeMap<Spanned<String>, toml::Value> = toml::from_str(&text).map_err(syntax)?;
        let place = |at: usize| Source::in_file(&path, &text, at);
        let mut layer = Layer { values: BTreeMap::new(), registries: BTreeMap::new(), providers: BTreeMap::new() };
        for (name, value) in table {
            let source = place(name.span().start);
            let name = name.into_inner();
            if name == REGISTRIES {
                let named: Named = toml::from_str(&text).map_err(syntax)?;
                for (name, registry) in named.registries {
                    let source = place(registry.url.span().start);
                    let value = server(registry.url.get_ref()).ok_or_else(|| SettingsError::Value {
                        key: Key::Registry,
                        expected: "the URL of a registry",
                        value: crate::secrets::redact(registry.url.get_ref()),
                        from: source.clone(),
                    })?;
                    layer.registries.insert(name, Setting { value, source });
                }
                continue;
            }
            if name == PROVIDERS {
                // Whoever writes a checkout's file must not choose where a node's keys and prompts go.
                if !is_users {
                    return Err(SettingsError::Providers { path });
                }
                read_private(&path)?;
                layer.providers = toml::from_str::<Providers>(&text).map_err(syntax)?.providers;
                continue;
            }
            let key: Key = name
                .parse()
                .map_err(|_| SettingsError::UnknownKey { given: name.clone(), place: Some(source.clone()) })?;
            if key.is_secret() && !is_users {
                return Err(SettingsError::Secret { key, path });
            }
            if key.is_secret() {
                read_private(&path)?;
            }
            let toml::Value::String(value) = value else {
                return Err(SettingsError::NotText { key, place: source });
            };
            layer.values.insert(key, Setting { value, source });
        }
        Ok(layer)
    }
}
