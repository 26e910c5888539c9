//! The crates that a lock file names, fetched before anything of them runs. Cargo gets a package of the node's own to
//! fetch for, made from the lock file: what a module says beside that is never read where there is a network.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use serde::Deserialize;

use super::BuildError;
use crate::module::{CARGO_FILE, CARGO_LOCK};

/// The only place that crates are fetched from. A mirror of it is a matter of the node's own Cargo settings.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The largest lock file.
const MAX_LOCK: u64 = 4 << 20;

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// A package that depends on all crates of a lock file, each at its version.
#[derive(Debug)]
pub(super) struct Wanted {
    manifest: String,
    lock: String,
}

impl Wanted {
    /// What the module in `root` has locked; `None` when that is nothing.
    pub(super) fn of(root: &Path) -> Result<Option<Self>, BuildError> {
        let path = root.join(CARGO_LOCK);
        match path.metadata() {
            Ok(found) if found.len() > MAX_LOCK => {
                return Err(BuildError::Lock(format!("it has {} bytes", found.len())));
            }
            Ok(_) => {}
            Err(_) => {
                return Err(BuildError::Unfit(
                    "the archive has no `Cargo.lock`; run `cargo generate-lockfile`, and deploy again".to_owned(),
                ));
            }
        }
        Self::parse(&fs_err::read_to_string(&path)?)
    }

    fn parse(text: &str) -> Result<Option<Self>, BuildError> {
        let lock: Lock = toml::from_str(text).map_err(|error| BuildError::Lock(error.message().to_owned()))?;
        let mut crates = BTreeMap::new();
        for package in lock.package {
            // The module's own packages, and what it has in folders.
            let Some(source) = &package.source else { continue };
            if source != CRATES_IO {
                return Err(BuildError::Lock(format!(
                    "`{} {}` is from `{source}`; nodes take crates from crates.io and from the module's own folders",
                    package.name, package.version
                )));
            }
            let is_named = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            let is_hex = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_sound = is_named(&package.name)
                && semver::Version::parse(&package.version).is_ok()
                && package.checksum.as_ref().is_some_and(is_hex);
            if !is_sound {
                return Err(BuildError::Lock(format!("`{}` has no version or no checksum", package.name)));
            }
            crates.insert((package.name.clone(), package.version.clone()), package);
        }
        if crates.is_empty() {
            return Ok(None);
        }
        let mut wanted = Wanted {
            manifest: "[package]\nname = \"napt-fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n\
                       [workspace]\n\n[dependencies]\n"
                .to_owned(),
            lock: "version = 4\n\n[[package]]\nname = \"napt-fetch\"\nversion = \"0.0.0\"\ndependencies = [\n".to_owned(),
        };
        // Writing to a text cannot fail.
        for (number, (name, version)) in crates.keys().enumerate() {
            let _ = writeln!(
                wanted.manifest,
                "c{number} = {{ package = \"{name}\", version = \"={version}\", default-features = false }}"
            );
            let _ = writeln!(wanted.lock, " \"{name} {version}\",");
        }
        wanted.lock.push_str("]\n");
        for ((name, version), package) in &crates {
            let checksum = package.checksum.as_deref().unwrap_or_default();
            let _ = write!(
                wanted.lock,
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{CRATES_IO}\"\nchecksum = \"{checksum}\"\n"
            );
            let known: Vec<String> =
                package.dependencies.iter().map(|name| toml::Value::from(name.as_str()).to_string()).collect();
            if !known.is_empty() {
                let _ = writeln!(wanted.lock, "dependencies = [{}]", known.join(", "));
            }
        }
        Ok(Some(wanted))
    }

    /// Writes the package to a folder.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        fs_err::write(folder.join(CARGO_FILE), &self.manifest)?;
        fs_err::write(folder.join(CARGO_LOCK), &self.lock)?;
        fs_err::write(folder.join("lib.rs"), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKSUM: &str = "eac8ee4056bc9e1a2e8b4bc4dec88ea8d0f4ea1f0f4b6ff2f5ee4ad5b8ab7a8e";

    fn locked(source: &str) -> String {
        format!(
            "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"itoa\"\n\
             version = \"1.0.19\"\nsource = \"{source}\"\nchecksum = \"{CHECKSUM}\"\n"
        )
    }

    #[test]
    fn crates_are_asked_for_at_their_versions() {
        let wanted = Wanted::parse(&locked(CRATES_IO)).expect("a lock").expect("a crate");
        assert!(wanted.manifest.contains("c0 = { package = \"itoa\", version = \"=1.0.19\""), "{}", wanted.manifest);
        assert!(wanted.lock.contains(CHECKSUM) && !wanted.lock.contains("\"own\""), "{}", wanted.lock);
        assert!(Wanted::parse("version = 4\n").expect("a lock").is_none());
    }

    #[test]
    fn other_places_and_odd_names_are_refused() {
        for (text, said) in [
            (locked("git+https://example.org/itoa#abc"), "is from `git+https://example.org/itoa#abc`"),
            (locked("registry+file:///etc"), "is from"),
            (locked(CRATES_IO).replace("\"itoa\"", "\"i\\\"toa\""), "has no version or no checksum"),
            (locked(CRATES_IO).replace("1.0.19", "1\\\"x"), "has no version or no checksum"),
            (locked(CRATES_IO).replace(CHECKSUM, "12"), "has no version or no checksum"),
            ("[[package]]\nname = 3".to_owned(), "cannot be used"),
        ] {
            let error = Wanted::parse(&text).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
