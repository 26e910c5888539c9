//! Secrets that are known by the key that they stand under, and messages that show none.

use std::borrow::Cow;

use super::Node;
use crate::secrets::{self, Found};

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

/// Whether the value under a key is a secret, or names one.
pub(in crate::check) fn is_secret_key(key: &str) -> bool {
    KEYS.contains(&&*key.to_lowercase().replace('-', "_"))
}

/// Adds the secrets that only their key gives away. References to variables are none: `${KEY}`, `OPENAI_API_KEY`.
pub(in crate::check) fn find_by_key(node: &Node, found: &mut Vec<Found>) {
    for member in node.members() {
        if is_secret_key(&member.key)
            && let Some(value) = member.node.as_str()
            && value.len() >= 8
            && !value.starts_with(['$', '{', '<'])
            && !value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        {
            let span = member.node.span.clone();
            if !found.iter().any(|other| other.range.start < span.end && span.start < other.range.end) {
                found.push(Found { kind: "a secret, by its key", range: span });
            }
        }
        find_by_key(&member.node, found);
    }
    for item in node.items() {
        find_by_key(item, found);
    }
    found.sort_by_key(|found| found.range.start);
}

/// A message without what it quotes of secrets.
pub(in crate::check) fn masked(message: &str) -> Cow<'_, str> {
    let secrets = secrets::find(message);
    if secrets.is_empty() { Cow::Borrowed(message) } else { Cow::Owned(secrets::mask(message, &secrets)) }
}
