//! A persona's file: a mapping of anything, JSON or YAML by its suffix. It is data: tags of YAML that name types of a
//! programming language are refused, never followed.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::report::{Fault, Kind};

/// Largest file. Every run of an agent carries its persona.
pub const MAX_PERSONA: u64 = 256 << 10;

/// Most nodes of a YAML file once its aliases stand for what they mean: a small text can mean a huge one.
const MAX_NODES: usize = 20_000;

/// Why a persona cannot be read. Messages start with the file.
#[derive(Debug, thiserror::Error)]
pub enum PersonaError {
    /// A path that leads out of the module.
    #[error("the persona's file `{0}` is not a path within the module")]
    Outside(String),
    /// There is no such file.
    #[error("there is no persona file `{0}`")]
    Missing(String),
    /// The file cannot be read.
    #[error("cannot read the persona file `{file}`: {error}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is too large.
    #[error("the persona file `{file}` has {size} bytes, more than {MAX_PERSONA}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        size: u64,
    },
    /// Neither JSON nor YAML by its name.
    #[error("the persona file `{0}` is neither `.json` nor `.yaml`")]
    Format(String),
    /// Not what its name says, or not a mapping.
    #[error("the persona file `{file}` cannot be used: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        reason: String,
    },
}

impl Fault for PersonaError {
    fn kind(&self) -> Kind {
        match self {
            PersonaError::Io { .. } => Kind::Failed,
            _ => Kind::Check,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PersonaError::Outside(_) | PersonaError::Missing(_) | PersonaError::Format(_) => {
                Some("set `entrypoint` in `[module]` to its `.json` or `.yaml` file".to_owned())
            }
            PersonaError::TooLarge { .. } => {
                Some("keep what a model is told short, and data in another file".to_owned())
            }
            PersonaError::Syntax { .. } | PersonaError::Io { .. } => None,
        }
    }
}

/// Reads the persona of the module in `root` whose entrypoint is `file`.
pub fn read_persona(root: &Path, file: &str) -> Result<Map<String, Value>, PersonaError> {
    let name = || file.to_owned();
    if file.is_empty() || !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(PersonaError::Outside(name()));
    }
    let path: PathBuf = root.join(file);
    let size = match fs_err::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Err(PersonaError::Missing(name())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(PersonaError::Missing(name())),
        Err(error) => return Err(PersonaError::Io { file: name(), error }),
    };
    if size > MAX_PERSONA {
        return Err(PersonaError::TooLarge { file: name(), size });
    }
    let text = fs_err::read_to_string(&path).map_err(|error| PersonaError::Io { file: name(), error })?;
    let syntax = |reason: String| PersonaError::Syntax { file: name(), reason };
    let value = match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| syntax(error.to_string()))?,
        Some("yaml" | "yml") => yaml(&text).map_err(syntax)?,
        _ => return Err(PersonaError::Format(name())),
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(syntax("it must be a mapping, with keys such as `name` and `description`".to_owned())),
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    let budget = serde_saphyr::budget! { max_nodes: MAX_NODES, max_depth: 64, max_documents: 1 };
    let options = serde_saphyr::options! { budget: budget, with_snippet: false, reject_unsupported_tags: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str) -> Result<Map<String, Value>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        fs_err::write(folder.path().join(file), text).expect("a file");
        read_persona(folder.path(), file).map_err(|error| error.to_string())
    }

    #[test]
    fn json_and_yaml_say_the_same() {
        let yaml = "# who\nname: Ada\nbio: [a, b]\nage: 36\nnested:\n  deep: yes it is\n";
        let json = r#"{"name": "Ada", "bio": ["a", "b"], "age": 36, "nested": {"deep": "yes it is"}}"#;
        let expected = read("p.json", json).expect("a persona");
        assert_eq!(read("p.yaml", yaml).as_ref(), Ok(&expected));
        assert_eq!(read("p.yml", json), Ok(expected));
    }

    #[test]
    fn what_is_no_persona_is_refused_with_its_file() {
        for (file, text, message) in [
            ("p.json", "{", "`p.json` cannot be used: EOF"),
            ("p.json", "[1]", "must be a mapping"),
            ("p.yaml", "- a\n", "must be a mapping"),
            ("p.yaml", "", "cannot be used"),
            ("p.yaml", "a: [", "cannot be used"),
            ("p.yaml", "a: 1\n---\nb: 2\n", "cannot be used"),
            ("p.py", "{}", "neither `.json` nor `.yaml`"),
        ] {
            let error = read(file, text).expect_err(text);
            assert!(error.contains(message) && error.contains(file), "{text}: {error}");
        }
        let large = format!("a: {}\n", "x".repeat(MAX_PERSONA as usize));
        assert!(read("p.yaml", &large).is_err_and(|error| error.contains("more than 262144")));
        let folder = tempfile::tempdir().expect("a folder");
        for (file, message) in [
            ("../p.json", "not a path within"),
            ("/etc/hostname", "not a path within"),
            ("", "not a path within"),
            ("none.json", "there is no persona file `none.json`"),
        ] {
            assert!(
                read_persona(folder.path(), file).is_err_and(|error| error.to_string().contains(message)),
                "{file}"
            );
        }
    }

    #[test]
    fn yaml_neither_makes_objects_nor_grows() {
        for text in [
            "a: !!python/object/apply:os.system ['true']\n",
            "!!python/object/new:os.system [true]\n",
            "a: !ruby/object:Gem {}\n",
            "a: !include /etc/passwd\n",
        ] {
            match read("p.yaml", text) {
                Ok(map) => panic!("{text}: {map:?}"),
                Err(error) => assert!(error.contains("p.yaml"), "{error}"),
            }
        }
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(read("p.yaml", &bomb).is_err());
        assert!(read("p.yaml", &format!("a: {}1{}\n", "[".repeat(5000), "]".repeat(5000))).is_err());
    }
}
