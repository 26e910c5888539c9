//! Texts that are keys to something: found, so that they are not published, and masked, so that no excerpt shows one.

mod pattern;
mod redact;

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use pattern::PATTERNS;
pub use redact::{redact, redact_json};

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is, with its article: `a GitHub token`.
    pub kind: &'static str,
    /// Its bytes in the text.
    pub range: Range<usize>,
}

/// How much of a text decides whether a secret starts at a place: so many bytes from there.
pub const WINDOW: usize = 256;

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(PATTERNS.iter().map(|(prefix, ..)| prefix))
        .expect("the prefixes are constants")
});

/// The secrets in a text, by their place.
pub fn find(text: impl AsRef<[u8]>) -> Vec<Found> {
    let text = text.as_ref();
    find_starting(text, 0..text.len())
}

/// Those that start in a part of the text, in one pass over that part. What is before it is seen too: a prefix in the
/// middle of a word is none.
pub fn find_starting(text: &[u8], part: Range<usize>) -> Vec<Found> {
    let mut all = Vec::new();
    for found in PREFIXES.find_iter(&text[part.start..]) {
        let start = part.start + found.start();
        if start >= part.end {
            break;
        }
        let (prefix, tail, kind) = PATTERNS[found.pattern().as_usize()];
        let is_inside_word = match text[..start] {
            // A written-out line break.
            [.., b'\\', b'n' | b'r' | b't'] => false,
            [.., before] => before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-'),
            [] => false,
        };
        if is_inside_word && !tail.is_anywhere() {
            continue;
        }
        let after = start + prefix.len();
        let window = &text[after..text.len().min(start + WINDOW)];
        let Some(from) = tail.start(window) else { continue };
        let secret = after + from;
        let end = secret + tail.length(&text[secret..]);
        let start = if from == 0 { start } else { secret };
        all.push(Found { kind, range: start..end });
    }
    // A password comes after its user, which may be a secret too, but is found with the `://` before both.
    all.sort_by_key(|found| found.range.start);
    all
}

