//! A real node: the binary in its own process on a free port, so that it can be killed and started again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use futures_util::StreamExt;
use napt::{
    client::{ClientError, NodeClient},
    identity::{CredentialStore, SecretKey},
    wire::{EventPayload, NewToken, RunEvent, RunRequest, RunView},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Ran, Sandbox, modules::Python};

/// A node of its own sandbox. It is killed when dropped.
pub struct TestNode {
    /// Its operator's home; commands in it talk to this node.
    pub sandbox: Sandbox,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// What it said when it started: the data of its event `listening`.
    pub facts: Value,
    /// Flags that it was started with, and is started with again.
    flags: Vec<String>,
    process: Child,
}

/// The folder that all tests share for Python environments: building one takes seconds.
pub fn cache() -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").to_string_lossy().into_owned()
}

/// A cache folder of the sandbox's own, so that environments are built in it; the installer of the shared one is used.
pub fn own_cache(sandbox: &mut Sandbox) {
    static INSTALLER: OnceLock<PathBuf> = OnceLock::new();
    let installer = INSTALLER.get_or_init(|| {
        let node = TestNode::start(&[]);
        node.deploy(&Python::new("agent:any", "def run(module_run):\n    return 'any'\n"));
        Path::new(&cache()).join("environments").join("installer")
    });
    let own = sandbox.home().join("cache");
    std::fs::create_dir_all(own.join("environments")).expect("a folder");
    if installer.exists() {
        std::os::unix::fs::symlink(installer, own.join("environments").join("installer")).expect("a link");
    }
    sandbox.set("NAPT_CACHE_DIR", own.to_str().expect("UTF-8"));
}

/// An address that nobody listens on, for a server that others must know beforehand.
pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn spawn(sandbox: &Sandbox, listen: &str, flags: &[String]) -> (Child, String, Value) {
    let mut command: Command = sandbox.command(&["node", "--message-format", "json", "--listen", listen]);
    let log = std::fs::File::options().create(true).append(true).open(sandbox.home().join("node.log")).expect("a log");
    let mut process = command.args(flags).stdout(Stdio::piped()).stderr(log).spawn().expect("napt starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let mut event: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        let log = std::fs::read_to_string(sandbox.home().join("node.log")).unwrap_or_default();
        panic!("the node did not start: {line}\n{log}")
    });
    let url = event["data"]["url"].as_str().expect("a url").to_owned();
    (process, url, event["data"].take())
}

