//! Parsers of values on the command line, for what clap cannot tell well itself.

use std::str::FromStr;

use semver::Version;
use url::Url;

use crate::{identity::PublicKey, module::ModuleId, report::Fault};

/// A value whose error says what to do next, as clap's own tips do.
pub(super) fn hinted<T: FromStr<Err: Fault>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| match error.hint() {
        Some(hint) => format!("{error}\n\n  tip: {hint}"),
        None => error.to_string(),
    })
}

/// `type:name@1.2.3`: one version of a module, or a module when no version is given.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) id: ModuleId,
    pub(super) version: Option<Version>,
}

/// A module, and perhaps a version of it.
pub(super) fn release(text: &str) -> Result<Release, String> {
    let (id, version) = text.split_once('@').map_or((text, None), |(id, version)| (id, Some(version)));
    let version =
        version.map(|version| version.parse().map_err(|error| format!("`{version}` is not a version: {error}")));
    Ok(Release { id: hinted(id)?, version: version.transpose()? })
}

/// One version of a module.
pub(super) fn exact_release(text: &str) -> Result<(ModuleId, Version), String> {
    let Release { id, version } = release(text)?;
    Ok((id, version.ok_or_else(|| format!("say which version, for example `{text}@1.2.3`"))?))
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
