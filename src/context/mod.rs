//! What surrounds a command: folders, environment, layered configuration with provenance, HTTP client, clock.

mod edit;
mod environment;
mod layer;
mod schema;
mod settings;

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

pub use environment::{Dirs, Environment};
pub use layer::ProviderSetting;
use napt_registry_client::{Policy, RegistryClient};
pub use schema::config_schema;
pub use settings::{DEFAULT_NODE_URL, DEFAULT_REGISTRY_URL, Key, Setting, Settings, SettingsError, Source};
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::{
    identity::{CredentialStore, Token},
    registries::{Cache, Git, Registries, RegistriesError, Registry, address},
    report::{Failure, Kind, Reporter},
    shell::Shell,
};

/// Everything ambient that a command may use.
#[derive(Debug)]
pub struct Context {
    /// Where the command was called.
    pub cwd: PathBuf,
    /// Folders of configuration, data and cache.
    pub dirs: Dirs,
    /// The environment variables that napt knows.
    pub env: Environment,
    /// Configuration files and their values.
    pub settings: Settings,
    /// The only way to print.
    pub shell: Shell,
    /// Whether the network is not to be used.
    pub offline: bool,
}

impl Context {
    /// Reads the environment and the configuration files above `cwd`.
    pub fn new(cwd: PathBuf, env: Environment, shell: Shell) -> Result<Self, Failure> {
        let dirs = Dirs::new(&env)?;
        let settings = Settings::read(&cwd, &dirs)?;
        Ok(Context { cwd, dirs, env, settings, shell, offline: false })
    }

    /// The same surroundings for a command that is called in another folder.
    pub fn in_folder(&self, folder: &Path) -> Result<Self, Failure> {
        let context = Context::new(folder.to_owned(), self.env.clone(), self.shell.again())?;
        Ok(Context { offline: self.offline, ..context })
    }

    /// The registry: flag, environment, configuration files, default.
    pub fn registry(&self, flag: Option<&str>) -> Result<Setting<Url>, SettingsError> {
        self.settings.url(Key::Registry, flag, &self.env)
    }

    /// The node: flag, environment (`NAPT_NODE`, Naptha's `NODE_URL`), configuration files, default.
    pub fn node(&self, flag: Option<&str>) -> Result<Setting<Url>, SettingsError> {
        self.settings.url(Key::Node, flag, &self.env)
    }

    /// Any setting, if anything says what it is.
    pub fn setting(&self, key: Key, flag: Option<&str>) -> Result<Option<Setting<String>>, SettingsError> {
        self.settings.get(key, flag, &self.env)
    }

    /// Gives a setting a value in a configuration file, whose other lines stay as they are.
    pub fn set(&self, path: &Path, key: Key, value: &str) -> Result<(), SettingsError> {
        edit::set(path, key, value, &self.dirs)
    }

    /// A client of the registry that [`Context::registry`] names, with the user's token for it, if there is one.
    pub fn registry_client(&self, flag: Option<&str>) -> Result<RegistryClient, Failure> {
        let setting = self.registry(flag)?;
        self.require_network(&setting.value)?;
        if self.env.token.is_some() && !self.may_have_token(&setting) {
            let Setting { value: url, source } = setting;
            let what = format!("`NAPT_TOKEN` is not sent to the registry `{url}`, which {source} names");
            return Err(Failure::new(Kind::Auth, what)
                .hinted("give the registry's URL with `--registry` or `NAPT_REGISTRY`, if the token is for it"));
        }
        self.client_of(&setting.value, self.env.token.as_deref())
    }

    /// Fails when the registry may not be asked.
    pub fn require_network(&self, registry: &Url) -> Result<(), Failure> {
        if !self.offline {
            return Ok(());
        }
        Err(RegistriesError::Offline { registry: address(registry) }.into())
    }

    /// All registries, to read from: the one that [`Context::registry`] names, and those with a name of their own.
    pub fn registries(&self, flag: Option<&str>) -> Result<Registries, Failure> {
        self.registries_with(flag, self.policy()?)
    }