/// The text with `*` in place of each byte of a secret; line breaks stay, so places do too. `secrets` are in order.
pub fn mask(text: &str, secrets: &[Found]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for Found { range, .. } in secrets {
        let start = range.start.max(end);
        if start >= range.end {
            continue;
        }
        masked.push_str(&text[end..start]);
        for c in text[start..range.end].chars() {
            if c == '\n' {
                masked.push('\n');
            } else {
                masked.extend(std::iter::repeat_n('*', c.len_utf8()));
            }
        }
        end = range.end;
    }
    masked.push_str(&text[end..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    // Put together here, so that no scanner takes this file for one with secrets.
    fn key(prefix: &str, tail: &str) -> String {
        format!("{prefix}{tail}")
    }

    fn kinds(text: &str) -> Vec<&'static str> {
        find(text).into_iter().map(|found| found.kind).collect()
    }

    const MIXED: &str = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4";
    const HEX: &str = "5f3a9c1e7b2d4860a1c3e5f7092b4d6f8e1a3c5b7d9f0e2c4a6b8d0f1e3c5a7b";

    /// Kind; how one looks; how something looks that is nearly one, or stands for one.
    fn examples() -> Vec<(&'static str, String, String)> {
        let (m, h) = (MIXED, HEX);
        let example = |kind, prefix: &str, good: &str, near: &str| (kind, key(prefix, good), key(prefix, near));
        vec![
            example("an API key", "sk-", &m[..24], "your-openai-api-key-goes-here"),
            example("an API key", "sk-", &"a1".repeat(12), &"x".repeat(48)),
            example("an OpenAI API key", "sk-proj-", &m[..40], "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            example("an Anthropic API key", "sk-ant-", &key("api03-", &m[..40]), "api03-your-key-goes-here-1"),
            example("an OpenRouter API key", "sk-or-v1-", h, &h[..20]),
            example("a Groq API key", "gsk_", &m[..40], &m[..12]),
            example("an xAI API key", "xai-", &m[..64], &m[..30]),
            example("a Perplexity API key", "pplx-", &m[..48], "models-of-many-sizes-and-kinds-and-names-at-once"),
            example("a Tavily API key", "tvly-", &m[..32], "search-results-with-many-words-in-them"),
            example("a LangSmith API key", "lsv2_", &key("pt_", &m[..44]), "pt_short"),
            example("a Pinecone API key", "pcsk_", &m[..60], "pcsk"),
            example("a Replicate token", "r8_", &m[..37], "bits_of_a_register"),
            example("a Hugging Face token", "hf_", &m[..34], "hub_download_of_models_and_datasets"),
            example("a Google API key", "AIza", &m[..35], &m[..10]),
            example("a Google client secret", "GOCSPX-", &m[..28], "your-client-secret-goes-1-here"),
            example("a Google access token", "ya29.", &m[..60], "is a prefix"),
            example("an AWS access key", "AKIA", "QWERTZUIOP123456", "IOSFODNN7EXAMPLE"),
            example("an AWS access key", "ASIA", "QWERTZUIOP123456", "MUCHLONGERTHANAKEYEVERIS"),
            example(
                "an AWS secret key",
                "aws_secret_access_key = ",
                &key(&m[..20], &key("/+", &m[20..38])),
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            example("an AWS secret key", "\"SecretAccessKey\": \"", &m[..40], &m[..41]),
            example("a GitHub token", "ghp_", &m[..36], &m[..20]),
            example("a GitHub token", "github_pat_", &m[..60], "of_the_fine_grained_kind_for_all"),
            example("a GitLab token", "glpat-", &m[..20], "xxxxxxxxxxxxxxxxxxxx"),
            example("a Slack token", "xoxb-", "730191371696-dR2f9sK1", "your-token-of-the-bot-0"),
            example(
                "a Slack webhook",
                "https://hooks.slack.com/services/T",
                &key("0A1B2C3D4/B0E1F2G3H4/", &m[..24]),
                "…/B…/…",
            ),
            example(
                "a Discord webhook",
                "https://discord.com/api/webhooks/",
                &key("1122334455/", &m[..60]),
                "1122334455/token",
            ),
            example("a Stripe key", "sk_live_", &m[..24], "xxxxxxxxxxxxxxxxxxxxxxxx"),
            example("a Stripe webhook secret", "whsec_", &m[..32], "of_the_endpoint"),
            example("an npm token", "npm_", &m[..36], "config_registry_is_where_packages_come_from"),
            example("a PyPI token", "pypi-AgE", &key("IcHlwaS5vcmcCJ", &m[..60]), "short1"),
            example(
                "a SendGrid API key",
                "SG.",
                &format!("{}.{}", &m[..22], &m[..43]),
                &format!("{}.{}", &m[..21], &m[..43]),
            ),
            example("a Twilio API key", "SK", &h[..32], &h[..33]),
            example("a Mailgun API key", "key-", &h[..32], "value-pairs-of-a-configuration-1"),
            example("a Databricks token", "dapi", &h[..32], &"0".repeat(32)),
            example("a Shopify token", "shpat_", &h[..32], &h[..31]),
            example("a DigitalOcean token", "dop_v1_", h, &h[..40]),
            example("a JSON web token", "eyJ", &format!("{}.eyJ{}.{}", &m[..30], &m[..50], &m[..43]), &m[..60]),
            example("a napt token", "napt_", &h[..48], "run_everything_in_one_interpreter_for_all_of_the_callers"),
            example("a private key", "PRIVATE_KEY=", h, &"0".repeat(64)),
            example("a private key", "MY_PRIVATE_KEY\": \"", h, &key(h, "ab")),
            example("a private key", "PRIVATE_KEY=", &key("0x", h), "<your key of 64 hex digits>"),
            example("a private key", "-----BEGIN EC PRIVATE", " KEY-----\nMHcCAQEE", " KEY----- is how it begins"),
            example("a private key", "-----BEGIN OPENSSH PRIVATE", " KEY-----\nb3BlbnNz", " KEY-----\" in text:"),
            example("a private key", "-----BEGIN PGP PRIVATE", " KEY BLOCK-----\nlQOYB", " KEYS"),
            example("a private key", "-----BEGIN PRIVATE", " KEY-----\\nMHcCAQEE", " LETTER-----\nDear"),
            example("a private key", "-----BEGIN PRIVATE", " KEY----- MHcCAQEEIB0123456789", " KEY-----"),
            example("a private key", "AGE-SECRET-KEY-1", &"Q3Z9".repeat(15)[..58], "Q3Z9"),
            example("a password in a URL", "postgres://app:", "hunter2x@db.internal/app", "hunter2x/db.internal/app"),
            example("a password in a URL", "postgresql+asyncpg://app:", "s3cr3t-Pw@db/app", "password@localhost/app"),
            example("a password in a URL", "mongodb+srv://app:", "s3cr3t-Pw@db/app", "${PASSWORD}@db/app"),
            example("a password in a URL", "redis://:", "s3cr3t-Pw@db:6379/0", "<password>@db:6379/0"),
            example("a password in a URL", "https://me:", "s3cr3t-Pw@example.org/", "8080/path@x"),
            example("a password in a URL", "mysql://root:", "s3cr3t-Pw@db/app", "root@db/app"),
        ]
    }

    #[test]
    fn keys_of_every_kind_are_found_and_what_is_nearly_one_is_let_through() {
        for (kind, secret, near) in examples() {
            // In quotes, alone, and written out in code.
            for text in [format!("# nothing\nKEY = \"{secret}\"\n"), secret.clone(), format!("\"\\n{secret}\"")] {
                assert_eq!(kinds(&text), [kind], "{text}");
            }
            assert_eq!(kinds(&format!("KEY = \"{near}\"\n")), [""; 0], "{near}");
        }
        let all: std::collections::BTreeSet<&str> = examples().into_iter().map(|(kind, ..)| kind).collect();
        let known: std::collections::BTreeSet<&str> = PATTERNS.iter().map(|(.., kind)| *kind).collect();
        assert_eq!(all, known, "each kind has its example");
    }

    #[test]
    fn what_only_looks_like_a_key_is_let_through() {
        for text in [
            key("ta", "sk-1234567890abcdef1234567890"),
            key("sk-", "1234567890abcdef1234567890"),
            key("sk-", "toggleable__content-arrow-label"),
            key("AKIA", "TOOSHORT"),
            key("-----BEGIN PUBLIC", " KEY-----\nMHcCAQEE"),
            key("-----END PRIVATE", " KEY-----\nMHcCAQEE"),
            key("half_", "adozenwordswithoutanyspacebetweenthem"),
            key("https://example.org:", "443/@scope/package"),
            key("git+ssh://", "git@github.com/a/b"),
        ] {
            assert_eq!(kinds(&text), [""; 0], "{text}");
        }
    }

    #[test]
    fn keys_are_masked_and_names_are_not() {
        let secret = key("sk-", &"a1".repeat(12));
        let text =
            format!("{{\"k\": \"{secret}\", \"m\": \"risk-adjusted-agent-for-trading-2\"}}\nsk-learn-of-many-words");
        let shown = mask(&text, &find(&text));
        assert_eq!(shown.len(), text.len());
        assert!(
            !shown.contains(&secret[5..]) && shown.contains("risk-adjusted") && shown.contains("sk-learn"),
            "{shown}"
        );
        let assigned = key("PRIVATE_KEY = \"0x", &"5f".repeat(32));
        assert_eq!(mask(&assigned, &find(&assigned)), format!("PRIVATE_KEY = \"0x{}", "*".repeat(64)));
    }

    #[test]
    fn a_key_as_the_user_of_a_url_is_masked_with_its_password() {
        let user = key("ghp_", &MIXED[..36]);
        let text = format!("https://{user}:x-oauth-basic@github.com/");
        let found = find(&text);
        assert!(found.is_sorted_by_key(|found| found.range.start), "{found:?}");
        let shown = format!("https://{}:{}@github.com/", "*".repeat(user.len()), "*".repeat("x-oauth-basic".len()));
        assert_eq!(mask(&text, &found), shown);
    }

    #[test]
    fn a_key_that_is_cut_off_is_none() {
        for (_, secret, _) in examples() {
            for end in (0..secret.len()).filter(|end| secret.is_char_boundary(*end)) {
                // Whether it is one is not the question, but that there is an answer.
                let _ = mask(&secret[..end], &find(&secret[..end]));
            }
        }
    }

    #[test]
    fn a_private_key_is_masked_to_its_end_and_no_further() {
        let (begin, end) = (key("-----BEGIN EC ", "PRIVATE KEY-----"), key("-----END EC ", "PRIVATE KEY-----"));
        let text = format!("{begin}\nMHcCAQEE\nabc=\n{end}\nmore");
        assert_eq!(mask(&text, &find(&text)), format!("{begin}\n********\n****\n{end}\nmore"));
    }
}
