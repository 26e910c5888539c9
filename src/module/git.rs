//! Where in git a module is: a repository, what of it, and once that is known, the commit.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::report::{Fault, Kind};

/// What of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GitReference {
    /// What the repository itself says, its `HEAD`.
    #[default]
    Default,
    /// A tag.
    Tag(String),
    /// The newest commit of a branch.
    Branch(String),
    /// A tag, a branch or a commit: the first of these that there is.
    Rev(String),
}

/// A repository and what of it is meant. As text it is `URL`, `URL?tag=v0.1`, `URL?tag=v0.1#COMMIT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitSource {
    url: String,
    /// What of it.
    pub reference: GitReference,
    /// What that was, once it is known.
    pub commit: Option<String>,
}

/// Longest URL and reference.
const MAX_LENGTH: usize = 1000;

/// Why something is no place in git.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitSourceError {
    /// No URL at all.
    #[error("`{0}` is not the URL of a git repository")]
    Url(String),
    /// The content of a URL that names it by digest, with no history.
    #[error("`{0}` is on IPFS, which napt does not fetch modules from")]
    Ipfs(String),
    /// A scheme that git does not have, or that is not safe.
    #[error("`{scheme}` is not a way to fetch `{url}`")]
    Scheme {
        /// The scheme.
        scheme: String,
        /// The URL.
        url: String,
    },
    /// A password or token in the URL, which would end in lock files and messages.
    #[error("the URL of `{0}` has a credential in it")]
    Credential(String),
    /// No name of a tag, branch or commit.
    #[error("`{0}` is not the name of a tag, a branch or a commit")]
    Reference(String),
    /// Several references.
    #[error("`{}` and `{}` cannot both be given", .0[0], .0[1])]
    Several([&'static str; 2]),
    /// A reference without a repository.
    #[error("`{0}` says what of a repository is meant, but there is no `git` with its URL")]
    NoUrl(&'static str),
}

impl Fault for GitSourceError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            GitSourceError::Url(_) => "write for example `https://github.com/owner/repository`".to_owned(),
            GitSourceError::Ipfs(_) => {
                "give the git repository of the module, or publish its folder to a registry with `napt publish`"
                    .to_owned()
            }
            GitSourceError::Scheme { .. } => "use `https://`, `ssh://`, `http://` or `file://`".to_owned(),
            GitSourceError::Credential(_) => {
                "take it out and give it to git's credential helper, or use `ssh://`".to_owned()
            }
            GitSourceError::Reference(_) => "write for example `v0.1`, `main` or the digits of a commit".to_owned(),
            GitSourceError::Several(_) => "keep one of them".to_owned(),
            GitSourceError::NoUrl(_) => "add `git` with the repository's URL".to_owned(),
        })
    }
}

impl GitReference {
    /// The key of a manifest, and the option of a command; nothing for the default.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            GitReference::Default => None,
            GitReference::Tag(_) => Some("tag"),
            GitReference::Branch(_) => Some("branch"),
            GitReference::Rev(_) => Some("rev"),
        }
    }

    /// Its name; nothing for the default.
    pub fn name(&self) -> Option<&str> {
        match self {
            GitReference::Default => None,
            GitReference::Tag(name) | GitReference::Branch(name) | GitReference::Rev(name) => Some(name),
        }
    }

    /// What is meant by the keys of a manifest or the options of a command, of which one at most may be there.
    pub fn of(tag: Option<&str>, branch: Option<&str>, rev: Option<&str>) -> Result<Self, GitSourceError> {
        let given = [("tag", tag), ("branch", branch), ("rev", rev)];
        let mut given = given.into_iter().filter_map(|(key, name)| Some((key, name?)));
        let Some((key, name)) = given.next() else { return Ok(GitReference::Default) };
        if let Some((other, _)) = given.next() {
            return Err(GitSourceError::Several([key, other]));
        }
        Self::named(key, name)
    }

    fn named(key: &str, name: &str) -> Result<Self, GitSourceError> {
        // As `git check-ref-format`; nothing that git could take for an option or a range.
        let is_name = !name.is_empty()
            && name.len() <= MAX_LENGTH
            && !name.starts_with(['-', '/', '.'])
            && !name.ends_with(['/', '.'])
            && !name.contains("..")
            && !name.contains("@{")
            && !name.contains("//")
            && !name.chars().any(|c| c.is_control() || " ~^:?*[\\#&'\"<>|".contains(c));
        if !is_name {
            return Err(GitSourceError::Reference(name.chars().take(100).collect()));
        }
        let name = name.to_owned();
        Ok(match key {
            "tag" => GitReference::Tag(name),
            "branch" => GitReference::Branch(name),
            _ => GitReference::Rev(name),
        })
    }
}

impl GitSource {
    /// A repository's URL and what of it is meant.
    pub fn new(url: &str, reference: GitReference) -> Result<Self, GitSourceError> {
        Ok(GitSource { url: checked(url)?, reference, commit: None })
    }

    /// As Naptha has it: `module_url` with `module_version`, which is a tag, a branch or a commit.
    pub fn of_naptha(url: &str, version: Option<&str>) -> Result<Self, GitSourceError> {
        let reference = match version.map(str::trim).filter(|version| !version.is_empty()) {
            Some(version) => GitReference::named("rev", version)?,
            None => GitReference::Default,
        };
        Self::new(url, reference)
    }

    /// The repository's URL, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is fetched: `https`, `http`, `ssh` or `file`.
    pub fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The same at a commit.
    #[must_use]
    pub fn at(&self, commit: &str) -> Self {
        GitSource { commit: Some(commit.to_owned()), ..self.clone() }
    }

