//! Handlebars, strict: a template that refers to something unknown is an error.

use std::collections::BTreeMap;

use handlebars::{Handlebars, handlebars_helper};
use include_dir::{Dir, DirEntry};
use serde_json::Value;

use super::{ScaffoldError, template};

/// Files with this suffix are rendered and lose it; others are copied byte for byte.
const SUFFIX: &str = ".hbs";

/// The files of a project by path, with `/` between folders.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a file that is not there yet.
    pub(super) fn add(&mut self, path: String, content: Vec<u8>) -> Result<(), ScaffoldError> {
        if self.0.contains_key(&path) {
            return Err(ScaffoldError::broken(path, &"two templates make this file"));
        }
        self.0.insert(path, content);
        Ok(())
    }

    /// Path and content of each, sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.0.iter()
    }

    /// The paths, sorted.
    pub(super) fn into_paths(self) -> Vec<String> {
        self.0.into_keys().collect()
    }
}

/// Renders texts and folders.
pub(super) struct Engine(Handlebars<'static>);

impl Engine {
    /// An engine that knows the shared partials.
    pub(super) fn new() -> Result<Self, ScaffoldError> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(handlebars::no_escape);
        handlebars.register_helper("quote", Box::new(quote));
        for (name, text) in template::partials() {
            handlebars.register_partial(name, text).map_err(|error| ScaffoldError::broken(name, &error))?;
        }
        Ok(Engine(handlebars))
    }

    /// Renders a text.
    pub(super) fn text(&self, text: &str, context: &Value) -> Result<String, ScaffoldError> {
        self.0.render_template(text, context).map_err(|error| ScaffoldError::broken(text, &error))
    }

    /// Renders a template's folder into `files`, below the folder `into` of the project.
    pub(super) fn folder(
        &self,
        folder: &Dir<'_>,
        into: &str,
        context: &Value,
        files: &mut Files,
    ) -> Result<(), ScaffoldError> {
        for entry in folder.entries() {
            let name = entry.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let name = self.text(name, context)?;
            let path = if into.is_empty() { name } else { format!("{into}/{name}") };
            match (entry, path.strip_suffix(SUFFIX)) {
                (DirEntry::Dir(folder), _) => self.folder(folder, &path, context, files)?,
                (DirEntry::File(file), None) => files.add(path, file.contents().to_vec())?,
                (DirEntry::File(file), Some(path)) => {
                    let text = file
                        .contents_utf8()
                        .ok_or_else(|| ScaffoldError::broken(file.path().display(), &"it is not UTF-8"))?;
                    let rendered = self
                        .0
                        .render_template(text, context)
                        .map_err(|error| ScaffoldError::broken(file.path().display(), &error))?;
                    files.add(path.to_owned(), rendered.into_bytes())?;
                }
            }
        }
        Ok(())
    }
}

// A text as a string of JSON, TOML and Python alike: of what JSON leaves bare, TOML refuses only DEL.
handlebars_helper!(quote: |text: str| Value::from(text).to_string().replace('\u{7f}', "\\u007f"));

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_variable_is_an_error() {
        let engine = Engine::new().expect("the partials are well formed");
        assert_eq!(engine.text("{{a}}<&>", &json!({"a": "\"&"})).expect("a text"), "\"&<&>");
        assert!(engine.text("{{b}}", &json!({"a": 1})).is_err());
    }

    #[test]
    fn a_quoted_text_is_the_same_in_toml_and_json() {
        let engine = Engine::new().expect("the partials are well formed");
        let text = "a \"b\" \\ c\u{7f} é 🦀 {{x}}";
        let quoted = engine.text("{{quote a}}", &json!({ "a": text })).expect("a text");
        assert_eq!(serde_json::from_str::<String>(&quoted).expect("JSON"), text);
        let table: toml::Table = toml::from_str(&format!("a = {quoted}")).expect("TOML");
        assert_eq!(table["a"].as_str(), Some(text));
    }
}
