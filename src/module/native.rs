//! The native manifest beside a `napt.toml`: `pyproject.toml`, PEP 621 or Poetry, else `Cargo.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    cargo::{self, CARGO_FILE},
    manifest::Runtime,
};
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
    /// The binary that is run, of a Rust package.
    pub entrypoint: Option<String>,
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
            entrypoint: None,
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
    /// Cargo does not understand it.
    #[error("cannot read `{}`: {reason}", path.display())]
    Cargo {
        /// The file.
        path: PathBuf,
        /// In Cargo's words.
        reason: String,
    },
    /// It inherits what only Cargo finds, and there is no Cargo.
    #[error("`{}` inherits `{key}`, and there is no `cargo` in `PATH` to ask for it", path.display())]
    NeedsCargo {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// It is of a workspace only.
    #[error("`{}` has no `[package]`", .0.display())]
    NoPackage(PathBuf),
}

impl Fault for NativeError {
    fn kind(&self) -> Kind {
        match self {
            NativeError::Io(_) => Kind::Failed,
            NativeError::NeedsCargo { .. } => Kind::Failed,
            NativeError::Syntax { .. } | NativeError::Cargo { .. } | NativeError::NoPackage(_) => Kind::Check,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            NativeError::NeedsCargo { key, .. } => Some(format!(
                "write `{key}` itself there, since nodes build the module alone, or install Rust (https://rustup.rs)"
            )),
            NativeError::NoPackage(_) => Some("a Rust module is a Cargo package of its own".to_owned()),
            NativeError::Io(_) | NativeError::Syntax { .. } | NativeError::Cargo { .. } => None,
        }
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

#[derive(Deserialize, Default)]
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

#[derive(Deserialize, Default)]
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

/// The first list that says anything.
fn either(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    if first.is_empty() { second } else { first }
}

impl NativeManifest {
    /// Reads what stands beside a `napt.toml` in `root`. Without a native manifest the module is data.
    pub fn read(root: &Path) -> Result<Self, NativeError> {
        let path = root.join("pyproject.toml");
        if !path.is_file() {
            let is_rust = root.join(CARGO_FILE).is_file();
            return if is_rust { cargo::read(root) } else { Ok(NativeManifest::default()) };
        }
        let text = fs_err::read_to_string(&path)?;
        let pyproject: Pyproject =
            toml::from_str(&text).map_err(|error| NativeError::Syntax { path, error: Box::new(error) })?;
        // As in Poetry 2, `[project]` may leave to `[tool.poetry]` what it does not say.
        let project = pyproject.project.unwrap_or_default();
        let poetry = pyproject.tool.poetry.unwrap_or_default();
        let authors = project.authors.into_iter().filter_map(|person| match (person.name, person.email) {
            (Some(name), Some(email)) => Some(format!("{name} <{email}>")),
            (name, email) => name.or(email),
        });
        let repository =
            project.urls.iter().find(|(label, _)| matches!(label.to_lowercase().as_str(), "repository" | "source"));
        Ok(NativeManifest {
            name: project.name.or(poetry.name),
            version: project.version.or(poetry.version),
            description: project.description.or(poetry.description),
            authors: either(authors.collect(), poetry.authors),
            license: text_or_under(project.license, "text").or(poetry.license),
            readme: text_or_under(project.readme, "file").or(text_or_under(poetry.readme, "file")),
            repository: repository.map(|(_, url)| url.clone()).or(poetry.repository),
            keywords: either(project.keywords, poetry.keywords),
            entrypoint: None,
            runtime: Runtime::Python,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NativeManifest {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs_err::write(folder.path().join("pyproject.toml"), text).expect("a file");
        NativeManifest::read(folder.path()).expect("a manifest")
    }

    #[test]
    fn poetry_says_what_project_leaves_out() {
        let native = read(
            "[project]\nname = 'chat'\ndynamic = ['version']\n\n\
             [tool.poetry]\nname = 'other'\nversion = '0.2.0'\nauthors = ['Ada <a@b.c>']\n",
        );
        assert_eq!(native.name.as_deref(), Some("chat"));
        assert_eq!(native.version.as_deref(), Some("0.2.0"));
        assert_eq!(native.authors, ["Ada <a@b.c>"]);
        assert_eq!(native.runtime, Runtime::Python);
    }
}
