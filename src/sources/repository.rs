//! Repositories as they are fetched: by the program `git`, which knows the user's keys, proxies and credential helpers.
//! It gets what is asked for and nothing else: no hooks, no submodules, no questions, and bounds on time and size.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use super::SourceError;
use crate::{
    module::{GitReference, GitSource, is_commit},
    registries::Git,
};

/// Bytes of the list of a repository's references.
const MAX_LIST: u64 = 16 * 1024 * 1024;
/// Bytes of a message that are read.
const MAX_MESSAGE: u64 = 64 * 1024;
/// Lines of a message that are shown.
const SHOWN_LINES: usize = 8;

/// A bare repository that holds what was fetched of one URL.
#[derive(Debug)]
pub(super) struct Repository<'a> {
    git: &'a Git,
    url: &'a str,
    pub(super) folder: PathBuf,
}

/// A reference that a repository has, and the commit that it means.
#[derive(Debug)]
struct Reference {
    name: String,
    commit: String,
}

impl<'a> Repository<'a> {
    /// The one in `folder`, made when it is not there.
    pub(super) fn open(git: &'a Git, source: &'a GitSource, folder: PathBuf) -> Result<Self, SourceError> {
        let repository = Repository { git, url: source.url(), folder };
        if git2::Repository::open_bare(&repository.folder).is_err() {
            let mut options = git2::RepositoryInitOptions::new();
            // No templates, so no hooks.
            options.bare(true).external_template(false).mkpath(true);
            git2::Repository::init_opts(&repository.folder, &options).map_err(|error| repository.unreadable(&error))?;
        }
        Ok(repository)
    }

    fn unreadable(&self, error: &git2::Error) -> SourceError {
        SourceError::Unreadable { url: self.url.to_owned(), reason: error.message().to_owned() }
    }

    /// Whether a commit and all its files are here.
    pub(super) fn has(&self, commit: &str) -> bool {
        let found = || -> Result<(), git2::Error> {
            let repository = git2::Repository::open_bare(&self.folder)?;
            repository.find_commit(git2::Oid::from_str(commit)?)?.tree().map(drop)
        };
        found().is_ok()
    }