    /// The same with another patience.
    pub fn registries_with(&self, flag: Option<&str>, policy: Policy) -> Result<Registries, Failure> {
        let cache = Cache::new(self.dirs.cache.join("registries"));
        let open = |url: &Url, variable| -> Result<Registry, Failure> {
            let client = self.client_of(url, variable)?.with_policy(policy.clone());
            Ok(Registry::new(client, url).cached(cache.clone()).offline(self.offline))
        };
        let default = self.registry(flag)?;
        let variable = self.env.token.as_deref().filter(|_| self.may_have_token(&default));
        let default = open(&default.value, variable)?;
        let named = self.registry_names();
        // The variable holds one token, which is not for all of them.
        let named = named.into_iter().map(|(name, url)| Ok((name, open(&url, None)?)));
        let registries = Registries::new(default, named.collect::<Result<BTreeMap<_, _>, Failure>>()?);
        Ok(registries.with_git(Git::for_user(&self.dirs.cache, self.offline)))
    }

    /// The registries with a name.
    pub fn named_registries(&self) -> BTreeMap<String, Setting<Url>> {
        self.settings.registries()
    }

    /// Their URLs alone.
    pub fn registry_names(&self) -> BTreeMap<String, Url> {
        self.settings.registries().into_iter().map(|(name, setting)| (name, setting.value)).collect()
    }

    /// The model providers of a node that have a name, by it.
    pub fn providers(&self) -> BTreeMap<String, ProviderSetting> {
        self.settings.providers()
    }

    /// Whoever wrote a checkout's configuration must not get the token of whoever runs a command in it.
    fn may_have_token(&self, Setting { source, .. }: &Setting<Url>) -> bool {
        !matches!(source, Source::File { path, .. } if !path.starts_with(&self.dirs.config))
    }

    /// A client with the token that `NAPT_TOKEN` holds, or else the one that was kept for this URL.
    fn client_of(&self, url: &Url, variable: Option<&str>) -> Result<RegistryClient, Failure> {
        let token = match variable {
            Some(text) => Some(
                text.parse::<Token>()
                    .map_err(|error| Failure::from(error).context("`NAPT_TOKEN` does not hold a token"))?,
            ),
            None => self.credentials().registry_token(url.as_str())?,
        };
        let shell = self.shell.again();
        let client = RegistryClient::new(url.clone(), self.http(), token.map(|token| token.reveal().to_owned()));
        Ok(client.with_policy(self.policy()?).on_wait(move |error, wait| {
            shell.step("Waiting", &format!("{} s: {error}", wait.as_secs_f64().ceil()));
        }))
    }

    /// How patient clients are: `NAPT_HTTP_TIMEOUT`, `NAPT_HTTP_RETRIES`, defaults.
    pub fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = Policy::default();
        let usage = |name: &str, text: &str, example: &str| {
            Failure::new(Kind::Usage, format!("`{text}` is no value for `{name}`"))
                .hinted(format!("write for example `{example}`"))
        };
        if let Some(text) = &self.env.http_timeout {
            let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
            let seconds = seconds.ok_or_else(|| usage("NAPT_HTTP_TIMEOUT", text, "20"))?;
            policy.call_timeout = Duration::from_secs_f64(seconds);
            policy.rate_window = policy.call_timeout.mul_f64(1.5);
        }
        if let Some(text) = &self.env.http_retries {
            let retries: u32 = text
                .parse()
                .ok()
                .filter(|retries| *retries <= 100)
                .ok_or_else(|| usage("NAPT_HTTP_RETRIES", text, "4"))?;
            policy.tries = retries + 1;
        }
        Ok(policy)
    }

    /// The user's key and tokens.
    pub fn credentials(&self) -> CredentialStore {
        CredentialStore::new(&self.dirs.config)
    }

    /// An HTTP client that follows no redirect, since credentials must not leave the host they are for.
    pub fn http(&self) -> reqwest::Client {
        let builder = self.env.proxies().into_iter().fold(reqwest::Client::builder(), reqwest::ClientBuilder::proxy);
        builder
            .user_agent(concat!("napt/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60))
            .build()
            .expect("a client without custom certificates can be built")
    }

    /// Runs a future to its end, or until the user interrupts: then it is dropped, and with it its temporary files.
    pub fn interruptible<T, E: Into<Failure>>(&self, future: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
        let told = self.shell.interrupted();
        self.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            // A task of its own, since the future may compute for long without a pause.
            let interrupted = tokio::spawn(async move {
                interrupt.recv().await;
                told.store(true, Ordering::Relaxed);
            });
            tokio::select! {
                result = future => result.map_err(Into::into),
                _ = interrupted => Err(Failure::new(Kind::Interrupted, "interrupted")
                    .hinted("run the same command again: it goes on where it was")),
            }
        })
    }

    /// Runs a future to its end. Commands that need no network never start the runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system can start threads")
            .block_on(future)
    }
}
