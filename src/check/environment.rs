//! The variables that a project's configuration names: where they stand, and whether they are set. Values are not kept.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    load::Module,
    source::{Document, Node, is_secret_key},
};
use crate::config::LLM_CONFIGS_FILE;

/// A file of variables, as tools for local development read it.
pub const ENV_FILE: &str = ".env";

/// Which variables a `.env` sets.
#[derive(Debug)]
pub(super) struct EnvFile {
    pub(super) path: PathBuf,
    names: BTreeSet<String>,
}

/// A place that names a variable.
pub(super) struct Reference<'a> {
    pub(super) name: String,
    pub(super) document: &'a Document,
    pub(super) span: &'a Range<usize>,
    /// Why it is one, when it does not say so itself.
    pub(super) reason: Option<String>,
}

impl EnvFile {
    /// The one in a folder, if there is one that can be read.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let path = folder.join(ENV_FILE);
        let text = path.is_file().then(|| fs_err::read(&path).ok())??;
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let is_set = !value.trim().trim_matches(['"', '\'']).is_empty();
            (is_set && is_name(name.trim())).then(|| name.trim().to_owned())
        });
        Some(EnvFile { names: names.collect(), path })
    }

    pub(super) fn sets(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// Variables are written in capitals; what is not may well be a placeholder of a prompt.
fn is_name(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Everything in `configs/` that names a variable.
pub(super) fn references(module: &Module) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for document in module.configs.values() {
        if let Some(root) = &document.root {
            collect("", root, document, &mut found);
        }
    }
    // Modules that ask their node for completions need no key of their own.
    if !module.python.iter().any(|file| file.source.text.contains("InferenceClient")) {
        found.extend(module.entries(LLM_CONFIGS_FILE).filter_map(|(document, entry)| key_of_client(document, entry)));
    }
    found
}

fn collect<'a>(key: &str, node: &'a Node, document: &'a Document, found: &mut Vec<Reference<'a>>) {
    for member in node.members() {
        collect(&member.key, &member.node, document, found);
    }
    for item in node.items() {
        collect(key, item, document, found);
    }
    let Some(text) = node.as_str() else { return };
    let named_by_key = (key.ends_with("_env") || key.ends_with("_env_var") || is_secret_key(key)) && is_name(text);
    let whole = text.strip_prefix("env:").or_else(|| text.strip_prefix('$')).filter(|name| is_name(name));
    let whole = whole.or(named_by_key.then_some(text));
    let inside = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    found.extend(whole.into_iter().chain(inside.filter(|name| is_name(name))).map(|name| Reference {
        name: name.to_owned(),
        document,
        span: &node.span,
        reason: None,
    }));
}

/// The key of a provider that the module calls itself, since it has the address.
fn key_of_client<'a>(document: &'a Document, entry: &'a Node) -> Option<Reference<'a>> {
    let (client, span) = entry.text("client")?;
    let name = match client {
        "openai" => "OPENAI_API_KEY",
        "azure_openai" => "AZURE_OPENAI_API_KEY",
        "anthropic" => "ANTHROPIC_API_KEY",
        "stability" => "STABILITY_API_KEY",
        _ => return None,
    };
    let url = url::Url::parse(entry.text("api_base")?.0).ok()?;
    let is_local = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || !name.contains('.'),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_private(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let reason = Some(format!("a module that calls `{}` itself needs it", url.host_str()?));
    (!is_local).then(|| Reference { name: name.to_owned(), document, span, reason })
}
