//! Texts that are keys to something. They are found so that they can be reported, and masked so that no excerpt or
//! message ever shows one.

use std::{borrow::Cow, ops::Range};

use super::Node;

/// How providers' keys begin, how many characters follow at least, and whose they are.
const PREFIXES: [(&str, usize, &str); 16] = [
    ("sk-", 20, "an API key"),
    ("sk_live_", 16, "a Stripe key"),
    ("rk_live_", 16, "a Stripe key"),
    ("gsk_", 20, "a Groq API key"),
    ("hf_", 20, "a Hugging Face token"),
    ("r8_", 20, "a Replicate token"),
    ("ghp_", 30, "a GitHub token"),
    ("gho_", 30, "a GitHub token"),
    ("ghs_", 30, "a GitHub token"),
    ("github_pat_", 30, "a GitHub token"),
    ("glpat-", 18, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("AIza", 30, "a Google API key"),
    ("AKIA", 16, "an AWS access key"),
    ("napt_", 48, "a napt token"),
];

/// A private key in PEM form begins and ends so.
const PEM: (&str, &str) = ("PRIVATE KEY-----", "-----END");

fn is_key_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The secrets in a text: where each is, and what it looks like.
pub(in crate::check) fn find(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
    for (prefix, length, what) in PREFIXES {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].chars().next_back().is_some_and(is_key_character) {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            let body = &rest[..rest.find(|c| !is_key_character(c)).unwrap_or(rest.len())];
            // Words joined by dashes are a name, not a key: keys have digits.
            if body.len() >= length && body.contains(|c: char| c.is_ascii_digit()) {
                found.push((at..at + prefix.len() + body.len(), what));
            }
        }
    }
    for (at, _) in text.match_indices(PEM.0) {
        let start = at + PEM.0.len();
        let end = text[start..].find(PEM.1).map_or(text.len(), |length| start + length);
        if end > start && text[..at].ends_with(' ') {
            found.push((start..end, "a private key"));
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    found
}

/// Keys whose value is a secret, whatever it looks like.
const KEYS: [&str; 9] = [
    "api_key",
    "apikey",
    "access_key",
    "secret",
    "secret_key",
    "client_secret",
    "password",
    "access_token",
    "auth_token",
];

/// Adds the secrets that only their key gives away. References to variables are none: `${KEY}`, `OPENAI_API_KEY`.
pub(in crate::check) fn find_by_key(node: &Node, found: &mut Vec<(Range<usize>, &'static str)>) {
    for member in node.members() {
        let key = member.key.to_lowercase().replace('-', "_");
        if KEYS.contains(&key.as_str())
            && let Some(value) = member.node.as_str()
            && value.len() >= 8
            && !value.starts_with(['$', '{', '<'])
            && !value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        {
            let span = member.node.span.clone();
            if !found.iter().any(|(other, _)| other.start < span.end && span.start < other.end) {
                found.push((span, "a secret, by its key"));
            }
        }
        find_by_key(&member.node, found);
    }
    for item in node.items() {
        find_by_key(item, found);
    }
    found.sort_by_key(|(range, _)| range.start);
}

/// The text with `*` in place of each byte of a secret; line breaks stay, so places do too.
pub(in crate::check) fn mask(text: &str, secrets: &[(Range<usize>, &'static str)]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for (range, _) in secrets {
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

/// The same for a message.
pub(in crate::check) fn masked(message: &str) -> Cow<'_, str> {
    let secrets = find(message);
    if secrets.is_empty() { Cow::Borrowed(message) } else { Cow::Owned(mask(message, &secrets)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked_and_names_are_not() {
        let key = format!("sk-{}", "a1".repeat(12));
        let text =
            format!("{{\"k\": \"{key}\", \"m\": \"risk-adjusted-agent-for-trading-2\"}}\nsk-learn-of-many-words-here");
        let shown = mask(&text, &find(&text));
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains(&key[5..]) && shown.contains("risk-adjusted") && shown.contains("sk-learn"), "{shown}");
    }

    #[test]
    fn a_private_key_is_masked_to_its_end() {
        let begin = ["-----BEGIN EC ", "PRIVATE KEY-----"].concat();
        let text = format!("{begin}\nMHcCAQEE\nabc=\n-----END EC");
        assert_eq!(mask(&text, &find(&text)), format!("{begin}\n********\n****\n-----END EC"));
    }
}
