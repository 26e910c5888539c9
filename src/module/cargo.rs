//! `Cargo.toml` as a native manifest. Cargo itself reads it where there is one, through `cargo metadata`, which knows
//! what is inherited and which binaries there are. A machine that only deploys or publishes needs no Rust: without Cargo,
//! what the file says itself is taken.

use std::path::{Path, PathBuf};

use cargo_metadata::{Error as CargoError, MetadataCommand};
use serde::Deserialize;
use toml::Value;

use super::{
    manifest::Runtime,
    native::{NativeError, NativeManifest},
};

/// The manifest's file name.
pub const CARGO_FILE: &str = "Cargo.toml";

/// The lock file's.
pub const CARGO_LOCK: &str = "Cargo.lock";

/// What is said of the package in `root`.
pub(super) fn read(root: &Path) -> Result<NativeManifest, NativeError> {
    let path = root.join(CARGO_FILE);
    let mut command = MetadataCommand::new();
    // The toolchain and the settings that the folder asks for are not followed: they could name any program.
    command.manifest_path(&path).no_deps().current_dir("/").other_options(vec!["--offline".to_owned()]);
    match command.exec() {
        Ok(metadata) => {
            let is_here = |manifest: &Path| manifest.canonicalize().ok() == path.canonicalize().ok();
            let package = metadata.packages.into_iter().find(|package| is_here(package.manifest_path.as_std_path()));
            let package = package.ok_or_else(|| NativeError::NoPackage(path.clone()))?;
            let binaries = package.targets.iter().filter(|target| target.is_bin()).map(|target| target.name.clone());
            let name = package.name.to_string();
            Ok(NativeManifest {
                entrypoint: binary(package.default_run.clone(), binaries.collect(), &name),
                name: Some(name),
                version: Some(package.version.to_string()),
                description: package.description,
                authors: package.authors,
                license: package.license,
                readme: package.readme.map(String::from),
                repository: package.repository,
                keywords: package.keywords,
                runtime: Runtime::Rust,
            })
        }
        Err(CargoError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => read_plain(path),
        Err(CargoError::CargoMetadata { stderr }) => Err(NativeError::Cargo { path, reason: words(&stderr) }),
        Err(error) => Err(NativeError::Cargo { path, reason: error.to_string() }),
    }
}

/// The binary that is run: the default, the only one, or the one named like the package.
fn binary(default: Option<String>, binaries: Vec<String>, package: &str) -> Option<String> {
    match binaries.as_slice() {
        _ if default.is_some() => default,
        [only] => Some(only.clone()),
        several => several.iter().find(|name| *name == package).cloned(),
    }
}

/// What Cargo says, without its own prefix.
fn words(stderr: &str) -> String {
    stderr.trim().strip_prefix("error: ").unwrap_or(stderr.trim()).to_owned()
}

#[derive(Deserialize)]
struct CargoToml {
    package: Option<Package>,
    #[serde(default)]
    bin: Vec<Binary>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<Value>,
    description: Option<Value>,
    authors: Option<Value>,
    license: Option<Value>,
    readme: Option<Value>,
    repository: Option<Value>,
    keywords: Option<Value>,
    default_run: Option<String>,
}

/// The same where there is no Cargo.
fn read_plain(path: PathBuf) -> Result<NativeManifest, NativeError> {
    let text = fs_err::read_to_string(&path)?;
    let file: CargoToml =
        toml::from_str(&text).map_err(|error| NativeError::Syntax { path: path.clone(), error: Box::new(error) })?;
    let package = file.package.ok_or_else(|| NativeError::NoPackage(path.clone()))?;
    let text = |key: &'static str, value: Option<Value>| match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(NativeError::NeedsCargo { path: path.clone(), key }),
    };
    let list = |key: &'static str, value: Option<Value>| match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Some(_) => Err(NativeError::NeedsCargo { path: path.clone(), key }),
    };
    let mut binaries: Vec<String> = file.bin.into_iter().map(|binary| binary.name).collect();
    if binaries.is_empty() && path.with_file_name("src").join("main.rs").is_file() {
        binaries.push(package.name.clone());
    }
    // `readme = false` says that there is none.
    let readme = package.readme.filter(|value| !matches!(value, Value::Boolean(_)));
    let by_itself = || path.with_file_name("README.md").is_file().then(|| "README.md".to_owned());
    Ok(NativeManifest {
        entrypoint: binary(package.default_run, binaries, &package.name),
        version: text("version", package.version)?.or_else(|| Some("0.0.0".to_owned())),
        description: text("description", package.description)?,
        authors: list("authors", package.authors)?,
        license: text("license", package.license)?,
        readme: text("readme", readme)?.or_else(by_itself),
        repository: text("repository", package.repository)?,
        keywords: list("keywords", package.keywords)?,
        name: Some(package.name),
        runtime: Runtime::Rust,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().expect("a folder");
        fs_err::create_dir(folder.path().join("src")).expect("a folder");
        fs_err::write(folder.path().join("src").join("main.rs"), "fn main() {}\n").expect("a file");
        fs_err::write(folder.path().join("README.md"), "# x\n").expect("a file");
        fs_err::write(folder.path().join(CARGO_FILE), manifest).expect("a file");
        folder
    }

    #[test]
    fn with_and_without_cargo_the_same_is_read() {
        let folder = package(
            "[package]\nname = 'chat-agent'\nversion = '0.2.0'\nedition = '2021'\nauthors = ['Ada <a@b.c>']\n\
             description = 'It chats'\nlicense = 'MIT'\nrepository = 'https://example.org/chat'\nkeywords = ['chat']\n",
        );
        let (read, plain) =
            (read(folder.path()).expect("cargo reads it"), read_plain(folder.path().join(CARGO_FILE)).expect("TOML"));
        assert_eq!(format!("{read:?}"), format!("{plain:?}"));
        assert_eq!(read.entrypoint.as_deref(), Some("chat-agent"));
        assert_eq!((read.version.as_deref(), read.runtime), (Some("0.2.0"), Runtime::Rust));
    }

    #[test]
    fn what_is_inherited_needs_cargo() {
        let folder = package("[package]\nname = 'chat'\nversion.workspace = true\n");
        let error = read_plain(folder.path().join(CARGO_FILE)).expect_err("it is not there");
        assert!(matches!(error, NativeError::NeedsCargo { key: "version", .. }), "{error}");
        let error = read(folder.path()).expect_err("there is no workspace");
        assert!(matches!(error, NativeError::Cargo { .. }), "{error}");
    }

    #[test]
    fn of_several_binaries_the_default_is_run() {
        let bins = "[[bin]]\nname = 'a'\npath = 'src/main.rs'\n[[bin]]\nname = 'b'\npath = 'src/main.rs'\n";
        let folder = package(&format!("[package]\nname = 'x'\ndefault-run = 'b'\n{bins}"));
        assert_eq!(read(folder.path()).expect("a package").entrypoint.as_deref(), Some("b"));
        let folder = package(&format!("[package]\nname = 'x'\n{bins}"));
        assert_eq!(read(folder.path()).expect("a package").entrypoint, None);
    }
}