impl TestNode {
    /// A node with these flags.
    pub fn start(flags: &[&str]) -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("NAPT_CACHE_DIR", &cache());
        Self::start_in(sandbox, flags)
    }

    /// A node in a prepared sandbox.
    pub fn start_in(sandbox: Sandbox, flags: &[&str]) -> Self {
        Self::start_at(sandbox, "127.0.0.1:0", flags)
    }

    /// A node in a prepared sandbox, at a chosen address.
    pub fn start_at(mut sandbox: Sandbox, listen: &str, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (process, url, facts) = spawn(&sandbox, listen, &flags);
        sandbox.set("NAPT_NODE", &url);
        TestNode { sandbox, url, facts, flags, process }
    }

    /// Two nodes that are each other's peers; the first one's operator is a user of both.
    pub fn pair() -> (Self, Self) {
        Self::pair_with(&[])
    }

    /// The same, with flags for both.
    pub fn pair_with(flags: &[&str]) -> (Self, Self) {
        let (mut first, mut second) = (Sandbox::new(), Sandbox::new());
        first.set("NAPT_CACHE_DIR", &cache());
        second.set("NAPT_CACHE_DIR", &cache());
        let later = free_address();
        let first = Self::start_in(first, &[&["--peer", &format!("http://{later}")], flags].concat());
        let own = ["--peer", &first.url, "--user", &first.operator()];
        let second = Self::start_at(second, &later, &[&own, flags].concat());
        (first, second)
    }

    /// The operator's key.
    pub fn key(&self) -> SecretKey {
        let folder = self.sandbox.home().join("napt").join("config");
        CredentialStore::new(folder).key_or_create().expect("the key that the node has made")
    }

    /// The operator: `user:` and a public key.
    pub fn operator(&self) -> String {
        self.key().public().user_id()
    }

    /// The node's own key.
    pub fn node_key(&self) -> SecretKey {
        CredentialStore::new(self.data()).key_or_create().expect("the key that the node has made")
    }

    /// A token of the operator's.
    pub fn token(&self, seconds: u64) -> String {
        let wanted = NewToken { name: "test".to_owned(), expires_in: seconds };
        let user = self.user();
        user.runtime.block_on(user.client.new_token(&wanted)).expect("a token").token
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.sandbox.home().join("node.log")).expect("a log")
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Runs a command of the operator's.
    pub fn napt(&self, arguments: &[&str]) -> Ran {
        self.sandbox.napt(arguments)
    }

    /// Writes a module and deploys it.
    #[track_caller]
    pub fn deploy(&self, module: &Python<'_>) -> Ran {
        module.write(&self.sandbox);
        let (_, name) = module.id.split_once(':').expect("type:name");
        self.napt(&["deploy", name, "--no-verify"]).expect(0)
    }

    /// The folders of runs that go on.
    pub fn scratch(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| -> Vec<PathBuf> {
            // A parent that ends takes its own with it.
            let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
        };
        let folders = entries(&self.data().join("scratch"));
        let is_used = |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        folders.iter().flat_map(|parent| entries(parent)).filter(is_used).collect()
    }

    /// Whether it has control groups.
    pub fn has_groups(&self) -> bool {
        !self.facts["sandbox"]["control_groups"].is_null()
    }

    /// Its operator as a client.
    pub fn user(&self) -> User {
        let client = NodeClient::new(self.url.parse().expect("a URL"), reqwest::Client::new(), self.key());
        User { runtime: Runtime::new().expect("a runtime"), client }
    }

    /// Where it keeps everything.
    pub fn data(&self) -> PathBuf {
        self.sandbox.home().join("napt").join("data").join("node")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have killed itself.
        let _ = self.process.kill();
        self.process.wait().expect("it ends");
    }

    /// Looks through its data, which must be sound; gives what is harmless. Modules are compiled in the background, whenever
    /// there is time: what that leaves when the node is killed is not among it.
    #[track_caller]
    pub fn fsck(&self) -> Vec<String> {
        let json = self.napt(&["node", "fsck", "--message-format", "json"]).expect(0).json();
        let notes = json["data"]["notes"].as_array().expect("notes").iter();
        let notes = notes.filter(|note| !note["what"].as_str().expect("a place").starts_with("modules/.compiled-"));
        notes.map(|note| note["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its own end, and gives its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.process.wait().expect("it ends").code()
    }

    /// Starts it again, on the same port and data.
    pub fn restart(&mut self) {
        let (process, url, _) = spawn(&self.sandbox, self.address(), &self.flags);
        assert_eq!(url, self.url);
        self.process = process;
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client of a node whose calls wait.
pub struct User {
    pub runtime: Runtime,
    pub client: NodeClient,
}

impl User {
    /// Starts a run.
    #[track_caller]
    pub fn start(&self, module: &str, inputs: Value) -> RunView {
        self.try_start(module, inputs).expect("accepted")
    }

    pub fn try_start(&self, module: &str, inputs: Value) -> Result<RunView, ClientError> {
        let request = RunRequest { module: module.parse().expect("an id"), inputs, deployment: None };
        self.runtime.block_on(self.client.run(&request))
    }

    /// Waits for a run's end.
    #[track_caller]
    pub fn ended(&self, id: &str) -> RunView {
        // After the last possible one: nothing comes but the end.
        self.events(id, i64::MAX as u64, true);
        self.view(id)
    }

    #[track_caller]
    pub fn view(&self, id: &str) -> RunView {
        self.runtime.block_on(self.client.run_view(id)).expect("a run")
    }

    /// Runs a module to its end.
    #[track_caller]
    pub fn run(&self, module: &str, inputs: Value) -> RunView {
        let run = self.start(module, inputs);
        self.ended(&run.id)
    }

    #[track_caller]
    pub fn tree(&self, root: &str) -> Vec<RunView> {
        self.runtime.block_on(self.client.tree(root)).expect("a tree")
    }

    #[track_caller]
    pub fn cancel(&self, id: &str) {
        self.runtime.block_on(self.client.cancel(id)).expect("asked");
    }

    /// A run's events after a number.
    #[track_caller]
    pub fn events(&self, id: &str, after: u64, follow: bool) -> Vec<RunEvent> {
        self.runtime.block_on(async {
            let events = self.client.events(id, after, follow).await.expect("events");
            events.map(|event| event.expect("an event")).collect().await
        })
    }

    /// Waits for the first line that starts with a word, and gives the rest of it.
    #[track_caller]
    pub fn line(&self, id: &str, word: &str) -> String {
        self.runtime.block_on(async {
            let mut events = Box::pin(self.client.events(id, 0, true).await.expect("events"));
            while let Some(event) = events.next().await {
                if let EventPayload::Line { text, .. } = event.expect("an event").payload
                    && let Some(rest) = text.strip_prefix(word)
                {
                    return rest.trim().to_owned();
                }
            }
            panic!("the run ended without the line `{word}`")
        })
    }

    /// All that a run has printed.
    #[track_caller]
    pub fn log(&self, id: &str) -> String {
        let lines = self.events(id, 0, false).into_iter().filter_map(|event| match event.payload {
            EventPayload::Line { text, .. } => Some(text),
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