    /// The same wherever it is now.
    #[must_use]
    pub fn unpinned(&self) -> Self {
        GitSource { commit: None, ..self.clone() }
    }

    /// The first digits of the commit, for people.
    pub fn short_commit(&self) -> Option<&str> {
        self.commit.as_deref().map(|commit| commit.get(..8).unwrap_or(commit))
    }
}

/// The URL as it is kept: without a `git+` before it and a slash or `#…` behind it.
fn checked(text: &str) -> Result<String, GitSourceError> {
    let text = text.trim();
    let text = text.strip_prefix("git+").unwrap_or(text);
    if text.starts_with("ipfs://") {
        return Err(GitSourceError::Ipfs(text.chars().take(100).collect()));
    }
    let unreadable = || GitSourceError::Url(crate::secrets::redact(&text.chars().take(100).collect::<String>()));
    if text.len() > MAX_LENGTH || text.contains(char::is_control) {
        return Err(unreadable());
    }
    let mut url = Url::parse(text).map_err(|_| unreadable())?;
    url.set_fragment(None);
    let is_http = matches!(url.scheme(), "http" | "https");
    let has_credential = url.password().is_some() || (is_http && !url.username().is_empty());
    let shown = || {
        let mut url = url.clone();
        // A URL that can have no credentials has none to take away.
        let _ = (url.set_username(""), url.set_password(None));
        url.to_string()
    };
    if !matches!(url.scheme(), "https" | "http" | "ssh" | "file") {
        return Err(GitSourceError::Scheme { scheme: url.scheme().to_owned(), url: shown() });
    }
    if has_credential {
        return Err(GitSourceError::Credential(shown()));
    }
    // `ssh://-oProxyCommand=…` would be an option.
    let is_placed = match url.scheme() {
        "file" => url.path().len() > 1,
        _ => url.host_str().is_some_and(|host| !host.starts_with('-')) && !url.username().starts_with('-'),
    };
    if !is_placed || url.query().is_some() {
        return Err(GitSourceError::Url(shown()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl fmt::Display for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        if let (Some(key), Some(name)) = (self.reference.key(), self.reference.name()) {
            write!(f, "?{key}={name}")?;
        }
        self.commit.as_ref().map_or(Ok(()), |commit| write!(f, "#{commit}"))
    }
}

impl FromStr for GitSource {
    type Err = GitSourceError;

    fn from_str(text: &str) -> Result<Self, GitSourceError> {
        let (place, commit) = match text.split_once('#') {
            Some((place, commit)) => (place, Some(commit)),
            None => (text, None),
        };
        let (url, reference) = match place.split_once('?') {
            Some((url, query)) => {
                let (key, name) = query
                    .split_once('=')
                    .filter(|(key, _)| matches!(*key, "tag" | "branch" | "rev"))
                    .ok_or_else(|| GitSourceError::Reference(query.chars().take(100).collect()))?;
                (url, GitReference::named(key, name)?)
            }
            None => (place, GitReference::Default),
        };
        let mut source = GitSource::new(url, reference)?;
        if let Some(commit) = commit {
            if !is_commit(commit) {
                return Err(GitSourceError::Reference(commit.chars().take(100).collect()));
            }
            source.commit = Some(commit.to_owned());
        }
        Ok(source)
    }
}

/// Whether a text is the full name of a commit, by SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Serialize for GitSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GitSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for text in [
            "https://example.org/a/b",
            "https://example.org/a/b.git?tag=v0.1",
            "ssh://git@example.org/a/b?branch=main/x",
            &format!("file:///srv/a?rev=v0.16#{commit}"),
        ] {
            let source: GitSource = text.parse().expect(text);
            assert_eq!(source.to_string(), *text);
        }
        let written = GitSource::new(" git+https://example.org/a/b/#main ", GitReference::Default).expect("a URL");
        assert_eq!(written.to_string(), "https://example.org/a/b");
        let pinned = written.at(commit);
        assert_eq!((pinned.short_commit(), pinned.unpinned()), (Some("01234567"), written));
    }

    #[test]
    fn what_is_not_a_place_in_git_says_why_and_shows_no_secret() {
        let told = |text: &str| GitSource::new(text, GitReference::Default).expect_err(text).to_string();
        for (text, reason) in [
            ("ipfs://bafybeigdyrzt", "is on IPFS"),
            ("git://example.org/a", "`git` is not a way"),
            ("ext::sh -c touch% /tmp/x", "is not"),
            ("--upload-pack=touch", "is not the URL"),
            ("ssh://-oProxyCommand=touch/a", "is not the URL"),
            ("ssh://-x@example.org/a", "is not the URL"),
            ("https://example.org/a?x=1", "is not the URL"),
            ("https://ghp_abcdefghijklmnopqrstuvwxyz0123456789@example.org/a", "has a credential"),
            ("https://a:secret@example.org/a", "has a credential"),
            ("ssh://git:secret@example.org/a", "has a credential"),
            ("git@github.com:a/b.git", "is not the URL"),
            ("file:///", "is not the URL"),
        ] {
            let message = told(text);
            assert!(message.contains(reason), "{text}: {message}");
            assert!(!message.contains("secret") && !message.contains("ghp_"), "{message}");
        }
        for name in ["", "-x", "a..b", "a b", "a:b", "x^", "a~1", "@{u}", "/a", "a\nb", "a?b", "a#b"] {
            assert!(GitReference::of(Some(name), None, None).is_err(), "{name}");
        }
        let several = GitReference::of(Some("a"), None, Some("b")).expect_err("two");
        assert_eq!(several.to_string(), "`tag` and `rev` cannot both be given");
    }
}
