//! Parsers of values on the command line, for what clap cannot tell well itself.

use std::str::FromStr;

use url::Url;

use crate::{identity::PublicKey, report::Fault};

/// A value whose error says what to do next, as clap's own tips do.
pub(super) fn hinted<T: FromStr<Err: Fault>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| match error.hint() {
        Some(hint) => format!("{error}\n\n  tip: {hint}"),
        None => error.to_string(),
    })
}

/// A user's id.
pub(super) fn user(text: &str) -> Result<String, String> {
    match PublicKey::from_id(text) {
        Ok(key) if text.starts_with("user:") => Ok(key.user_id()),
        Ok(_) | Err(_) => Err("write it as `user:` and the 128 hex digits that `napt login` shows".to_owned()),
    }
}

/// The URL of a server.
pub(super) fn server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "write it with `http://` or `https://`, for example `http://127.0.0.1:7002`".to_owned())
}
