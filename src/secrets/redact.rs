//! Takes secrets out of whatever is about to be shown or logged.

use std::borrow::Cow;

const TOKEN_PREFIX: &str = "napt_";
const TOKEN_DIGITS: usize = 48;

/// Replaces napt's tokens and the credentials of URLs by `…`.
pub fn redact(text: &str) -> String {
    redact_urls(&redact_tokens(text)).into_owned()
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
}
