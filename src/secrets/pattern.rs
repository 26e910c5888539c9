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
    /// Exactly so many hex digits.
    HexExactly(usize),
    /// Two runs of so many letters, digits, `-` and `_`, with a dot between.
    Dotted(usize, usize),
    /// At least so many letters, digits, `-`, `_` and `/`.
    Path(usize),
    /// The rest of a token's header, a dot, and the start of its claims.
    Jwt,
    /// `user:password@` of a URL.
    UrlPassword,
    /// The rest of a PEM header, then the key up to its end.
    Pem,
    /// `=` or `:`, then 64 hex digits, with or without quotes: a key of Naptha's users.
    Assigned,
    /// `=` or `:`, then exactly so many characters of base64, with or without quotes.
    AssignedBase64(usize),
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
    ("whsec_", Tail::Alphanumeric(24), "a Stripe webhook secret"),
    ("napt_", Tail::Hex(48), "a napt token"),
    ("sk-or-v1-", Tail::Hex(48), "an OpenRouter API key"),
    ("xai-", Tail::Alphanumeric(60), "an xAI API key"),
    ("pplx-", Tail::Alphanumeric(40), "a Perplexity API key"),
    ("tvly-", Tail::Wordlike(28), "a Tavily API key"),
    ("lsv2_", Tail::Wordlike(40), "a LangSmith API key"),
    ("pcsk_", Tail::Wordlike(40), "a Pinecone API key"),
    ("npm_", Tail::Alphanumeric(36), "an npm token"),
    ("pypi-AgE", Tail::Wordlike(50), "a PyPI token"),
    ("SG.", Tail::Dotted(22, 43), "a SendGrid API key"),
    ("SK", Tail::HexExactly(32), "a Twilio API key"),
    ("key-", Tail::HexExactly(32), "a Mailgun API key"),
    ("dapi", Tail::HexExactly(32), "a Databricks token"),
    ("shpat_", Tail::HexExactly(32), "a Shopify token"),
    ("dop_v1_", Tail::HexExactly(64), "a DigitalOcean token"),
    ("GOCSPX-", Tail::Wordlike(24), "a Google client secret"),
    ("ya29.", Tail::Wordlike(40), "a Google access token"),
    ("https://hooks.slack.com/services/T", Tail::Path(30), "a Slack webhook"),
    ("https://discord.com/api/webhooks/", Tail::Path(60), "a Discord webhook"),
    ("AGE-SECRET-KEY-1", Tail::Capitals(58), "a private key"),
    ("eyJ", Tail::Jwt, "a JSON web token"),
    ("://", Tail::UrlPassword, "a password in a URL"),
    ("aws_secret_access_key", Tail::AssignedBase64(40), "an AWS secret key"),
    ("AWS_SECRET_ACCESS_KEY", Tail::AssignedBase64(40), "an AWS secret key"),
    ("secretAccessKey", Tail::AssignedBase64(40), "an AWS secret key"),
    ("SecretAccessKey", Tail::AssignedBase64(40), "an AWS secret key"),
    ("PRIVATE_KEY", Tail::Assigned, "a private key"),
    ("-----BEGIN ", Tail::Pem, "a private key"),
];

