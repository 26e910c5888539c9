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

    #[test]
    fn keys_of_every_kind_are_found() {
        let alphanumeric = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0";
        for (secret, kind) in [
            (key("sk-", &alphanumeric[..24]), "an API key"),
            (key("sk-proj-", alphanumeric), "an OpenAI API key"),
            (key("sk-ant-", &key("api03-", alphanumeric)), "an Anthropic API key"),
            (key("gsk_", alphanumeric), "a Groq API key"),
            (key("r8_", &alphanumeric[..37]), "a Replicate token"),
            (key("hf_", &alphanumeric[..34]), "a Hugging Face token"),
            (key("AIza", &alphanumeric[..35]), "a Google API key"),
            (key("AKIA", "IOSFODNN7EXAMPLE"), "an AWS access key"),
            (key("ghp_", &alphanumeric[..36]), "a GitHub token"),
            (key("github_pat_", alphanumeric), "a GitHub token"),
            (key("glpat-", &alphanumeric[..20]), "a GitLab token"),
            (key("xoxb-", "123456789012-abcdef"), "a Slack token"),
            (key("sk_live_", &alphanumeric[..24]), "a Stripe key"),
            (key("napt_", &"0a".repeat(24)), "a napt token"),
            (key("PRIVATE_KEY=", &"5f".repeat(32)), "a private key"),
            (key("MY_PRIVATE_KEY\": \"", &"5f".repeat(32)), "a private key"),
            (key("\\nsk-", &alphanumeric[..24]), "an API key"),
            (key("-----BEGIN EC PRIVATE", " KEY-----\nMHcCAQEE"), "a private key"),
            (key("-----BEGIN PRIVATE", " KEY-----\\nMHcCAQEE"), "a private key"),
            (key("-----BEGIN PRIVATE", " KEY----- MHcCAQEEIB0123456789"), "a private key"),
            (key("-----BEGIN PGP PRIVATE", " KEY BLOCK-----\nlQOYB"), "a private key"),
        ] {
            assert_eq!(kinds(&format!("# nothing\nKEY = \"{secret}\"\n")), [kind], "{secret}");
            assert_eq!(kinds(&secret), [kind], "{secret}, alone");
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
            key("-----BEGIN PRIVATE", " KEY----- is how it begins"),
            key("-----BEGIN PUBLIC", " KEY-----\nMHcCAQEE"),
            key("-----END PRIVATE", " KEY-----\nMHcCAQEE"),
            key("half_", "adozenwordswithoutanyspacebetweenthem"),
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
    fn a_private_key_is_masked_to_its_end_and_no_further() {
        let (begin, end) = (key("-----BEGIN EC ", "PRIVATE KEY-----"), key("-----END EC ", "PRIVATE KEY-----"));
        let text = format!("{begin}\nMHcCAQEE\nabc=\n{end}\nmore");
        assert_eq!(mask(&text, &find(&text)), format!("{begin}\n********\n****\n{end}\nmore"));
    }
}
