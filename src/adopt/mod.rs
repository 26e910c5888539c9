//! Verb: an existing Naptha project in, its `napt.toml` out, and the schemas that editors read it with. No file of the
//! project's own is changed.
//!
//! What a project is, is found in its `pyproject.toml`, its code and its `configs/`; each finding says where it is from,
//! to the user and as a comment in the manifest.

mod error;
mod find;
mod kind;
mod needs;

use std::path::{Path, PathBuf};

pub use error::AdoptError;
use semver::Version;
use serde::Serialize;

use self::needs::Need;
use crate::{
    files,
    module::{MANIFEST_FILE, ModuleId, ModuleType, NativeManifest, Runtime, SDK_VERSION, Setuptools, existing_folder},
    report::Reporter,
};

/// What to adopt.
#[derive(Debug, Clone, Default)]
pub struct AdoptOptions {
    /// The project's folder.
    pub path: PathBuf,
    /// The module's type, when the project does not tell.
    pub module_type: Option<ModuleType>,
    /// Where editors find the manifest's schema, as the manifest says it.
    pub schema: Option<String>,
    /// Files for editors, relative to the project, with their texts: those that are not there yet are written.
    pub editor_files: Vec<(String, String)>,
    /// Write nothing.
    pub dry_run: bool,
}

/// A value of the manifest and why it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The key.
    pub key: String,
    /// Its value, as TOML.
    pub value: String,
    /// Where it is from.
    pub reason: String,
}

/// What was found, and written unless only asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Adopted {
    /// The `napt.toml`.
    pub path: PathBuf,
    /// The module.
    pub id: ModuleId,
    /// The manifest's text.
    pub manifest: String,
    /// What it says and why.
    pub findings: Vec<Finding>,
    /// Files for editors that were written besides, relative to the project.
    pub files: Vec<String>,
}

/// Writes the `napt.toml` of the project in a folder.
pub fn adopt(options: &AdoptOptions, reporter: &dyn Reporter) -> Result<Adopted, AdoptError> {
    let root = existing_folder(&options.path)?;
    let path = root.join(MANIFEST_FILE);
    if path.symlink_metadata().is_ok() {
        return Err(AdoptError::Exists(path));
    }
    let native = NativeManifest::read(&root)?;
    let found = find::find(&root, &native)?;
    let (module_type, reason) = match options.module_type {
        Some(given) if (given == ModuleType::Persona) != (found.runtime == Runtime::Data) => {
            let there =
                if given == ModuleType::Persona { format!("code in `{}`", found.shown) } else { "no code".to_owned() };
            return Err(AdoptError::Unfit { name: found.name.to_string(), given, found: there });
        }
        Some(given) => (given, "given by `--type`".to_owned()),
        None => kind::module_type(&found)?,
    };
    let id = ModuleId { module_type, name: found.name.clone() };
    let needs = needs::needs(&root, &id, &found, reporter);
    let mut findings = vec![finding("type", module_type.as_str(), reason)];
    findings.push(finding("name", found.name.as_str(), found.name_from.clone()));
    let older = Setuptools::read(&root).unwrap_or_default();
    findings.extend(version(&native, &older));
    if let (None, Some(text)) = (&native.description, &older.description) {
        findings.push(finding("description", text, "`setup.py` or `setup.cfg`".to_owned()));
    } else if native.description.is_none() && found.runtime == Runtime::Data {
        let text = found.description.clone().unwrap_or_else(|| format!("The persona {}", found.name));
        findings.push(finding("description", &text, "a registry shows it; write a better one".to_owned()));
    }
    if found.runtime == Runtime::Data {
        findings.push(finding("runtime", "data", "nothing of it is run".to_owned()));
    }
    if found.runtime == Runtime::Python && native.runtime != Runtime::Python {
        findings.push(finding("runtime", "python", format!("there is code in `{}`", found.shown)));
    }
    if found.runtime == Runtime::Data || found.entrypoint != "run.py" {
        findings.push(finding("entrypoint", &found.entrypoint, found.entrypoint_from.clone()));
    }
    if let Some(reason) = needs::sdk_without_version(&root)? {
        findings.push(finding("sdk", SDK_VERSION, reason));
    }
    if let Some(problem) = needs::python_problem(&root)? {
        reporter.warn(&format!("nodes cannot install what `pyproject.toml` asks for: {problem}"));
    }
    let manifest = manifest(options.schema.as_deref(), &findings, &needs);
    findings.extend(needs.into_iter().map(Need::into_finding));
    let mut written = Vec::new();
    if !options.dry_run {
        written = write_missing(&root, &options.editor_files, reporter)?;
        create(&path, &manifest)?;
        reporter.step("Adopted", &format!("{id} in `{}`", path.display()));
    }
    Ok(Adopted { path, id, manifest, findings, files: written })
}

