//! How each kind of key looks.

/// How the text after a prefix looks when it is a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail {
    /// At least so many letters and digits.
    Alphanumeric(usize),
    /// At least so many letters, digits, `-` and `_`; among the first ones a digit.
    Wordlike(usize),
    /// Exactly so many capital letters and digits.
    Capitals(usize),
    /// At least so many hex digits.
    Hex(usize),
    /// The rest of a PEM header, then the key up to its end.
    Pem,
    /// `=` or `:`, then 64 hex digits, with or without quotes: a key of Naptha's users.
    Assigned,
}

/// Prefix, what follows, and what it is, with its article.
pub(super) const PATTERNS: &[(&str, Tail, &str)] = &[
    ("sk-", Tail::Wordlike(20), "an API key"),
    ("sk-proj-", Tail::Wordlike(20), "an OpenAI API key"),
    ("sk-ant-", Tail::Wordlike(20), "an Anthropic API key"),
    ("gsk_", Tail::Alphanumeric(20), "a Groq API key"),
    ("r8_", Tail::Alphanumeric(20), "a Replicate token"),
    ("hf_", Tail::Alphanumeric(30), "a Hugging Face token"),
    ("AIza", Tail::Wordlike(30), "a Google API key"),
    ("AKIA", Tail::Capitals(16), "an AWS access key"),
    ("ASIA", Tail::Capitals(16), "an AWS access key"),
    ("ghp_", Tail::Alphanumeric(30), "a GitHub token"),
    ("gho_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghu_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghs_", Tail::Alphanumeric(30), "a GitHub token"),
    ("ghr_", Tail::Alphanumeric(30), "a GitHub token"),
    ("github_pat_", Tail::Wordlike(22), "a GitHub token"),
    ("glpat-", Tail::Wordlike(18), "a GitLab token"),
    ("xoxb-", Tail::Wordlike(10), "a Slack token"),
    ("xoxa-", Tail::Wordlike(10), "a Slack token"),
    ("xoxp-", Tail::Wordlike(10), "a Slack token"),
    ("xoxr-", Tail::Wordlike(10), "a Slack token"),
    ("xoxs-", Tail::Wordlike(10), "a Slack token"),
    ("sk_live_", Tail::Alphanumeric(16), "a Stripe key"),
    ("rk_live_", Tail::Alphanumeric(16), "a Stripe key"),
    ("napt_", Tail::Hex(48), "a napt token"),
    ("PRIVATE_KEY", Tail::Assigned, "a private key"),
    ("-----BEGIN ", Tail::Pem, "a private key"),
];

fn is_wordlike(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_capital_or_digit(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// How many bytes at the start are allowed.
fn run(text: &[u8], allowed: fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| allowed(byte)).count()
}

/// `sk-xxxxxxxx…` stands for a key.
fn is_placeholder(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'x' | b'X' | b'0' | b'-' | b'_'))
}

impl Tail {
    /// Whether it may follow a prefix in the middle of a word.
    pub(super) fn is_anywhere(self) -> bool {
        matches!(self, Tail::Pem | Tail::Assigned)
    }

    /// Where in `tail` the secret starts, if this is one: 0 when the prefix is a part of it.
    pub(super) fn start(self, tail: &[u8]) -> Option<usize> {
        let long = |allowed: fn(&u8) -> bool, least: usize| {
            (run(tail, allowed) >= least && !is_placeholder(&tail[..least])).then_some(0)
        };
        match self {
            Tail::Alphanumeric(least) => long(u8::is_ascii_alphanumeric, least),
            Tail::Hex(least) => long(u8::is_ascii_hexdigit, least),
            Tail::Wordlike(least) => {
                let word = &tail[..run(tail, is_wordlike)];
                // Names made of words, such as CSS classes, have the form of a key but rarely a digit.
                let random = word.iter().any(u8::is_ascii_digit) || run(tail, u8::is_ascii_alphanumeric) >= 40;
                long(is_wordlike, least).filter(|_| random)
            }
            Tail::Capitals(count) => (run(tail, is_capital_or_digit) == count).then_some(0),
            Tail::Assigned => {
                let space = run(tail, |byte| matches!(byte, b'"' | b'\'' | b' ' | b'\t' | b'=' | b':'));
                let is_assigned = tail[..space].iter().any(|byte| matches!(byte, b'=' | b':'));
                let start = space + if tail[space..].starts_with(b"0x") { 2 } else { 0 };
                let digits = run(&tail[start..], u8::is_ascii_hexdigit);
                (is_assigned && digits == 64 && !is_placeholder(&tail[start..start + digits])).then_some(start)
            }
            Tail::Pem => {
                let label = &tail[..run(tail, |byte| is_capital_or_digit(byte) || *byte == b' ')];
                let start = label.len() + b"-----".len();
                if !contains(label, b"PRIVATE KEY") || !tail[label.len()..].starts_with(b"-----") {
                    return None;
                }
                // In source code the line may end in `\n`, written out.
                let body = &tail[start..];
                let space = run(body, |byte| matches!(byte, b'\r' | b'\n' | b'\t' | b' ' | b'\\' | b'r' | b'n'));
                let is_ended = body[..space].iter().any(|byte| matches!(byte, b'\n' | b'n'));
                let length = run(&body[space..], is_base64);
                // Without a line's end, a word that is long enough; else it is talk about such a key.
                (length >= if is_ended { 1 } else { 16 }).then_some(start)
            }
        }
    }

    /// How long the secret is that starts here.
    pub(super) fn length(self, text: &[u8]) -> usize {
        match self {
            Tail::Pem => find(text, b"-----END").unwrap_or(text.len()),
            Tail::Assigned | Tail::Hex(_) => run(text, u8::is_ascii_hexdigit),
            Tail::Alphanumeric(_) | Tail::Wordlike(_) | Tail::Capitals(_) => run(text, is_wordlike),
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}
