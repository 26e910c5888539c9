//! What must never be published: files of secrets, private keys, API keys. What is found is told by its place and its
//! kind; the secret itself is never kept or shown.

use std::{fmt, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};

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

/// How the text after a prefix looks when it is a key.
#[derive(Debug, Clone, Copy)]
enum Tail {
    /// At least so many letters and digits.
    Alphanumeric(usize),
    /// At least so many letters, digits, `-` and `_`; among the first ones a digit.
    Wordlike(usize),
    /// Exactly so many capital letters and digits.
    Capitals(usize),
    /// At least so many hex digits.
    Hex(usize),
    /// The end of a PEM line, then a key's first character.
    Pem,
    /// `=` or `:`, then 64 hex digits, with or without quotes: a key of Naptha's users.
    Assigned,
}

const RULES: &[(&str, Tail, &str)] = &[
    ("sk-", Tail::Wordlike(20), "an OpenAI API key"),
    ("sk-ant-", Tail::Wordlike(20), "an Anthropic API key"),
    ("AKIA", Tail::Capitals(16), "an AWS access key"),
    ("ASIA", Tail::Capitals(16), "an AWS access key"),
    ("ghp_", Tail::Alphanumeric(30), "a GitHub token"),
    ("gho_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghu_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghs_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghr_", Tail::Alphanumeric(30), "a GitHub token"),
    ("github_pat_", Tail::Wordlike(22), "a GitHub token"),
    ("xoxb-", Tail::Wordlike(10), "a Slack token"),
    ("xoxa-", Tail::Wordlike(10), "a Slack token"),
    ("xoxp-", Tail::Wordlike(10), "a Slack token"),
    ("xoxr-", Tail::Wordlike(10), "a Slack token"),
    ("xoxs-", Tail::Wordlike(10), "a Slack token"),
    ("AIza", Tail::Wordlike(35), "a Google API key"),
    ("sk_live_", Tail::Alphanumeric(16), "a Stripe key"),
    ("rk_live_", Tail::Alphanumeric(16), "a Stripe key"),
    ("hf_", Tail::Alphanumeric(30), "a Hugging Face token"),
    ("napt_", Tail::Hex(48), "a napt token"),
    ("PRIVATE_KEY", Tail::Assigned, "a private key"),
    ("-----BEGIN PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN RSA PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN EC PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN DSA PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----", Tail::Pem, "a private key"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----", Tail::Pem, "a private key"),
];

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(RULES.iter().map(|(prefix, ..)| prefix))
        .expect("the prefixes are constants")
});

/// Longer than any prefix with the part of its tail that is looked at.
const WINDOW: usize = 256;
/// A file of nothing but a key is not longer.
const MAX_BARE_KEY: usize = 128;

impl Tail {
    fn matches(self, tail: &[u8]) -> bool {
        let run = |allowed: fn(&u8) -> bool| tail.iter().take_while(|byte| allowed(byte)).count();
        let wordlike = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match self {
            Tail::Alphanumeric(least) => run(u8::is_ascii_alphanumeric) >= least && !is_placeholder(&tail[..least]),
            Tail::Wordlike(least) => {
                let length = run(wordlike);
                // Names made of words, such as CSS classes, have the form of a key but rarely a digit.
                length >= least
                    && (tail[..length].iter().any(u8::is_ascii_digit) || run(u8::is_ascii_alphanumeric) >= 40)
                    && !is_placeholder(&tail[..least])
            }
            Tail::Capitals(count) => run(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) == count,
            Tail::Hex(least) => run(u8::is_ascii_hexdigit) >= least && !is_placeholder(&tail[..least]),
            Tail::Assigned => {
                let space = run(|byte| matches!(byte, b'"' | b'\'' | b' ' | b'\t' | b'=' | b':'));
                let assigned = tail[..space].iter().any(|byte| matches!(byte, b'=' | b':'));
                let value = &tail[space..];
                let value = value.strip_prefix(b"0x").unwrap_or(value);
                let digits = value.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                assigned && digits == 64 && !is_placeholder(&value[..digits])
            }
            Tail::Pem => {
                // In source code the line may end in `\n`, written out.
                let space = run(|byte| matches!(byte, b'\r' | b'\n' | b'\t' | b' ' | b'\\' | b'r' | b'n'));
                let ended = tail[..space].iter().any(|byte| matches!(byte, b'\n' | b'n'));
                ended && tail.get(space).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
            }
        }
    }
}

