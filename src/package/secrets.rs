//! What must never be published: files of secrets, and secrets in files. What is found is told by its place and its
//! kind; the secret itself is never kept or shown.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader},
    path::Path,
};

use crate::secrets::{self, Found, WINDOW};

/// What a line says on which there may be a secret; its reason follows.
const MARK: &str = "napt: allow-secret";

/// A secret in a project's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Finding {
    /// The file, below the project's root.
    pub path: String,
    /// The line, from 1; nothing when it is the whole file.
    pub line: Option<u64>,
    /// What it is, with its article.
    pub what: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "`{}:{line}`: {}", self.path, self.what),
            None => write!(f, "`{}`: {}", self.path, self.what),
        }
    }
}

/// A secret that is packaged nevertheless, because somebody said so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct AllowedSecret {
    /// The secret.
    #[serde(flatten)]
    pub finding: Finding,
    /// Who allows it: the reason on its line, or the manifest.
    pub because: String,
}

impl fmt::Display for AllowedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (allowed: {})", self.finding, self.because)
    }
}

/// What becomes of the secrets of one file: those that nobody allows stay in `findings`. Such files are rare, so they may
/// be read once more.
pub(super) fn allow(
    findings: &mut Vec<Finding>,
    on_disk: &Path,
    allowed_files: &[String],
) -> std::io::Result<Vec<AllowedSecret>> {
    let Some(path) = findings.first().map(|finding| finding.path.clone()) else { return Ok(Vec::new()) };
    if allowed_files.contains(&path) {
        let because = "`allow-secrets` in `napt.toml`".to_owned();
        let allowed = findings.drain(..).map(|finding| AllowedSecret { finding, because: because.clone() });
        return Ok(allowed.collect());
    }
    let lines: Vec<u64> = findings.iter().filter_map(|finding| finding.line).collect();
    let reasons = reasons(&mut BufReader::new(fs_err::File::open(on_disk)?), &lines)?;
    let mut allowed = Vec::new();
    findings.retain(|finding| match finding.line.and_then(|line| reasons.get(&line)) {
        Some(reason) => {
            allowed.push(AllowedSecret { finding: finding.clone(), because: reason.clone() });
            false
        }
        None => true,
    });
    Ok(allowed)
}

/// The reasons that some lines give, by line; a mark without one counts for nothing.
fn reasons(text: &mut dyn BufRead, lines: &[u64]) -> std::io::Result<BTreeMap<u64, String>> {
    let mut reasons = BTreeMap::new();
    let last = lines.iter().max().copied().unwrap_or_default();
    let mut line = Vec::new();
    for number in 1..=last {
        line.clear();
        text.read_until(b'\n', &mut line)?;
        if !lines.contains(&number) {
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        let Some((_, reason)) = text.split_once(MARK) else { continue };
        let reason = reason.trim().trim_end_matches("*/").trim_end_matches("-->");
        let reason =
            reason.trim_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '-' | '(' | ')' | '"' | '\''));
        // The reason is shown; a secret in it would be too.
        if !reason.is_empty() && secrets::find(reason).is_empty() {
            reasons.insert(number, reason.to_owned());
        }
    }
    Ok(reasons)
}

/// A file of nothing but a key is not longer.
const MAX_BARE_KEY: usize = 128;

/// Why a file may not be published whatever is in it, judged by its name.
fn by_name(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let is_env = match name.strip_prefix(".env") {
        Some("") => true,
        Some(rest) => rest.starts_with('.') && !matches!(rest, ".example" | ".sample" | ".template"),
        None => false,
    };
    match name.as_str() {
        _ if is_env => Some("a file of secrets"),
        "identity.key" => Some("a private key"),
        _ => None,
    }
}

