//! Writing configuration files: what a person wrote in them stays as it is.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Value};

use super::{
    Dirs,
    schema::{CONFIG_SCHEMA, config_schema},
    settings::{Key, SettingsError, Source, checked},
};
use crate::files;

/// Gives a setting a value in the configuration file `path`. Other lines, comments and order stay.
pub(super) fn set(path: &Path, key: Key, value: &str, dirs: &Dirs) -> Result<(), SettingsError> {
    checked(key, value, &Source::Flag)?;
    let is_users = path.starts_with(&dirs.config);
    if key.is_secret() && !is_users {
        return Err(SettingsError::Secret { key, path: path.to_owned() });
    }
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    // The same parser as when it is read, so that the error is the same too.
    toml::from_str::<toml::Table>(&text).map_err(|error| SettingsError::syntax(path, &text, &error))?;
    let mut document: DocumentMut = text.parse().expect("both parsers read the same TOML");
    match document.get_mut(key.name()).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = Value::from(value);
            *old.decor_mut() = decor;
        }
        None => document[key.name()] = toml_edit::value(value),
    }
    let is_new = text.is_empty();
    let text = document.to_string();
    if is_users {
        // It may hold secrets, now or later.
        files::write_private(path, text.as_bytes())?;
    } else {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let text = if is_new {
            let schema = folder.join(CONFIG_SCHEMA);
            fs_err::create_dir_all(schema.parent().unwrap_or(folder))?;
            files::write(&schema, format!("{:#}\n", config_schema()).as_bytes())?;
            format!("#:schema {CONFIG_SCHEMA}\n{text}")
        } else {
            text
        };
        files::write(path, text.as_bytes())?;
    }
    Ok(())
}