/// `sk-xxxxxxxx…` stands for a key.
fn is_placeholder(tail: &[u8]) -> bool {
    tail.iter().all(|byte| matches!(byte, b'x' | b'X' | b'0' | b'-' | b'_'))
}

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

    /// Judges every prefix that starts before `end`, then forgets what is before it.
    fn scan(&mut self, end: usize) {
        let mut counted = self.from;
        let text = &self.kept;
        for found in PREFIXES.find_iter(&text[self.from..]) {
            let start = self.from + found.start();
            if start >= end {
                break;
            }
            let (prefix, tail, what) = RULES[found.pattern().as_usize()];
            let inside_word = match text[..start] {
                // A written-out line break.
                [.., b'\\', b'n' | b'r' | b't'] => false,
                [.., before] => before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-'),
                [] => false,
            };
            let rest = &text[start + prefix.len()..];
            let anywhere = matches!(tail, Tail::Pem | Tail::Assigned);
            if (anywhere || !inside_word) && tail.matches(&rest[..rest.len().min(WINDOW - prefix.len())]) {
                self.line += newlines(&text[counted..start]);
                counted = start;
                self.findings.push(Finding { path: self.path.to_owned(), line: Some(self.line), what });
            }
        }
        if end > self.from {
            self.line += newlines(&text[counted..end]);
            let before = end.saturating_sub(2);
            self.kept.drain(..before);
            self.from = end - before;
        }
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
    fn keys_of_every_kind_are_found_with_their_line() {
        let alphanumeric = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0";
        for (secret, what) in [
            (key("sk-", &alphanumeric[..24]), "an OpenAI API key"),
            (key("sk-proj-", alphanumeric), "an OpenAI API key"),
            (key("sk-ant-", &key("api03-", alphanumeric)), "an Anthropic API key"),
            (key("AKIA", "IOSFODNN7EXAMPLE"), "an AWS access key"),
            (key("ghp_", &alphanumeric[..36]), "a GitHub token"),
            (key("github_pat_", alphanumeric), "a GitHub token"),
            (key("xoxb-", "123456789012-abcdef"), "a Slack token"),
            (key("AIza", &alphanumeric[..35]), "a Google API key"),
            (key("sk_live_", &alphanumeric[..24]), "a Stripe key"),
            (key("hf_", &alphanumeric[..34]), "a Hugging Face token"),
            (key("napt_", &"0a".repeat(24)), "a napt token"),
            (key("PRIVATE_KEY=", &"5f".repeat(32)), "a private key"),
            (key("MY_PRIVATE_KEY\": \"", &"5f".repeat(32)), "a private key"),
            (key("\\nsk-", &alphanumeric[..24]), "an OpenAI API key"),
            (key("-----BEGIN EC PRIVATE", " KEY-----\nMHcCAQEE"), "a private key"),
            (key("-----BEGIN PRIVATE", " KEY-----\\nMHcCAQEE"), "a private key"),
        ] {
            let padding = "# nothing here\n".repeat(40);
            assert_eq!(lines(&format!("{padding}KEY = \"{secret}\"\n{padding}")), [(41, what)], "{what}");
            assert_eq!(lines(&secret), [(1, what)], "{what}, alone");
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_let_through() {
        for text in [
            key("sk-", "your-openai-api-key-goes-here"),
            key("sk-", &"x".repeat(48)),
            key("ta", "sk-1234567890abcdef1234567890"),
            key("sk-", "toggleable__content-arrow-label"),
            key("PRIVATE_KEY=", "<your key of 64 hex digits>"),
            key("PRIVATE_KEY=", &"0".repeat(64)),
            key("PRIVATE_KEY=", &"5f".repeat(33)),
            key("AKIA", "TOOSHORT"),
            key("AKIA", "MUCHLONGERTHANAKEYEVERIS"),
            key("napt_", "run_everything_in_one_interpreter_for_all_of_the_callers"),
            key("if \"-----BEGIN PRIVATE", " KEY-----\" in text:"),
            key("-----BEGIN PUBLIC", " KEY-----\nMHcCAQEE"),
            key("half_", "adozenwordswithoutanyspacebetweenthem"),
        ] {
            assert_eq!(lines(&text), [], "{text}");
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