/// Looks for secrets in one file, chunk by chunk.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    path: &'a str,
    findings: Vec<Finding>,
    /// What was fed but may continue in the next chunk, and two bytes before it.
    kept: Vec<u8>,
    /// Where in `kept` to go on.
    from: usize,
    line: u64,
    /// The start of the file, while it may be nothing but a key.
    bare: Option<Vec<u8>>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        let suffix = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        Scanner {
            path,
            findings: by_name(path)
                .map(|what| Finding { path: path.to_owned(), line: None, what })
                .into_iter()
                .collect(),
            kept: Vec::new(),
            from: 0,
            line: 1,
            bare: matches!(suffix.as_str(), "pem" | "key").then(Vec::new),
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if let Some(bare) = &mut self.bare {
            bare.extend_from_slice(&chunk[..chunk.len().min(MAX_BARE_KEY + 1 - bare.len())]);
        }
        self.kept.extend_from_slice(chunk);
        self.scan(self.kept.len().saturating_sub(WINDOW));
    }

    pub(super) fn finish(mut self) -> Vec<Finding> {
        self.scan(self.kept.len());
        // Naptha's SDK writes a private key as 64 hex digits.
        if self.bare.is_some_and(|bare| {
            let key = bare.trim_ascii();
            key.len() == 64 && key.iter().all(u8::is_ascii_hexdigit)
        }) {
            self.findings.push(Finding { path: self.path.to_owned(), line: Some(1), what: "a private key" });
        }
        self.findings.dedup();
        self.findings
    }

    /// Finds what starts before `end`, then forgets what is before it.
    fn scan(&mut self, end: usize) {
        if end <= self.from {
            return;
        }
        let mut counted = self.from;
        for Found { kind, range } in secrets::find_starting(&self.kept, self.from..end) {
            // It may be after `end`, but in the line that its prefix is in.
            let start = range.start.min(end);
            self.line += newlines(&self.kept[counted..start]);
            counted = start;
            self.findings.push(Finding { path: self.path.to_owned(), line: Some(self.line), what: kind });
        }
        self.line += newlines(&self.kept[counted..end]);
        let before = end.saturating_sub(2);
        self.kept.drain(..before);
        self.from = end - before;
    }
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(path: &str, text: &str, chunk: usize) -> Vec<Finding> {
        let mut scanner = Scanner::new(path);
        text.as_bytes().chunks(chunk).for_each(|chunk| scanner.feed(chunk));
        scanner.finish()
    }

    fn lines(text: &str) -> Vec<(u64, &'static str)> {
        let whole: Vec<_> = scan("a.py", text, usize::MAX).into_iter().map(|f| (f.line.unwrap_or(0), f.what)).collect();
        for chunk in [1, 7, 64] {
            let parts: Vec<_> = scan("a.py", text, chunk).into_iter().map(|f| (f.line.unwrap_or(0), f.what)).collect();
            assert_eq!(parts, whole, "in chunks of {chunk}");
        }
        whole
    }

    // Put together here, so that no scanner takes this file for one with secrets.
    fn key(prefix: &str, tail: &str) -> String {
        format!("{prefix}{tail}")
    }

    #[test]
    fn every_kind_is_found_in_its_line_however_the_file_is_read() {
        let padding = "# nothing here\n".repeat(40);
        for (secret, what) in [
            (key("sk-", &"a1".repeat(12)), "an API key"),
            (key("PRIVATE_KEY=", &"5f".repeat(32)), "a private key"),
            (key("-----BEGIN EC PRIVATE", " KEY-----\nMHcCAQEE"), "a private key"),
        ] {
            assert_eq!(lines(&format!("{padding}KEY = \"{secret}\"\n{padding}")), [(41, what)]);
        }
        assert_eq!(lines(&key("ta", "sk-1234567890abcdef1234567890")), []);
    }

    #[test]
    fn a_key_as_the_user_of_a_url_is_found_beside_its_password() {
        let user = key("ghp_", &"a1B2c3".repeat(6));
        let text = format!("# nothing\nurl = \"https://{user}:x-oauth-basic@github.com/\"\n");
        for chunk in [1, 7, usize::MAX] {
            let mut found: Vec<_> = scan("a.py", &text, chunk).into_iter().map(|f| (f.line, f.what)).collect();
            found.sort_unstable();
            assert_eq!(found, [(Some(2), "a GitHub token"), (Some(2), "a password in a URL")], "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_line_allows_its_own_secret_when_it_gives_a_reason() {
        let secret = key("sk-", &"a1".repeat(12));
        let reason = |line: &str| {
            let text = format!("# napt: allow-secret: not for the next line\n{line}\n# napt: allow-secret: too late\n");
            let found = reasons(&mut text.as_bytes(), &[2]).expect("text");
            found.into_values().next()
        };
        for (line, expected) in [
            (format!("KEY = '{secret}'  # napt: allow-secret: opens nothing"), Some("opens nothing")),
            // What follows the mark is the reason, which is shown: no secret may be in it.
            (format!("/* napt: allow-secret (of a test) */ \"{secret}\""), None),
            (format!("<!-- {secret} napt: allow-secret an example -->"), Some("an example")),
            (format!("KEY = '{secret}'  # napt: allow-secret"), None),
            (format!("KEY = '{secret}'  # napt: allow-secret: "), None),
            (format!("KEY = '{secret}'"), None),
        ] {
            assert_eq!(reason(&line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn files_of_secrets_are_known_by_name_or_by_being_only_a_key() {
        let of = |path: &str, text: &str| scan(path, text, 50).into_iter().map(|f| f.to_string()).collect::<Vec<_>>();
        assert_eq!(of("conf/.env", "A=1"), ["`conf/.env`: a file of secrets"]);
        assert_eq!(of(".env.local", ""), ["`.env.local`: a file of secrets"]);
        assert_eq!(of("identity.key", "x"), ["`identity.key`: a private key"]);
        assert_eq!(of("me.pem", &format!("{}\n", "5f".repeat(32))), ["`me.pem:1`: a private key"]);
        for (path, text) in [
            (".env.example", "A=1".to_owned()),
            (".envrc", String::new()),
            ("me.txt", "5f".repeat(32)),
            ("me.pem", "5f".repeat(33)),
            ("me.pem", "5f".repeat(200)),
        ] {
            assert_eq!(of(path, &text), [""; 0], "{path}");
        }
    }
}
