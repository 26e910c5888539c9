//! Parsers of values on the command line, for what clap cannot tell well itself.

use std::{collections::BTreeSet, str::FromStr};

use semver::Version;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    config::{Deployment, DeploymentConfig, SUB_DEPLOYMENTS},
    context::Context,
    identity::PublicKey,
    module::{GitReference, GitSource, GitSourceError, ModuleId},
    report::{Failure, Fault, Kind, Reporter},
};

/// A value whose error says what to do next, as clap's own tips do.
pub(super) fn hinted<T: FromStr<Err: Fault>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| match error.hint() {
        Some(hint) => format!("{error}\n\n  tip: {hint}"),
        None => error.to_string(),
    })
}

/// A place in git.
#[derive(Debug, clap::Args)]
pub(super) struct InGit {
    /// The URL of a git repository that has the module
    #[arg(long, value_name = "URL")]
    git: Option<String>,

    /// A tag of it [default: what the repository gives by itself]
    #[arg(long, value_name = "NAME", requires = "git", conflicts_with_all = ["branch", "rev"])]
    tag: Option<String>,

    /// A branch of it
    #[arg(long, value_name = "NAME", requires = "git", conflicts_with = "rev")]
    branch: Option<String>,

    /// A commit of it; or a tag or branch
    #[arg(long, value_name = "COMMIT", requires = "git")]
    rev: Option<String>,
}

impl InGit {
    /// The place that is given, if one is.
    pub(super) fn source(&self) -> Result<Option<GitSource>, GitSourceError> {
        let reference = GitReference::of(self.tag.as_deref(), self.branch.as_deref(), self.rev.as_deref())?;
        self.git.as_deref().map(|url| GitSource::new(url, reference)).transpose()
    }
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

/// A model provider as `--provider` names it: `URL`, or `NAME=URL,models=PATTERN,…`.
#[derive(Debug, Clone)]
pub(super) struct ProviderFlag {
    pub(super) name: Option<String>,
    pub(super) url: Url,
    pub(super) models: Vec<String>,
}

/// A model provider.
pub(super) fn provider(text: &str) -> Result<ProviderFlag, String> {
    let (place, models) = text.split_once(",models=").map_or((text, None), |(place, models)| (place, Some(models)));
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let (name, url) = match place.split_once('=') {
        Some((name, url)) if !name.contains(':') => (Some(name), url),
        _ => (None, place),
    };
    if let Some(name) = name.filter(|name| !is_name(name)) {
        return Err(format!("`{name}` is no name of a provider: use lower-case letters, digits and `-`"));
    }
    let models: Vec<String> = models.into_iter().flat_map(|models| models.split(',')).map(str::to_owned).collect();
    if models.iter().any(String::is_empty) {
        return Err("a pattern of `models` is empty; write for example `models=llama-*,qwen-*`".to_owned());
    }
    Ok(ProviderFlag { name: name.map(str::to_owned), url: server(url)?, models })
}

/// The JSON of a flag; what is wrong is told with its place.
pub(super) fn json_value<T: serde::de::DeserializeOwned>(flag: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::new(Kind::Usage, format!("the value of `{flag}` is not as expected: {error}")))
}

/// `{"a": 1}`, or `a=1 b='two words'`. A value that is JSON other than text is that; everything else is text.
pub(super) fn pairs(example: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let flag = example.split(' ').next().unwrap_or_default();
    if text.trim_start().starts_with('{') {
        return json_value(if flag == "-p" { "--parameter" } else { flag }, text);
    }
    let usage =
        |what: String| Failure::new(Kind::Usage, what).hinted(format!("write for example {example}, or a JSON object"));
    let words = shell_words::split(text).map_err(|_| usage(format!("a quote is not closed in `{text}`")))?;
    words
        .iter()
        .map(|word| {
            let (key, value) = word.split_once('=').ok_or_else(|| usage(format!("`{word}` is not `key=value`")))?;
            if key.is_empty() {
                return Err(usage(format!("`{word}` has no key")));
            }
            let value = match serde_json::from_str::<Value>(value) {
                Ok(parsed) if !parsed.is_string() => parsed,
                _ => Value::String(value.to_owned()),
            };
            Ok((key.to_owned(), value))
        })
        .collect()
}

/// The deployment of `--deployment`.
pub(super) fn deployment_value(context: &Context, text: Option<&str>) -> Result<Option<Deployment>, Failure> {
    if text.is_some_and(|text| !text.trim_start().starts_with('{')) {
        return Err(Failure::new(Kind::Usage, "the value of `--deployment` is not a JSON object")
            .hinted(r#"write for example --deployment '{"config": {"max_rounds": 2}}'"#));
    }
    let deployment: Option<Deployment> = text.map(|text| json_value("--deployment", text)).transpose()?;
    deployment.iter().for_each(|deployment| warn_of_unknown(context, "--deployment", deployment));
    Ok(deployment)
}

/// The configuration of `--config`.
pub(super) fn config_value(context: &Context, text: &str) -> Result<DeploymentConfig, Failure> {
    let given = pairs("--config max_rounds=2", text)?;
    let config: DeploymentConfig = serde_json::from_value(given.into()).map_err(|error| {
        Failure::new(Kind::Usage, format!("the value of `--config` is not as expected: {error}"))
            .hinted("`napt schema deployments` has the keys and what they hold")
    })?;
    let deployment = Deployment { config: Some(config.clone()), ..Deployment::default() };
    warn_of_unknown(context, "--config", &deployment);
    Ok(config)
}

/// Tells of keys that napt does not know: they go on to the module, but may well be mistyped.
fn warn_of_unknown(context: &Context, flag: &str, deployment: &Deployment) {
    fn unknown(deployment: &Deployment, found: &mut BTreeSet<String>) {
        let of_config = deployment.config.iter().flat_map(|config| config.extra.keys());
        found.extend(deployment.extra.keys().chain(of_config).cloned());
        for (module_type, _, _) in SUB_DEPLOYMENTS {
            for element in deployment.subs(module_type).and_then(Option::as_deref).unwrap_or_default() {
                unknown(element, found);
            }
        }
    }
    let mut keys = BTreeSet::new();
    unknown(deployment, &mut keys);
    for key in keys {
        context.shell.warn(&format!("`{key}` in `{flag}` is no key of a deployment; modules get it as it is"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inputs_are_pairs_or_json() {
        let parse = |text| pairs("-p a=1", text);
        let inputs = parse("prompt='it is = a \"test\"' n=3 on=true url=https://h/?a=b== s=\"01\"").expect("pairs");
        assert_eq!(
            Value::Object(inputs),
            json!({"prompt": "it is = a \"test\"", "n": 3, "on": true, "url": "https://h/?a=b==", "s": "01"})
        );
        assert_eq!(Value::Object(parse(r#"{"a": [1]}"#).expect("JSON")), json!({"a": [1]}));
        for bad in ["prompt", "=x", "a='open", "{\"a\": }"] {
            assert_eq!(parse(bad).expect_err(bad).kind, Kind::Usage, "{bad}");
        }
    }
}
