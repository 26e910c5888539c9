//! Changes to a `napt.toml` that keep its form: comments, order and spacing stay as they are.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, TableLike, Value, value};

use super::{GitSource, MANIFEST_FILE, ManifestError, ManifestFile, ModuleId};
use crate::files;

/// What a dependency is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDependency {
    /// A semver requirement; of git there may be none.
    pub version: Option<String>,
    /// A folder, relative to the manifest.
    pub path: Option<String>,
    /// The name of a configured registry.
    pub registry: Option<String>,
    /// A place in git.
    pub git: Option<GitSource>,
}

/// A `napt.toml` that is being changed.
#[derive(Debug)]
pub struct ManifestEdit {
    path: PathBuf,
    document: DocumentMut,
}

impl ManifestEdit {
    /// Reads the manifest in a module's folder.
    pub fn open(root: &Path) -> Result<Self, ManifestError> {
        let path = root.join(MANIFEST_FILE);
        let text = fs_err::read_to_string(&path)?;
        // For the same errors as everywhere; what it accepts is TOML.
        ManifestFile::parse(&text, &path)?;
        let document = text.parse().map_err(|error: toml_edit::TomlError| ManifestError::Invalid {
            path: path.clone(),
            key: "napt.toml".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(ManifestEdit { path, document })
    }

    fn dependencies(&mut self) -> Option<&mut dyn TableLike> {
        self.document.get_mut("dependencies")?.as_table_like_mut()
    }

    /// The key of a dependency, however it is spelled.
    fn key_of(&mut self, id: &ModuleId) -> Option<String> {
        let table = self.dependencies()?;
        table.iter().map(|(key, _)| key.to_owned()).find(|key| key.parse::<ModuleId>().is_ok_and(|key| key == *id))
    }

    /// Adds a dependency, or changes what is new of one that is there.
    pub fn set_dependency(&mut self, id: &ModuleId, new: &NewDependency) {
        let known = self.key_of(id);
        if !self.document.contains_key("dependencies") {
            self.document.insert("dependencies", Item::Table(Table::new()));
        }
        let Some(table) = self.dependencies() else { return };
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        wanted.extend(new.version.as_deref().map(|version| ("version", version)));
        wanted.extend(new.path.as_deref().map(|path| ("path", path)));
        wanted.extend(new.registry.as_deref().map(|registry| ("registry", registry)));
        if let Some(git) = &new.git {
            wanted.push(("git", git.url()));
            wanted.extend(git.reference.key().zip(git.reference.name()));
        }
        if let Some(key) = &known
            && let Some(item) = table.get_mut(key)
        {
            match item.as_table_like_mut() {
                Some(entry) => {
                    if new.git.is_some() {
                        for other in ["path", "registry", "tag", "branch", "rev"] {
                            entry.remove(other);
                        }
                    }
                    for (key, text) in wanted {
                        set(entry, key, text);
                    }
                    if new.git.is_some() {
                        entry.fmt();
                    }
                    return;
                }
                None => {
                    if let [("version", version)] = wanted.as_slice() {
                        return set(table, key, version);
                    }
                }
            }
        }
        let is_sorted = table.iter().map(|(key, _)| key).is_sorted();
        let entry = match wanted.as_slice() {
            [("version", version)] => value(*version),
            _ => value(wanted.into_iter().collect::<InlineTable>()),
        };
        match known {
            Some(key) => {
                if let Some(old) = table.get_mut(&key) {
                    replace(old, entry);
                }
            }
            None => {
                table.insert(&id.to_string(), entry);
                if is_sorted {
                    table.sort_values();
                }
            }
        }
    }

    /// Takes a dependency out; false when there is none.
    pub fn remove_dependency(&mut self, id: &ModuleId) -> bool {
        let Some(key) = self.key_of(id) else { return false };
        let Some(table) = self.dependencies() else { return false };
        table.remove(&key);
        if table.is_empty() {
            self.document.remove("dependencies");
        }
        true
    }

    /// Writes it, at once or not at all. Returns whether it has changed.
    pub fn save(&self) -> Result<bool, ManifestError> {
        let text = self.document.to_string();
        ManifestFile::parse(&text, &self.path)?;
        if fs_err::read_to_string(&self.path)? == text {
            return Ok(false);
        }
        files::write(&self.path, text.as_bytes())?;
        Ok(true)
    }
}

/// Sets a text; a comment behind it stays.
fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    match table.get_mut(key) {
        Some(old) => replace(old, value(text)),
        None => {
            table.entry_format(&Key::new(key)).or_insert_with(|| value(text));
        }
    }
}

fn replace(old: &mut Item, new: Item) {
    let decor = old.as_value().map(|value| value.decor().clone());
    *old = new;
    if let (Some(value), Some(decor)) = (old.as_value_mut(), decor) {
        let value: &mut Value = value;
        *value.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, str};

    use super::*;

    const HEAD: &str = "[module]\ntype = \"agent\"\nname = \"x\"\n";

    fn edited(text: &str, edit: impl FnOnce(&mut ManifestEdit)) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs_err::write(folder.path().join(MANIFEST_FILE), format!("{HEAD}{text}")).expect("a file");
        let mut manifest = ManifestEdit::open(folder.path()).expect("a manifest");
        edit(&mut manifest);
        manifest.save().expect("saved");
        let text = fs_err::read_to_string(folder.path().join(MANIFEST_FILE)).expect("a file");
        text.strip_prefix(HEAD).expect("the rest stays").to_owned()
    }

