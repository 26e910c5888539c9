//! A real node: the binary in its own process on a free port, so that it can be killed and started again.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use napt::{
    client::NodeClient,
    identity::{CredentialStore, SecretKey},
    wire::NewToken,
};
use tokio::runtime::Runtime;

use super::{Ran, Sandbox};

/// A node of its own sandbox. It is killed when dropped.
pub struct TestNode {
    /// Its operator's home; commands in it talk to this node.
    pub sandbox: Sandbox,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Flags that it was started with, and is started with again.
    flags: Vec<String>,
    process: Child,
}

/// The folder that all tests share for Python environments: building one takes seconds.
pub fn cache() -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").to_string_lossy().into_owned()
}

/// An address that nobody listens on, for a server that others must know beforehand.
pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn spawn(sandbox: &Sandbox, listen: &str, flags: &[String]) -> (Child, String) {
    let mut command: Command = sandbox.command(&["node", "--message-format", "json", "--listen", listen]);
    let log = std::fs::File::options().create(true).append(true).open(sandbox.home().join("node.log")).expect("a log");
    let mut process = command.args(flags).stdout(Stdio::piped()).stderr(log).spawn().expect("napt starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        let log = std::fs::read_to_string(sandbox.home().join("node.log")).unwrap_or_default();
        panic!("the node did not start: {line}\n{log}")
    });
    let url = event["data"]["url"].as_str().expect("a url").to_owned();
    (process, url)
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
        let (process, url) = spawn(&sandbox, listen, &flags);
        sandbox.set("NAPT_NODE", &url);
        TestNode { sandbox, url, flags, process }
    }

    /// Two nodes that are each other's peers; the first one's operator is a user of both.
    pub fn pair() -> (Self, Self) {
        let (mut first, mut second) = (Sandbox::new(), Sandbox::new());
        first.set("NAPT_CACHE_DIR", &cache());
        second.set("NAPT_CACHE_DIR", &cache());
        let later = free_address();
        let first = Self::start_in(first, &["--peer", &format!("http://{later}")]);
        let flags = ["--peer", &first.url, "--user", &first.user()];
        let second = Self::start_at(second, &later, &flags);
        (first, second)
    }

    /// The operator's key.
    pub fn key(&self) -> SecretKey {
        let folder = self.sandbox.home().join("napt").join("config");
        CredentialStore::new(folder).key_or_create().expect("the key that the node has made")
    }

    /// The operator: `user:` and a public key.
    pub fn user(&self) -> String {
        self.key().public().user_id()
    }

    /// The node's own key.
    pub fn node_key(&self) -> SecretKey {
        CredentialStore::new(self.data()).key_or_create().expect("the key that the node has made")
    }

    /// Where the node keeps everything.
    pub fn data(&self) -> std::path::PathBuf {
        self.sandbox.home().join("napt").join("data").join("node")
    }

    /// A token of the operator's.
    pub fn token(&self, seconds: u64) -> String {
        let url = self.url.parse().expect("a URL");
        let client = NodeClient::new(url, reqwest::Client::new(), self.key());
        let wanted = NewToken { name: "test".to_owned(), expires_in: seconds };
        let made = Runtime::new().expect("a runtime").block_on(client.new_token(&wanted));
        made.expect("a token").token
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Runs a command of the operator's.
    pub fn napt(&self, arguments: &[&str]) -> Ran {
        self.sandbox.napt(arguments)
    }

    /// What the node has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.sandbox.home().join("node.log")).expect("a log")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is there");
        self.process.wait().expect("it ends");
    }

    /// Starts it again, on the same port and data.
    pub fn restart(&mut self) {
        let (process, url) = spawn(&self.sandbox, self.address(), &self.flags);
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
