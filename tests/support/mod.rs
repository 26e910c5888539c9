//! What the tests stand on: a sandboxed home for each, and real servers on free ports.

pub mod archives;
pub mod canary;
pub mod console;
pub mod dev;
pub mod faults;
pub mod gate;
pub mod git_server;
pub mod http;
pub mod index;
pub mod modules;
pub mod naptha;
pub mod node;
pub mod processes;
pub mod provider;
pub mod proxy;
pub mod python;
pub mod registry;
pub mod repository;
pub mod rust;
pub mod sdk;
pub mod site;
pub mod terminal;
pub mod websocket;

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A temporary folder with a home of its own. Nothing of the user's is seen by what runs in it.
pub struct Sandbox {
    root: TempDir,
    env: Vec<(String, String)>,
    /// Who its commands are run by, when that is somebody else, and the program that they can run.
    user: Option<(u32, PathBuf)>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

/// Asks again and again until there is an answer; fails the test after a minute.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed().as_secs() < 60, "waited for {what} in vain");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

impl Sandbox {
    pub fn new() -> Self {
        let root = TempDir::with_prefix("napt-test-").expect("a temporary folder");
        std::fs::create_dir_all(root.path().join("home")).expect("a home");
        std::fs::create_dir_all(root.path().join("work")).expect("a work folder");
        Sandbox { root, env: Vec::new(), user: None }
    }

    /// Sets an environment variable for all commands.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Gives it away: from now on its commands are this user's, who runs this copy of `napt`. Only root can.
    pub fn give_to(&mut self, user: u32, napt: &Path) {
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            std::os::unix::fs::lchown(&folder, Some(user), Some(user)).expect("root");
            if folder.is_dir() && !folder.is_symlink() {
                folders
                    .extend(std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()));
            }
        }
        self.user = Some((user, napt.to_owned()));
    }

    /// The folder that commands are called in.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// `NAPT_HOME`.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The `napt` binary with this sandbox's environment and nothing else of the caller's but what tools need.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let own = self.user.as_ref().map(|(_, napt)| napt.as_path());
        let mut command = Command::new(own.unwrap_or(Path::new(env!("CARGO_BIN_EXE_napt"))));
        command.args(arguments).current_dir(self.work()).env_clear().stdin(Stdio::null());
        for (name, value) in std::env::vars_os() {
            let kept = name.to_str().is_some_and(|name| {
                name == "PATH"
                    || name == "LANG"
                    || name.starts_with("UV_")
                    || name.starts_with("PIP_")
                    || name.starts_with("SSL_CERT_")
            });
            if kept {
                command.env(name, value);
            }
        }
        command.env("HOME", self.home()).env("NAPT_HOME", self.home().join("napt"));
        if let Some(rustup) = rust::rustup_home() {
            command.env("RUSTUP_HOME", rustup);
        }
        command.env(canary::VARIABLE.0, canary::VARIABLE.1);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some((user, _)) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs `napt` to its end.
    pub fn napt(&self, arguments: &[&str]) -> Ran {
        self.run(&mut self.command(arguments))
    }

    /// Runs a command of this sandbox to its end.
    pub fn run(&self, command: &mut Command) -> Ran {
        let ran = Ran::of(command.output().expect("it starts"));
        // Only `napt token` is there to show one.
        if command.get_args().next().is_none_or(|verb| verb != "token") {
            for printed in [&ran.stdout, &ran.stderr] {
                let leak = canary::leak(printed.as_bytes(), &canary::secrets(&self.home(), &self.env));
                assert_eq!(leak, None, "{command:?} printed a secret");
            }
        }
        ran
    }

    /// Runs `napt` with nobody to read its stdout.
    pub fn napt_into_nothing(&self, arguments: &[&str]) -> Ran {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = self.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().expect("napt starts");
        Ran::of(child.wait_with_output().expect("it ends"))
    }

    /// Writes a file below the work folder.
    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, text).expect("a file");
        if let Some((user, _)) = self.user {
            for path in path.ancestors().take_while(|path| **path != self.work()) {
                std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root");
            }
        }
        path
    }
}

impl Drop for Sandbox {
    /// No secret is in what was logged, packed or stored here.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let secrets = canary::secrets(&self.home(), &self.env);
        let mut files = canary::files(&self.work(), &[".napt"]);
        let home = self.home();
        files.extend(["node.log", "registry.log"].map(|name| home.join(name)));
        files.extend(["node.sqlite", "node.sqlite-wal"].map(|name| home.join("napt/data/node").join(name)));
        files.extend(canary::files(&home.join("napt/data/node/archives"), &[".napt"]));
        files.iter().for_each(|path| canary::check_file(path, &secrets));
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the exit code is `code`, showing all output.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        self.expect_ref(code);
        self
    }

    /// The same, of one that is looked at further.
    #[track_caller]
    pub fn expect_ref(&self, code: i32) {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Runs git in a folder, as somebody whose settings play no part.
pub fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