    /// The commit that a source means, fetched with all its files.
    pub(super) async fn commit(&self, source: &GitSource) -> Result<String, SourceError> {
        if let Some(commit) = &source.commit {
            self.fetch_commit(commit, source).await?;
            return Ok(commit.clone());
        }
        let all = self.references().await?;
        let of = |prefix: &str, name: &str| {
            let (plain, peeled) = (format!("{prefix}{name}"), format!("{prefix}{name}^{{}}"));
            // An annotated tag is listed twice: as an object of its own, and as what it is of.
            let commit = all.iter().find(|it| it.name == peeled).or_else(|| all.iter().find(|it| it.name == plain))?;
            Some(Reference { name: plain, commit: commit.commit.clone() })
        };
        let known = |prefix: &str| {
            let names = all.iter().filter_map(|it| it.name.strip_prefix(prefix)).filter(|name| !name.ends_with("^{}"));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let missing = |what, name: &str, known| {
            Err(SourceError::NoReference { url: self.url.to_owned(), what, name: name.to_owned(), known })
        };
        let (heads, tags) = ("refs/heads/", "refs/tags/");
        let found = match &source.reference {
            GitReference::Default => match all.iter().find(|it| it.name == "HEAD") {
                Some(head) => Reference { name: "HEAD".to_owned(), commit: head.commit.clone() },
                None => return Err(SourceError::Empty(self.url.to_owned())),
            },
            GitReference::Tag(name) => match of(tags, name) {
                Some(found) => found,
                None => return missing("tag", name, known(tags)),
            },
            GitReference::Branch(name) => match of(heads, name) {
                Some(found) => found,
                None => return missing("branch", name, known(heads)),
            },
            GitReference::Rev(name) => match of(tags, name).or_else(|| of(heads, name)) {
                Some(found) => found,
                None => return self.revision(name, source, [known(tags), known(heads)].concat()).await,
            },
        };
        if !self.has(&found.commit) {
            self.fetch(&found.name).await?;
        }
        // It may have moved in between.
        if self.has(&found.commit) { Ok(found.commit) } else { missing("commit", &found.commit, Vec::new()) }
    }

    /// A commit by its digits, all or the first of them.
    async fn revision(&self, name: &str, source: &GitSource, known: Vec<String>) -> Result<String, SourceError> {
        let missing = || SourceError::NoReference {
            url: self.url.to_owned(),
            what: "tag, branch or commit",
            name: name.to_owned(),
            known,
        };
        let digits = name.to_lowercase();
        if is_commit(&digits) {
            self.fetch_commit(&digits, source).await?;
            return Ok(digits);
        }
        if digits.len() < 7 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        self.fetch_all().await?;
        let repository = git2::Repository::open_bare(&self.folder).map_err(|error| self.unreadable(&error))?;
        let found = repository.revparse_single(&digits).and_then(|object| object.peel_to_commit());
        found.map(|commit| commit.id().to_string()).map_err(|_| missing())
    }

    /// Fetches one commit: alone where the server gives it, else with what it is part of.
    async fn fetch_commit(&self, commit: &str, source: &GitSource) -> Result<(), SourceError> {
        if self.has(commit) {
            return Ok(());
        }
        let alone = self.fetch(commit).await;
        if self.has(commit) {
            return Ok(());
        }
        match alone {
            // Not every server gives commits by name.
            Ok(()) | Err(SourceError::Failed { .. } | SourceError::Missing { .. }) => self.fetch_all().await?,
            Err(error) => return Err(error),
        }
        if self.has(commit) {
            return Ok(());
        }
        Err(SourceError::NoReference {
            url: source.url().to_owned(),
            what: "commit",
            name: commit.to_owned(),
            known: Vec::new(),
        })
    }

    /// What the repository has, by name.
    async fn references(&self) -> Result<Vec<Reference>, SourceError> {
        let output = self.run(&["ls-remote", "--quiet", "--", self.url]).await?;
        let text = String::from_utf8_lossy(&output);
        let line = |line: &str| {
            let (commit, name) = line.split_once('\t')?;
            is_commit(commit).then(|| Reference { name: name.to_owned(), commit: commit.to_owned() })
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// Fetches one thing by name, without its history where the server can do that.
    async fn fetch(&self, name: &str) -> Result<(), SourceError> {
        let shallow = self.fetch_with(&["--depth=1"], &[name]).await;
        match shallow {
            Err(SourceError::Failed { output, .. }) if output.contains("shallow") => {
                self.fetch_with(&[], &[name]).await
            }
            result => result,
        }
    }

    async fn fetch_all(&self) -> Result<(), SourceError> {
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let is_shallow = self.folder.join("shallow").is_file();
        self.fetch_with(if is_shallow { &["--unshallow"] } else { &[] }, &all).await
    }

    async fn fetch_with(&self, options: &[&str], what: &[&str]) -> Result<(), SourceError> {
        let fixed = ["fetch", "--quiet", "--no-tags", "--force", "--no-recurse-submodules", "--no-write-fetch-head"];
        let arguments = [&fixed, options, &["--", self.url], what].concat();
        self.run(&arguments).await.map(drop)
    }

    /// Runs git to its end and gives what it wrote.
    async fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, SourceError> {
        let mut child = match self.command(arguments).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SourceError::NoGit),
            Err(error) => return Err(error.into()),
        };
        let (mut written, mut said) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let (written, said) =
                tokio::join!(read(stdout, MAX_LIST, &mut written), read(stderr, MAX_MESSAGE, &mut said));
            written?;
            said?;
            child.wait().await
        };
        let too_large = |what, limit| SourceError::TooLarge { url: self.url.to_owned(), what, limit };
        let ended = tokio::select! {
            status = all => Ok(status?),
            () = outgrown(&self.folder, self.git.max_bytes) => Err(too_large("what git fetches", self.git.max_bytes)),
            () = tokio::time::sleep(self.git.timeout) => {
                Err(SourceError::Slow { url: self.url.to_owned(), after: self.git.timeout })
            }
        };
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                child.kill().await?;
                // What it has left would be in the way of all that is fetched from there later.
                fs_err::tokio::remove_dir_all(&self.folder).await?;
                return Err(error);
            }
        };
        if written.len() as u64 >= MAX_LIST {
            return Err(too_large("the list of what there is", MAX_LIST));
        }
        if status.success() { Ok(written) } else { Err(self.failed(&String::from_utf8_lossy(&said))) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        // Before the settings below, so that they hold.
        if let Some(environment) = &self.git.environment {
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        }
        let settings = [
            "protocol.allow=never",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.recurseSubmodules=false",
            "credential.interactive=false",
        ];
        // A server's operator says where modules may come from, not whoever answers there.
        if self.git.environment.is_some() {
            command.arg("-c").arg("http.followRedirects=false");
        }
        let schemes = self.git.schemes.iter().map(|scheme| format!("protocol.{scheme}.allow=always"));
        for setting in settings.into_iter().map(str::to_owned).chain(schemes) {
            command.arg("-c").arg(setting);
        }
        // What a hook or an alias of the caller's has set up is about another repository.
        for variable in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_NAMESPACE",
            "GIT_COMMON_DIR",
            "NAPT_TOKEN",
            "NAPT_PROVIDER_KEY",
        ] {
            command.env_remove(variable);
        }
        command
            .arg("--git-dir")
            .arg(&self.folder)
            .args(arguments)
            .current_dir(&self.folder)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env("GCM_INTERACTIVE", "never")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What git's words mean.
    fn failed(&self, said: &str) -> SourceError {
        let url = self.url.to_owned();
        let lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        let output =
            crate::secrets::redact(&last.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>());
        let output = if output.is_empty() { "it said nothing".to_owned() } else { output };
        let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
        if says(&[
            "could not read Username",
            "could not read Password",
            "unable to get password",
            "Authentication failed",
            "Permission denied",
            "terminal prompts disabled",
            "error: 401",
            "error: 403",
        ]) {
            SourceError::Private { url, output }
        } else if says(&["does not appear to be a git repository", "not found", "does not exist", "No such file"]) {
            SourceError::Missing { url, output }
        } else if says(&["Could not resolve host", "Failed to connect", "Connection", "timed out", "unable to connect"])
        {
            SourceError::Unreachable { url, output }
        } else {
            SourceError::Failed { url, output }
        }
    }
}

/// Reads as much as is allowed, and throws the rest away.
async fn read(from: Option<impl AsyncRead + Unpin>, limit: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    (&mut from).take(limit).read_to_end(into).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await.map(drop)
}

/// Ends when a folder has more than so many bytes.
async fn outgrown(folder: &Path, limit: u64) {
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        let folder = folder.to_owned();
        if tokio::task::spawn_blocking(move || size(&folder)).await.unwrap_or_default() > limit {
            return;
        }
    }
}

/// Bytes of all files in a folder; what comes and goes is as it is seen.
fn size(folder: &Path) -> u64 {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