fn is_wordlike(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_path(byte: &u8) -> bool {
    is_wordlike(byte) || *byte == b'/'
}

/// Whether a URL's user or password cannot have it, or ends before it.
fn is_url_end(byte: &u8) -> bool {
    matches!(byte, b'@' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\') || !byte.is_ascii_graphic()
}

/// Where the value starts that is assigned here.
fn assigned(text: &[u8]) -> Option<usize> {
    let space = run(text, |byte| matches!(byte, b'"' | b'\'' | b' ' | b'\t' | b'=' | b':'));
    text[..space].iter().any(|byte| matches!(byte, b'=' | b':')).then_some(space)
}

fn is_capital_or_digit(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// How many bytes at the start are allowed.
fn run(text: &[u8], allowed: fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| allowed(byte)).count()
}

/// Words that say that a key is none. Shorter ones would be in random text now and then.
const NOT_MEANT: [&[u8]; 10] = [
    b"example",
    b"placeholder",
    b"changeme",
    b"dummy",
    b"insert",
    b"replace",
    b"redacted",
    b"sample",
    b"your_",
    b"your-",
];

/// Passwords of nobody, as they stand in every README.
const NO_PASSWORDS: [&[u8]; 9] = [
    b"password",
    b"passwd",
    b"password1",
    b"secret",
    b"postgres",
    b"mysecretpassword",
    b"username",
    b"123456",
    b"12345678",
];

/// Whether a text stands for a key: `xxxxxxxx`, `your-key-here`, `AKIAIOSFODNN7EXAMPLE`, `1234567890abcdef`.
fn is_placeholder(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let symbols: Vec<u8> = text.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    let is_uniform =
        symbols.iter().all(|byte| matches!(byte, b'x' | b'0')) || symbols.windows(2).all(|two| two[0] == two[1]);
    let ascending = symbols.windows(2).filter(|two| two[1] == two[0].wrapping_add(1)).count();
    is_uniform || ascending * 4 > symbols.len() * 3 || NOT_MEANT.iter().any(|word| contains(&text, word))
}

impl Tail {
    /// Whether it may follow a prefix in the middle of a word.
    pub(super) fn is_anywhere(self) -> bool {
        matches!(self, Tail::Pem | Tail::Assigned | Tail::AssignedBase64(_) | Tail::UrlPassword)
    }

    /// Where in `tail` the secret starts, if this is one: 0 when the prefix is a part of it.
    pub(super) fn start(self, tail: &[u8]) -> Option<usize> {
        let long = |allowed: fn(&u8) -> bool, least: usize| {
            let length = run(tail, allowed);
            (length >= least && !is_placeholder(&tail[..length])).then_some(0)
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
            Tail::Capitals(count) => {
                (run(tail, is_capital_or_digit) == count && !is_placeholder(&tail[..count])).then_some(0)
            }
            Tail::HexExactly(count) => {
                let is_hex = run(tail, u8::is_ascii_hexdigit) == count && run(tail, is_wordlike) == count;
                (is_hex && !is_placeholder(&tail[..count])).then_some(0)
            }
            Tail::Dotted(first, second) => {
                let dot = run(tail, is_wordlike);
                let rest = tail.get(dot + 1..).unwrap_or_default();
                let is_key = dot == first && tail.get(dot) == Some(&b'.') && run(rest, is_wordlike) >= second;
                (is_key && !is_placeholder(rest)).then_some(0)
            }
            Tail::Path(least) => long(is_path, least),
            Tail::Jwt => {
                let dot = run(tail, is_wordlike);
                let claims = tail.get(dot..).and_then(|rest| rest.strip_prefix(b".eyJ")).unwrap_or_default();
                (dot >= 10 && run(claims, is_wordlike) >= 10).then_some(0)
            }
            Tail::UrlPassword => {
                let user = run(tail, |byte| !is_url_end(byte) && *byte != b':');
                let password = tail.get(user + 1..).filter(|_| tail[user] == b':')?;
                let password = &password[..run(password, |byte| !is_url_end(byte))];
                let after = user + 1 + password.len();
                let is_word = |word: &&[u8]| password.eq_ignore_ascii_case(word);
                let is_real = password.len() >= 6
                    && tail.get(after) == Some(&b'@')
                    && !password.eq_ignore_ascii_case(&tail[..user])
                    && !NO_PASSWORDS.iter().any(is_word)
                    // What a program fills in.
                    && !password.iter().any(|byte| matches!(byte, b'{' | b'}' | b'$' | b'%' | b'*' | b'[' | b']'))
                    && !is_placeholder(password);
                is_real.then_some(user + 1)
            }
            Tail::AssignedBase64(count) => {
                let start = assigned(tail)?;
                let key = &tail[start..start + run(&tail[start..], is_base64)];
                (key.len() == count && !is_placeholder(key)).then_some(start)
            }
            Tail::Assigned => {
                let space = assigned(tail)?;
                let start = space + if tail[space..].starts_with(b"0x") { 2 } else { 0 };
                let digits = run(&tail[start..], u8::is_ascii_hexdigit);
                (digits == 64 && !is_placeholder(&tail[start..start + digits])).then_some(start)
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
            Tail::Assigned | Tail::Hex(_) | Tail::HexExactly(_) => run(text, u8::is_ascii_hexdigit),
            Tail::AssignedBase64(_) => run(text, is_base64),
            Tail::UrlPassword => run(text, |byte| !is_url_end(byte)),
            Tail::Path(_) => run(text, is_path),
            Tail::Dotted(..) | Tail::Jwt => run(text, |byte| is_wordlike(byte) || *byte == b'.'),
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
