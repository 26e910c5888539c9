//! A real node: the binary in its own process on a free port, so that it can be killed and started again.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

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
    pub fn start_in(mut sandbox: Sandbox, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (process, url) = spawn(&sandbox, "127.0.0.1:0", &flags);
        sandbox.set("NAPT_NODE", &url);
        TestNode { sandbox, url, flags, process }
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
