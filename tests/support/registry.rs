//! The real registry on a free port: in this process, or in one of its own that can be killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use napt::{
    identity::SecretKey,
    registry::{self, Limits, Options, Rate, Running},
};
use napt_registry_client::{Policy, RegistryClient, SignUp, SignedUp, account_challenge_text};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use super::{Sandbox, canary};

/// A registry in this process. Its clock is the test's.
pub struct TestRegistry {
    // Before the folder, so that it ends while its data is there.
    runtime: Runtime,
    running: Option<Running>,
    pub url: Url,
    clock: Arc<AtomicI64>,
    folder: TempDir,
}

/// A registry's limits that do not get in a test's way.
pub fn limits() -> Limits {
    let often = Rate { burst: 10_000, refill: Duration::from_millis(1) };
    Limits { challenges: often, sign_ins: often, hub_requests: often, hub_writes: often, ..Limits::default() }
}

impl TestRegistry {
    pub fn start() -> Self {
        Self::with_limits(limits())
    }

    pub fn with_limits(limits: Limits) -> Self {
        Self::known_as(None, limits)
    }

    /// One that its users reach by another URL than where it listens.
    pub fn known_as(url: Option<Url>, limits: Limits) -> Self {
        let folder = TempDir::with_prefix("napt-registry-").expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let clock = Arc::new(AtomicI64::new(Timestamp::now().as_millisecond()));
        let mut options = Options::new(([127, 0, 0, 1], 0).into(), folder.path());
        (options.limits, options.url) = (limits, url);
        let now = Arc::clone(&clock);
        options.clock =
            Arc::new(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).expect("a time within range"));
        let running = runtime.block_on(registry::serve(options)).expect("a registry");
        let url = running.url();
        TestRegistry { runtime, running: Some(running), url, clock, folder }
    }

    /// Where its database and archives are.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Lets time pass for the registry.
    pub fn advance(&self, by: SignedDuration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.load(Ordering::SeqCst)).expect("a time within range")
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A client with or without a token, that does not wait long.
    pub fn client(&self, token: Option<&str>) -> RegistryClient {
        client(self.url.clone(), token)
    }

    /// A new user of it: the answer to a sign-up.
    pub fn sign_up(&self, key: &SecretKey) -> SignedUp {
        self.block_on(async {
            let client = self.client(None);
            let challenge = client.challenge().await.expect("a challenge").challenge;
            client.sign_up(&proof(key, &client.host(), challenge)).await.expect("an account")
        })
    }

    /// Ends it; its data stays until it is dropped.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }

    /// A sandbox whose commands use this registry.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_REGISTRY", self.url.as_str());
        sandbox
    }

    /// The archives it keeps, and what lies in staging.
    pub fn blobs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        stored(self.data())
    }

    /// The index of a module as text; `None` when there is none.
    pub fn index(&self, module: &str) -> Option<String> {
        let url = self.url.join(&format!("index/{}", module.replace(':', "/"))).expect("a URL");
        self.block_on(async {
            let response = reqwest::get(url).await.expect("an answer");
            (response.status() == 200).then_some(response.text().await.expect("text"))
        })
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            // Tokens are kept as hashes, and nobody publishes one.
            let data = self.folder.path();
            let records = ["registry.db", "registry.db-wal"].map(|name| data.join(name));
            canary::files(&data.join("blobs"), &[""])
                .iter()
                .chain(&records)
                .for_each(|path| canary::check_file(path, &[]));
        }
    }
}

/// A registry in a process of its own.
pub struct RegistryProcess {
    pub url: Url,
    data: PathBuf,
    process: Child,
}

impl RegistryProcess {
    /// Starts one at an address, with its data in the sandbox's home; it breaks where `failpoints` says.
    pub fn start(sandbox: &Sandbox, listen: &str, failpoints: &str) -> Self {
        let data = sandbox.home().join("registry");
        let log = std::fs::File::options().create(true).append(true).open(sandbox.home().join("registry.log"));
        let mut command = sandbox.command(&["registry", "--message-format", "json", "--listen", listen, "--data"]);
        command.arg(&data).env("FAILPOINTS", failpoints).stdout(Stdio::piped()).stderr(log.expect("a log"));
        let mut process = command.spawn().expect("napt starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let url = event["data"]["url"].as_str().expect("a URL").parse().expect("a URL");
        RegistryProcess { url, data, process }
    }

    /// Where its database and archives are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `kill -9`, whether it lives or not.
    pub fn kill(&mut self) {
        // It may have killed itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for RegistryProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All files below `blobs/` and `staging/` of a registry's folder.
pub fn stored(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                files.insert(path, bytes);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&data.join("blobs"), &mut files);
    walk(&data.join("staging"), &mut files);
    files
}

/// A client that gives up soon.
pub fn client(url: Url, token: Option<&str>) -> RegistryClient {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    RegistryClient::new(url, http, token.map(str::to_owned)).with_policy(Policy {
        tries: 3,
        base_wait: Duration::from_millis(5),
        call_timeout: Duration::from_secs(5),
        ..Policy::default()
    })
}

/// The answer to a challenge.
pub fn proof(key: &SecretKey, host: &str, challenge: String) -> SignUp {
    let signature = key.sign(account_challenge_text(host, &challenge).as_bytes());
    SignUp { public_key: key.public().to_string(), signature, challenge, password_account: None }
}
