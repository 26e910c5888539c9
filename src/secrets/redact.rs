//! Takes secrets out of whatever is about to be shown or logged.

use std::borrow::Cow;

use serde_json::Value;

const TOKEN_PREFIX: &str = "napt_";
const TOKEN_DIGITS: usize = 48;

/// Replaces napt's tokens and the credentials of URLs by `…`.
pub fn redact(text: &str) -> String {
    redact_urls(&redact_tokens(text)).into_owned()
}

/// Ends of the names of settings whose values are nobody's business.
const SECRET_NAMES: [&str; 8] =
    ["api_key", "apikey", "token", "secret", "password", "private_key", "credential", "authorization"];

/// The same in a JSON value: what is under the name of a secret, what looks like a key, and the credentials of URLs.
pub fn redact_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            let found = super::find(text.as_str());
            *text = redact(&super::mask(text, &found));
        }
        Value::Array(list) => list.iter_mut().for_each(redact_json),
        Value::Object(map) => {
            for (name, value) in map {
                let name = name.to_lowercase().replace('-', "_");
                match value {
                    Value::String(text) if SECRET_NAMES.iter().any(|end| name.ends_with(end)) && !text.is_empty() => {
                        *text = "…".to_owned();
                    }
                    value => redact_json(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_tokens(text: &str) -> Cow<'_, str> {
    if !text.contains(TOKEN_PREFIX) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN_PREFIX) {
        let after = &rest[at + TOKEN_PREFIX.len()..];
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        kept.push_str(&rest[..at + TOKEN_PREFIX.len()]);
        rest = after;
        if digits >= TOKEN_DIGITS {
            kept.push('…');
            rest = &after[digits..];
        }
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn redact_urls(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest: &str = text;
    while let Some(at) = rest.find("://") {
        let after = &rest[at + 3..];
        let authority = after.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c)).unwrap_or(after.len());
        kept.push_str(&rest[..at + 3]);
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                kept.push('…');
                &after[end..]
            }
            None => after,
        };
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_url_credentials_are_hidden() {
        let token = format!("napt_{}", "0a".repeat(24));
        let shown = redact(&format!("token {token}, then http://{token}@h:1/x and ws://a.b:c@127.0.0.1:7 and x@y"));
        assert_eq!(shown, "token napt_…, then http://…@h:1/x and ws://…@127.0.0.1:7 and x@y");
        assert_eq!(redact("napt_short http://h/p@q"), "napt_short http://h/p@q");
    }

    #[test]
    fn values_of_secret_settings_are_hidden() {
        let key = format!("{}{}", "sk-", "a1".repeat(12));
        let mut value = serde_json::json!({
            "api_key": "x", "max_tokens": 3, "list": [{"X-Auth-Token": "y", "url": "http://u:p@h/"}], "text": key,
            "name": "kept", "password": "", "secret": null
        });
        redact_json(&mut value);
        let expected = serde_json::json!({
            "api_key": "…", "max_tokens": 3, "list": [{"X-Auth-Token": "…", "url": "http://…@h/"}],
            "text": "*".repeat(key.len()), "name": "kept", "password": "", "secret": null
        });
        assert_eq!(value, expected);
    }
}
