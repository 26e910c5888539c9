//! The one place that reads environment variables, and the folders that follow from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
};

use etcetera::BaseStrategy;
use reqwest::{NoProxy, Proxy};

use crate::{
    identity::Secret,
    report::{Failure, Kind},
};

/// The environment variables that napt knows.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `NAPT_HOME`: one folder for configuration, data and cache.
    pub home: Option<PathBuf>,
    /// `NAPT_CACHE_DIR`: a folder for what can be fetched again, which several homes may share.
    pub cache: Option<PathBuf>,
    /// `NAPT_REGISTRY`: the registry's URL.
    pub registry: Option<String>,
    /// `NAPT_NODE`: the node's URL.
    pub node: Option<String>,
    /// `NODE_URL`: Naptha's name for the same.
    pub node_url: Option<String>,
    /// `NAPT_TOKEN`: a token, instead of the credentials file.
    pub token: Option<String>,
    /// `HUB_PASSWORD`: Naptha's name for the password of an account.
    pub hub_password: Option<Secret>,
    /// `NAPT_HTTP_TIMEOUT`: how many seconds a server may take for a short answer.
    pub http_timeout: Option<String>,
    /// `NAPT_HTTP_RETRIES`: how often a call that may pass is made again.
    pub http_retries: Option<String>,
    /// `NAPT_PROVIDER_KEY`: the key of a node's model provider.
    pub provider_key: Option<Secret>,
    /// `NAPT_PROVIDER_KEY_NAME`: the keys of providers with a name, by `NAME`.
    pub provider_keys: BTreeMap<String, Secret>,
    /// `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`: what the first of them that is set says of colour, and which it is.
    pub color: Option<(&'static str, &'static str)>,
    /// `PATH`, for the programs that a node starts.
    pub path: Option<String>,
    /// `PYTHONPATH`, for programs that get more on it.
    pub python_path: Option<OsString>,
    /// The names of all variables, for what a project's configuration refers to.
    pub variables: BTreeSet<String>,
    /// Variables that package installers need to reach the network: proxies, certificates, their own settings.
    pub installer: Vec<(String, String)>,
    /// `RUSTUP_HOME`, `RUSTUP_TOOLCHAIN` and `HOME`: where rustup has its toolchains, and which is meant.
    pub rustup: Vec<(String, String)>,
}

/// What the names of variables with keys of named providers begin with.
const PROVIDER_KEY: &str = "NAPT_PROVIDER_KEY_";

/// Prefixes and names of variables that an installer gets.
const INSTALLER: [&str; 12] = [
    "UV_",
    "PIP_",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "LANG",
    "LC_",
];

impl Environment {
    /// The process's own environment.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the environment")]
    pub fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        // In the order, and with the meanings, that `anstream` gives them.
        let color = if text("NO_COLOR").is_some() {
            Some(("never", "NO_COLOR"))
        } else if text("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            Some(("always", "CLICOLOR_FORCE"))
        } else if text("CLICOLOR").is_some_and(|value| value == "0") {
            Some(("never", "CLICOLOR"))
        } else {
            None
        };
        Environment {
            color,
            home: std::env::var_os("NAPT_HOME").filter(|value| !value.is_empty()).map(PathBuf::from),
            cache: std::env::var_os("NAPT_CACHE_DIR").filter(|value| !value.is_empty()).map(PathBuf::from),
            registry: text("NAPT_REGISTRY"),
            node: text("NAPT_NODE"),
            node_url: text("NODE_URL"),
            token: text("NAPT_TOKEN"),
            hub_password: text("HUB_PASSWORD").map(Secret::new),
            http_timeout: text("NAPT_HTTP_TIMEOUT"),
            http_retries: text("NAPT_HTTP_RETRIES"),
            provider_key: text("NAPT_PROVIDER_KEY").map(Secret::new),
            provider_keys: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter_map(|(name, value)| Some((name.strip_prefix(PROVIDER_KEY)?.to_owned(), Secret::new(value))))
                .filter(|(_, key)| !key.reveal().is_empty())
                .collect(),
            path: text("PATH"),
            python_path: std::env::var_os("PYTHONPATH").filter(|value| !value.is_empty()),
            variables: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
            installer: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| INSTALLER.iter().any(|prefix| name.to_uppercase().starts_with(prefix)))
                .collect(),
            rustup: ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "HOME"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), text(name)?)))
                .collect(),
        }
    }
}

impl Environment {
    /// The value of one variable, for a command that is told to take it from there.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the environment")]
    pub fn secret(name: &str) -> Option<Secret> {
        std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new)
    }

    /// The variable of a proxy, in capitals or not.
    pub fn proxy(&self, name: &str) -> Option<&str> {
        let exactly = |name: &str| {
            self.installer.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
        };
        exactly(name).or_else(|| exactly(&name.to_lowercase()))
    }

    /// The proxies that `HTTP_PROXY` and the like name, for other machines: servers on this one are reached directly,
    /// also where `NO_PROXY` does not list them.
    pub fn proxies(&self) -> Vec<Proxy> {
        let value = |name: &str| self.proxy(name);
        let direct = format!("{},localhost,127.0.0.0/8,::1", value("NO_PROXY").unwrap_or_default());
        let named = [
            value("HTTP_PROXY").map(Proxy::http::<&str>),
            value("HTTPS_PROXY").map(Proxy::https::<&str>),
            value("ALL_PROXY").map(Proxy::all::<&str>),
        ];
        let usable = named.into_iter().flatten().filter_map(Result::ok);
        usable.map(|proxy| proxy.no_proxy(NoProxy::from_string(&direct))).collect()
    }
}

/// Where napt keeps things.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// `config.toml`, the user's key and tokens.
    pub config: PathBuf,
    /// Data of registries and nodes.
    pub data: PathBuf,
    /// What can be fetched again.
    pub cache: PathBuf,
}

impl Dirs {
    /// `NAPT_HOME`'s sub-folders, else the platform's usual ones. `NAPT_CACHE_DIR` moves the cache.
    pub fn new(env: &Environment) -> Result<Self, Failure> {
        let mut dirs = match &env.home {
            Some(home) => Dirs { config: home.join("config"), data: home.join("data"), cache: home.join("cache") },
            None => Self::of_platform()?,
        };
        if let Some(cache) = &env.cache {
            dirs.cache.clone_from(cache);
        }
        Ok(dirs)
    }

    fn of_platform() -> Result<Self, Failure> {
        let base = etcetera::choose_base_strategy().map_err(|error| {
            Failure::new(Kind::Failed, error.to_string()).hinted("set `HOME`, or `NAPT_HOME` to a folder of napt's own")
        })?;
        Ok(Dirs {
            config: base.config_dir().join("napt"),
            data: base.data_dir().join("napt"),
            cache: base.cache_dir().join("napt"),
        })
    }
}
