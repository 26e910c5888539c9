//! The native manifest beside a `napt.toml`: `pyproject.toml`, PEP 621 or Poetry.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::manifest::Runtime;
use crate::report::{Fault, Kind};

/// What a native manifest says that a `napt.toml` may leave out.
#[derive(Debug, Clone)]
pub struct NativeManifest {
    /// Name, as written there.
    pub name: Option<String>,
    /// Version, as written there.
    pub version: Option<String>,
    /// One sentence.
    pub description: Option<String>,
    /// `Name <mail>` each.
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub license: Option<String>,
    /// A file.
    pub readme: Option<String>,
    /// Where the source is kept.
    pub repository: Option<String>,
    /// For search.
    pub keywords: Vec<String>,
    /// What the kind of manifest says about how the module runs.
    pub runtime: Runtime,
}

impl Default for NativeManifest {
    fn default() -> Self {
        NativeManifest {
            name: None,
            version: None,
            description: None,
            authors: Vec::new(),
            license: None,
            readme: None,
            repository: None,
            keywords: Vec::new(),
            runtime: Runtime::Data,
        }
    }
}

/// Why a native manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// It cannot be opened.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not TOML of the expected shape; the text has line, column and excerpt.
    #[error("cannot read `{}`\n{error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        error: Box<toml::de::Error>,
    },
}

impl Fault for NativeError {
    fn kind(&self) -> Kind {
        Kind::Check
    }
}

#[derive(Deserialize, Default)]
struct Pyproject {
    project: Option<Pep621>,
    #[serde(default)]
    tool: Tools,
}

#[derive(Deserialize, Default)]
struct Tools {
    poetry: Option<Poetry>,
}

#[derive(Deserialize)]
struct Pep621 {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<Person>,
    license: Option<toml::Value>,
    readme: Option<toml::Value>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    urls: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Poetry {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    license: Option<String>,
    readme: Option<toml::Value>,
    repository: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
}

/// A value that is either text or a table with the text under `key` (`readme = "x"` or `readme = {file = "x"}`).
fn text_or_under(value: Option<toml::Value>, key: &str) -> Option<String> {
    match value? {
        toml::Value::String(text) => Some(text),
        toml::Value::Table(table) => table.get(key).and_then(|v| v.as_str()).map(str::to_owned),
        _ => None,
    }
}

impl NativeManifest {
    /// Reads what stands beside a `napt.toml` in `root`. Without a native manifest the module is data.
    pub fn read(root: &Path) -> Result<Self, NativeError> {
        let path = root.join("pyproject.toml");
        if !path.is_file() {
            return Ok(NativeManifest::default());
        }
        let text = fs_err::read_to_string(&path)?;
        let pyproject: Pyproject =
            toml::from_str(&text).map_err(|error| NativeError::Syntax { path, error: Box::new(error) })?;
        let python = NativeManifest { runtime: Runtime::Python, ..NativeManifest::default() };
        Ok(match (pyproject.project, pyproject.tool.poetry) {
            (Some(project), _) => NativeManifest {
                name: project.name,
                version: project.version,
                description: project.description,
                authors: project
                    .authors
                    .into_iter()
                    .filter_map(|person| match (person.name, person.email) {
                        (Some(name), Some(email)) => Some(format!("{name} <{email}>")),
                        (name, email) => name.or(email),
                    })
                    .collect(),
                license: text_or_under(project.license, "text"),
                readme: text_or_under(project.readme, "file"),
                repository: project
                    .urls
                    .iter()
                    .find(|(label, _)| matches!(label.to_lowercase().as_str(), "repository" | "source"))
                    .map(|(_, url)| url.clone()),
                keywords: project.keywords,
                ..python
            },
            (None, Some(poetry)) => NativeManifest {
                name: poetry.name,
                version: poetry.version,
                description: poetry.description,
                authors: poetry.authors,
                license: poetry.license,
                readme: text_or_under(poetry.readme, "file"),
                repository: poetry.repository,
                keywords: poetry.keywords,
                ..python
            },
            (None, None) => python,
        })
    }
}