    fn id(text: &str) -> ModuleId {
        text.parse().expect("an id")
    }

    fn version(text: &str) -> NewDependency {
        NewDependency { version: Some(text.to_owned()), ..NewDependency::default() }
    }

    #[test]
    fn a_new_dependency_keeps_the_order_and_the_comments() {
        let before = "\n# What it calls.\n[dependencies]\n# facts\n\"kb:facts\"   = \"1\" # exactly\n\n[lints]\n";
        let text = edited(before, |manifest| manifest.set_dependency(&id("agent:chat"), &version("^1.2.0")));
        assert_data_eq!(
            text,
            str![[r#"

# What it calls.
[dependencies]
"agent:chat" = "^1.2.0"
# facts
"kb:facts"   = "1" # exactly

[lints]

"#]]
        );
        let text = edited("", |manifest| {
            let path = Some("../chat".to_owned());
            manifest.set_dependency(&id("agent:chat"), &NewDependency { path, ..version("^0.1.0") });
        });
        assert_data_eq!(
            text,
            str![[r#"

[dependencies]
"agent:chat" = { version = "^0.1.0", path = "../chat" }

"#]]
        );
    }

    #[test]
    fn a_place_in_git_takes_the_place_of_a_folder() {
        let place =
            |text: &str| NewDependency { git: Some(text.parse().expect("a place")), ..NewDependency::default() };
        let before = "[dependencies]\n\"agent:a\" = { path = \"../a\", version = \"1\" }\n\"kb:b\" = \"1\"\n";
        let text = edited(before, |manifest| {
            manifest.set_dependency(&id("agent:a"), &place("https://example.org/a?tag=v1"));
            manifest.set_dependency(&id("kb:b"), &place("https://example.org/b"));
        });
        assert_data_eq!(
            text,
            str![[r#"
[dependencies]
"agent:a" = { version = "1", git = "https://example.org/a", tag = "v1" }
"kb:b" = { git = "https://example.org/b" }

"#]]
        );
    }

    #[test]
    fn a_dependency_that_is_there_is_changed_in_its_place() {
        let set = |before: &str, new: &NewDependency| {
            edited(before, |manifest| manifest.set_dependency(&id("agent:simple_chat"), new))
        };
        let registry = NewDependency { registry: Some("internal".to_owned()), ..version("^2") };
        for (before, new, after) in [
            ("\"simple-chat\"='1' # old\n", version("^2"), "\"simple-chat\"=\"^2\" # old\n"),
            (
                "\"agent:simple_chat\" = { path = \"../c\", version = \"1\" } # old\n",
                version("^2"),
                "\"agent:simple_chat\" = { path = \"../c\", version = \"^2\" } # old\n",
            ),
            (
                "\"agent:simple_chat\" = \"1\" # old\n",
                registry.clone(),
                "\"agent:simple_chat\" = { version = \"^2\", registry = \"internal\" } # old\n",
            ),
        ] {
            assert_eq!(set(&format!("[dependencies]\n{before}"), &new), format!("[dependencies]\n{after}"));
        }
        let table = set("[dependencies.\"agent:simple_chat\"]\nversion = \"1\"\n", &registry);
        assert_eq!(table, "[dependencies.\"agent:simple_chat\"]\nversion = \"^2\"\nregistry = \"internal\"\n");
    }

    #[test]
    fn a_removed_dependency_takes_only_itself() {
        let remove =
            |before: &str, text: &str| edited(before, |manifest| assert!(manifest.remove_dependency(&id(text))));
        let two = "[dependencies]\n\"a\" = \"1\"\n# b\n\"kb:b\" = \"1\"\n";
        assert_eq!(remove(two, "agent:a"), "[dependencies]\n# b\n\"kb:b\" = \"1\"\n");
        assert_eq!(remove("[dependencies]\n\"a\" = \"1\"\n\n[lints]\n", "a"), "\n[lints]\n");
        edited(two, |manifest| assert!(!manifest.remove_dependency(&id("kb:a"))));
    }
}