fn finding(key: &str, text: &str, reason: String) -> Finding {
    Finding { key: key.to_owned(), value: toml::Value::from(text).to_string(), reason }
}

/// A version of its own, when the native manifest has none that napt can use.
fn version(native: &NativeManifest, older: &Setuptools) -> Option<Finding> {
    let file = if native.version.is_some() { "pyproject.toml" } else { "setup.py" };
    let Some(given) = native.version.as_ref().or(older.version.as_ref()) else {
        return Some(finding("version", "0.1.0", "the project does not say a version".to_owned()));
    };
    if Version::parse(given).is_ok_and(|version| version.build.is_empty()) {
        let is_repeated = native.version.is_none();
        return is_repeated.then(|| finding("version", given, "`setup.py` or `setup.cfg`".to_owned()));
    }
    let mut numbers: Vec<String> = given
        .trim_start_matches('v')
        .split('.')
        .map_while(|part| part.parse::<u64>().ok())
        .take(3)
        .map(|number| number.to_string())
        .collect();
    numbers.resize(3, "0".to_owned());
    let version = if numbers == ["0", "0", "0"] { "0.1.0".to_owned() } else { numbers.join(".") };
    Some(finding("version", &version, format!("`{given}` of `{file}` as a semantic version")))
}

/// The manifest, with a comment behind each line that says where it is from.
fn manifest(schema: Option<&str>, findings: &[Finding], needs: &[Need]) -> String {
    let mut text = schema.map(|schema| format!("#:schema {schema}\n")).unwrap_or_default();
    text.push_str("# Written by `napt init`: behind each line stands where it is from.\n[module]\n");
    let lines: Vec<(String, &str)> =
        findings.iter().map(|finding| (format!("{} = {}", finding.key, finding.value), &*finding.reason)).collect();
    commented(&mut text, &lines);
    if !needs.is_empty() {
        text.push_str("\n[dependencies]\n");
        let lines: Vec<(String, &str)> = needs.iter().map(|need| (need.line(), &*need.reason)).collect();
        commented(&mut text, &lines);
    }
    text
}

fn commented(text: &mut String, lines: &[(String, &str)]) {
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
    for (line, comment) in lines {
        let padding = " ".repeat(width - line.chars().count());
        // A comment ends with its line, whatever stands in a project's files.
        let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.push_str(&format!("{line}{padding}  # {comment}\n"));
    }
}

/// Writes those files for editors that are not there yet; a project's own settings stay as they are.
fn write_missing(root: &Path, files: &[(String, String)], reporter: &dyn Reporter) -> Result<Vec<String>, AdoptError> {
    let mut written = Vec::new();
    for (file, text) in files {
        let path = root.join(file);
        if path.symlink_metadata().is_ok() {
            reporter.detail(&format!("`{file}` is there already"));
            continue;
        }
        fs_err::create_dir_all(path.parent().unwrap_or(root))?;
        create(&path, text)?;
        written.push(file.clone());
    }
    Ok(written)
}

fn create(path: &Path, text: &str) -> Result<(), AdoptError> {
    files::create(path, text.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => AdoptError::Exists(path.to_owned()),
        _ => error.into(),
    })
}
