//! The embedded templates.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

use super::{Language, ScaffoldError, variable::Variable};
use crate::module::ModuleType;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// What templates share: partials, and the files of every project. Not a template.
const SHARED: &str = "shared";

/// `template.toml`.
#[derive(Debug, Deserialize)]
pub(super) struct Template {
    /// As it is typed; also the name of its folder.
    pub(super) id: String,
    /// Of the template itself.
    pub(super) version: String,
    /// What it makes.
    pub(super) module_type: ModuleType,
    /// The template that `--bare` takes instead.
    #[serde(default)]
    pub(super) bare: Option<String>,
    /// The template of the same in Rust.
    #[serde(default)]
    pub(super) rust: Option<String>,
    /// Where the module goes in the project; the project's own folder when empty.
    #[serde(default)]
    pub(super) into: String,
    /// Commands to type next.
    #[serde(default)]
    pub(super) next: Vec<String>,
    /// What can be chosen.
    #[serde(default)]
    pub(super) variables: Vec<Variable>,
    /// Other templates whose modules belong to the project.
    #[serde(default)]
    pub(super) parts: Vec<Part>,
}

/// A module of another template in the project. All of its texts are templates themselves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The other template's id, a template itself.
    pub(super) template: String,
    /// The module's name.
    pub(super) name: String,
    /// Its folder in the project.
    pub(super) into: String,
    /// Values of the other template's variables.
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
}

impl Template {
    /// The template that makes a module of this type in this language, alone when `bare`.
    pub(super) fn of(module_type: &str, language: Language, bare: bool) -> Result<Self, ScaffoldError> {
        let module_type: ModuleType =
            module_type.parse().map_err(|_| ScaffoldError::UnknownType(module_type.to_owned()))?;
        let mut template = Self::find(module_type.as_str())?;
        if language == Language::Rust {
            template = Self::find(template.rust.as_ref().ok_or(ScaffoldError::NotInRust(module_type))?)?;
        }
        match (bare, &template.bare) {
            (false, _) => Ok(template),
            (true, Some(id)) => Self::find(id),
            (true, None) => Err(ScaffoldError::NotBare(module_type)),
        }
    }

    /// The template with this id, which napt's own sources name.
    pub(super) fn find(id: &str) -> Result<Self, ScaffoldError> {
        let path = format!("{id}/template.toml");
        let text = TEMPLATES.get_file(&path).and_then(|file| file.contents_utf8()).unwrap_or_default();
        toml::from_str(text).map_err(|error| ScaffoldError::broken(path, &error))
    }

    /// A folder of the template.
    pub(super) fn folder(&self, name: &str) -> Option<&'static Dir<'static>> {
        TEMPLATES.get_dir(format!("{}/{name}", self.id))
    }
}

/// The files that every project has.
pub(super) fn shared_project() -> &'static Dir<'static> {
    shared("project")
}

/// The partials: name and text.
pub(super) fn partials() -> impl Iterator<Item = (&'static str, &'static str)> {
    shared("partials").files().filter_map(|file| Some((file.path().file_stem()?.to_str()?, file.contents_utf8()?)))
}

fn shared(name: &str) -> &'static Dir<'static> {
    TEMPLATES.get_dir(format!("{SHARED}/{name}")).expect("the folder is part of the source")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_well_formed() {
        let ids = TEMPLATES.dirs().filter_map(|folder| folder.path().to_str()).filter(|id| *id != SHARED);
        for id in ids {
            let template = Template::find(id).expect(id);
            assert_eq!(template.id, id);
            assert!(template.folder("content").is_some(), "{id}");
            for variable in &template.variables {
                assert!(variable.parse(&variable.default_text()).is_ok(), "{id}: the default of `{}`", variable.name);
            }
        }
        for module_type in ModuleType::ALL {
            let of = |language, bare| Template::of(module_type.as_str(), language, bare);
            let template = of(Language::Python, false).expect("one for each type");
            assert_eq!(template.module_type, module_type);
            assert_eq!(of(Language::Python, true).is_ok(), template.bare.is_some());
            match template.rust {
                None => assert!(of(Language::Rust, false).is_err()),
                Some(_) => {
                    let rust = of(Language::Rust, false).expect("it is named");
                    assert_eq!((rust.module_type, rust.bare.is_some()), (module_type, template.bare.is_some()));
                    assert_eq!(of(Language::Rust, true).is_ok(), rust.bare.is_some());
                }
            }
        }
    }
}
