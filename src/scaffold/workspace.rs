//! The workspace that a new module joins.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Value};

use super::ScaffoldError;
use crate::module::{MANIFEST_FILE, ManifestFile, SCHEMA_FOLDER, existing_folder};

/// A workspace around a folder.
#[derive(Debug)]
pub(super) struct Around {
    /// Its root.
    pub(super) root: PathBuf,
    /// The folder, relative to the root.
    inner: PathBuf,
    /// `members`.
    patterns: Vec<String>,
}

/// Where modules go in a workspace.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder to make theirs in.
    pub(super) parent: PathBuf,
    /// Whether `members` reaches them there already.
    pub(super) is_reached: bool,
}

impl Around {
    /// The nearest workspace that `folder` is in.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>, ScaffoldError> {
        let folder = existing_folder(folder)?;
        for root in folder.ancestors() {
            let path = root.join(MANIFEST_FILE);
            if !path.is_file() {
                continue;
            }
            let file = ManifestFile::parse(&fs_err::read_to_string(&path)?, &path)?;
            if let Some(table) = file.workspace {
                let inner = folder.strip_prefix(root).unwrap_or(&folder).to_owned();
                return Ok(Some(Around { root: root.to_owned(), inner, patterns: table.members }));
            }
        }
        Ok(None)
    }

    /// Whether a module that is made in the folder would be a member.
    pub(super) fn reaches(&self) -> bool {
        self.patterns.iter().any(|pattern| parent_of(pattern).is_some_and(|parent| matches(&parent, &self.inner)))
    }

    /// Whether a module in the folder would be a member.
    pub(super) fn has(&self) -> bool {
        self.patterns.iter().any(|pattern| matches(&parts_of(pattern), &self.inner))
    }

    /// The way from a folder in it up to where it keeps the JSON Schemas, if it does.
    pub(super) fn way_to_schemas(&self, folder: &Path) -> Option<String> {
        let depth = folder.strip_prefix(&self.root).map_or(0, |inner| inner.components().count());
        self.root.join(SCHEMA_FOLDER).is_dir().then(|| "../".repeat(depth))
    }

    /// Where new modules go: into the folder when it is within the workspace; from the root, to where the first
    /// pattern that ends in `*` reaches.
    pub(super) fn place(&self) -> Place {
        if self.inner.as_os_str().is_empty() {
            let mut parents = self.patterns.iter().filter_map(|pattern| parent_of(pattern));
            if let Some(parent) = parents.find(|parent| !parent.contains(&"*")) {
                return Place { parent: self.root.join(parent.join("/")), is_reached: true };
            }
        }
        Place { parent: self.root.join(&self.inner), is_reached: self.reaches() }
    }

    /// The text of the root's manifest with these folders among its members, in its own form.
    pub(super) fn with_members(&self, folders: &[PathBuf]) -> Result<String, ScaffoldError> {
        let path = self.root.join(MANIFEST_FILE);
        let broken = |reason: &dyn std::fmt::Display| ScaffoldError::Members {
            path: path.clone(),
            reason: reason.to_string().trim().to_owned(),
        };
        let mut document: DocumentMut =
            fs_err::read_to_string(&path)?.parse().map_err(|error: toml_edit::TomlError| broken(&error))?;
        let members = document
            .get_mut("workspace")
            .and_then(|table| table.get_mut("members"))
            .and_then(Item::as_array_mut)
            .ok_or_else(|| broken(&"`members` is not a list"))?;
        for folder in folders {
            let folder = folder.strip_prefix(&self.root).unwrap_or(folder);
            push(members, &folder.to_string_lossy());
        }
        Ok(document.to_string())
    }
}

/// Adds an element as the last one stands: on a line of its own, or on the same.
fn push(members: &mut Array, folder: &str) {
    let prefix = members.iter().last().and_then(|last| last.decor().prefix()).and_then(|prefix| prefix.as_str());
    let Some(indent) = prefix.and_then(|prefix| prefix.rsplit_once('\n')).map(|(_, indent)| indent.to_owned()) else {
        return members.push(folder);
    };
    let mut value = Value::from(folder);
    if members.trailing_comma() {
        // A comment behind the comma belongs to the element before it.
        let comment = members.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        value.decor_mut().set_prefix(format!("{comment}\n{indent}"));
        members.set_trailing("\n");
    } else {
        // What stands before the bracket stands behind the last element.
        let suffix = members.iter().last().and_then(|last| last.decor().suffix()).and_then(|suffix| suffix.as_str());
        value.decor_mut().set_suffix(suffix.unwrap_or("\n").to_owned());
        if let Some(last) = members.iter_mut().last() {
            last.decor_mut().set_suffix("");
        }
        value.decor_mut().set_prefix(format!("\n{indent}"));
    }
    members.push_formatted(value);
}

/// The folders of a pattern, without the last one if that is `*`: where a new folder would be a member.
fn parts_of(pattern: &str) -> Vec<&str> {
    pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

fn parent_of(pattern: &str) -> Option<Vec<&str>> {
    let mut parts = parts_of(pattern);
    (parts.pop() == Some("*")).then_some(parts)
}

fn matches(pattern: &[&str], folder: &Path) -> bool {
    let parts: Vec<_> = folder.iter().collect();
    parts.len() == pattern.len() && pattern.iter().zip(parts).all(|(pattern, part)| *pattern == "*" || *pattern == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(patterns: &[&str], inner: &str) -> Around {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Around { root: "/w".into(), inner: inner.into(), patterns }
    }

    #[test]
    fn modules_go_where_the_members_reach() {
        for (patterns, inner, parent, is_reached) in [
            (&["modules/*"][..], "", "/w/modules", true),
            (&["a/b", "x/*/y", "./agents/*"], "", "/w/agents", true),
            (&["*"], "", "/w/", true),
            (&["a/b"], "", "/w/", false),
            (&["*/*"], "", "/w/", false),
            (&["*/*"], "tools", "/w/tools", true),
            (&["modules/*"], "modules", "/w/modules", true),
            (&["modules/*"], "modules/deep", "/w/modules/deep", false),
        ] {
            let place = around(patterns, inner).place();
            assert_eq!((place.parent.as_path(), place.is_reached), (Path::new(parent), is_reached), "{patterns:?}");
        }
    }

    #[test]
    fn the_list_of_members_keeps_its_form() {
        for (before, after) in [
            ("[\"a\"] # all", "[\"a\", \"b\"] # all"),
            ("[]", "[\"b\"]"),
            ("[\n    \"a\", # first\n]", "[\n    \"a\", # first\n    \"b\",\n]"),
            ("[\n  \"x\",\n  \"a\"\n]", "[\n  \"x\",\n  \"a\",\n  \"b\"\n]"),
        ] {
            let mut document: DocumentMut = format!("members = {before}\n").parse().expect("TOML");
            push(document["members"].as_array_mut().expect("a list"), "b");
            assert_eq!(document.to_string(), format!("members = {after}\n"));
        }
    }
}
