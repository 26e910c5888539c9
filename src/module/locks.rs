//! What a project's lock file says: which versions of Python packages are installed, and by what digests they are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::{Table, Value};

use super::{requirements::name_of, setuptools::read};

/// Lock files, the first that there is counts.
const FILES: [&str; 4] = ["pylock.toml", "uv.lock", "poetry.lock", "requirements.txt"];
/// How many packages are read.
const MAX_PACKAGES: usize = 2000;
/// How many digests of one package.
const MAX_HASHES: usize = 200;

/// A lock file, as constraints of an installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonLock {
    /// Its name.
    pub file: &'static str,
    /// `name==version; marker --hash=sha256:…` each, sorted.
    pub constraints: Vec<String>,
    /// Packages that the project asks for and that are not in it: it is older than the project's manifest.
    pub missing: Vec<String>,
}

/// A package at a version.
#[derive(Debug, Default)]
struct Locked {
    name: String,
    version: String,
    marker: Option<String>,
    hashes: Vec<String>,
    /// Whether it is from the package index.
    is_indexed: bool,
}

impl PythonLock {
    /// The lock file of a project with these requirements, if it has one that can be read.
    pub(super) fn read(root: &Path, requirements: &[String]) -> Option<Self> {
        FILES.into_iter().find_map(|file| {
            let text = read(root, file)?;
            let packages = match file {
                "requirements.txt" => of_requirements(&text)?,
                file => {
                    let table: Table = text.parse().ok()?;
                    of_table(file, &table)?
                }
            };
            Some(Self::of(file, packages, requirements))
        })
    }

    fn of(file: &'static str, packages: Vec<Locked>, requirements: &[String]) -> Self {
        let wanted: BTreeSet<String> = requirements.iter().map(|text| name_of(text)).collect();
        // What stands for a package of git is another version than the one that was locked.
        let replaced: BTreeSet<String> =
            requirements.iter().filter(|text| text.starts_with("naptha-sdk==")).map(|text| name_of(text)).collect();
        let mut by_name: BTreeMap<String, Vec<Locked>> = BTreeMap::new();
        for package in packages.into_iter().take(MAX_PACKAGES) {
            by_name.entry(name_of(&package.name)).or_default().push(package);
        }
        let missing = wanted.iter().filter(|name| !by_name.contains_key(*name)).cloned().collect();
        let mut constraints = Vec::new();
        for (name, packages) in by_name {
            // Several versions are for several machines, and only a marker can say which is for this one.
            let is_one = packages.len() == 1;
            for package in packages {
                let is_usable = package.is_indexed && (is_one || package.marker.is_some()) && !replaced.contains(&name);
                if is_usable && let Some(line) = package.line() {
                    constraints.push(line);
                }
            }
        }
        constraints.sort();
        PythonLock { file, constraints, missing }
    }
}

impl Locked {
    /// A line of a file of constraints; nothing when it could be read as anything else.
    fn line(&self) -> Option<String> {
        let is_version =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+!-".contains(c));
        let is_marker = |text: &str| {
            text.len() < 1000
                && !text.contains("--")
                && text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-'\"<>=!~(),".contains(c))
        };
        let is_hash = |text: &&String| {
            text.strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        if !is_version(&self.name) || self.name.starts_with(['-', '.']) || !is_version(&self.version) {
            return None;
        }
        let mut line = format!("{}=={}", self.name, self.version);
        if let Some(marker) = &self.marker {
            if !is_marker(marker) {
                return None;
            }
            line.push_str(&format!(" ; {marker}"));
        }
        let mut hashes: Vec<&String> = self.hashes.iter().filter(is_hash).take(MAX_HASHES).collect();
        hashes.sort();
        hashes.dedup();
        for hash in hashes {
            line.push_str(&format!(" --hash={hash}"));
        }
        Some(line)
    }
}

fn text(table: &Table, key: &str) -> Option<String> {
    table.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn tables<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a Table> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

/// `pylock.toml`, `uv.lock` and `poetry.lock`.
fn of_table(file: &str, table: &Table) -> Option<Vec<Locked>> {
    let key = if file == "pylock.toml" { "packages" } else { "package" };
    // Older versions of Poetry list all digests at the end.
    let older = table.get("metadata").and_then(|metadata| metadata.get("files")).and_then(Value::as_table);
    table.get(key).and_then(Value::as_array)?;
    let package = |package: &Table| {
        let name = text(package, "name")?;
        let source = package.get("source").and_then(Value::as_table);
        let is_elsewhere = match file {
            "pylock.toml" => ["vcs", "directory", "archive"].iter().any(|key| package.contains_key(*key)),
            "uv.lock" => source.is_some_and(|source| !source.contains_key("registry")),
            _ => source.is_some_and(|source| text(source, "type").is_some_and(|kind| kind != "legacy")),
        };
        let files = tables(package, "files")
            .chain(tables(package, "wheels"))
            .chain(package.get("sdist").and_then(Value::as_table))
            .chain(older.into_iter().flat_map(|older| tables(older, &name)));
        let hashes = files.filter_map(|file| {
            let of_table = file.get("hashes").and_then(Value::as_table).and_then(|hashes| text(hashes, "sha256"));
            text(file, "hash").or_else(|| of_table.map(|hash| format!("sha256:{hash}")))
        });
        let hashes = hashes.collect();
        let marker = text(package, "marker").or_else(|| text(package, "markers")).or_else(|| {
            let all = package.get("resolution-markers")?.as_array()?;
            let all: Option<Vec<String>> = all.iter().map(|it| it.as_str().map(|it| format!("({it})"))).collect();
            all.map(|all| all.join(" or "))
        });
        // A package without a version is made from a folder.
        let version = text(package, "version").unwrap_or_default();
        Some(Locked { is_indexed: !is_elsewhere && !version.is_empty(), name, version, marker, hashes })
    };
    Some(tables(table, key).filter_map(package).collect())
}

/// `requirements.txt`, when it pins all packages that it lists and has digests.
fn of_requirements(text: &str) -> Option<Vec<Locked>> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut packages = Vec::new();
    for line in joined.lines() {
        let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with('-') {
            continue;
        }
        let (requirement, hashes) = line.split_once("--hash=").unwrap_or((line, ""));
        let (pin, marker) = match requirement.split_once(';') {
            Some((pin, marker)) => (pin, Some(marker.trim().to_owned())),
            None => (requirement, None),
        };
        let (name, version) = pin.split_once("==")?;
        let name = name.split_once('[').map_or(name, |(name, _)| name).trim().to_owned();
        let hashes = hashes.split("--hash=").map(|hash| hash.trim().to_owned()).filter(|hash| !hash.is_empty());
        let (version, hashes) = (version.trim().to_owned(), hashes.collect());
        packages.push(Locked { name, version, marker, hashes, is_indexed: true });
    }
    packages.iter().any(|package| !package.hashes.is_empty()).then_some(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(file: &str, text: &str, requirements: &[&str]) -> PythonLock {
        let folder = tempfile::tempdir().expect("a folder");
        fs_err::write(folder.path().join(file), text).expect("a file");
        let requirements: Vec<String> = requirements.iter().map(|text| (*text).to_owned()).collect();
        PythonLock::read(folder.path(), &requirements).expect("a lock")
    }

    #[test]
    fn every_kind_of_lock_file_gives_constraints() {
        let hash = "0a".repeat(32);
        let expected = format!("iniconfig==2.0.0 --hash=sha256:{hash}");
        for (file, text) in [
            (
                "poetry.lock",
                format!(
                    "[[package]]\nname = \"iniconfig\"\nversion = \"2.0.0\"\nfiles = [{{file = \"x\", hash = \"sha256:{hash}\"}}]\n\
                     [[package]]\nname = \"naptha-sdk\"\nversion = \"0.9.0\"\n[package.source]\ntype = \"git\"\nurl = \"https://x\"\n"
                ),
            ),
            (
                "poetry.lock",
                format!(
                    "[[package]]\nname = \"iniconfig\"\nversion = \"2.0.0\"\ncategory = \"main\"\n[metadata.files]\n\
                     iniconfig = [{{file = \"x\", hash = \"sha256:{hash}\"}}]\n"
                ),
            ),
            (
                "uv.lock",
                format!(
                    "version = 1\n[[package]]\nname = \"iniconfig\"\nversion = \"2.0.0\"\nsource = {{ registry = \"https://x\" }}\n\
                     wheels = [{{ url = \"https://x\", hash = \"sha256:{hash}\" }}]\n[[package]]\nname = \"m\"\n\
                     version = \"0.1.0\"\nsource = {{ virtual = \".\" }}\n"
                ),
            ),
            (
                "pylock.toml",
                format!(
                    "lock-version = \"1.0\"\n[[packages]]\nname = \"iniconfig\"\nversion = \"2.0.0\"\n\
                     wheels = [{{ url = \"https://x\", hashes = {{ sha256 = \"{hash}\" }} }}]\n"
                ),
            ),
            (
                "requirements.txt",
                format!("--index-url https://x\niniconfig==2.0.0 \\\n    --hash=sha256:{hash}\n# end\n"),
            ),
        ] {
            let lock = lock(file, &text, &["iniconfig>=1"]);
            assert_eq!((lock.constraints, lock.missing), (vec![expected.clone()], vec![]), "{file}");
        }
    }

    #[test]
    fn what_a_lock_lacks_is_told_and_what_it_cannot_say_is_left_out() {
        let text = "[[package]]\nname = \"A_b\"\nversion = \"1\"\n[[package]]\nname = \"twice\"\nversion = \"1\"\n\
                    [[package]]\nname = \"twice\"\nversion = \"2\"\n[[package]]\nname = \"x\"\nversion = \"1\\n--index-url=y\"\n\
                    [[package]]\nname = \"naptha-sdk\"\nversion = \"1.0.4\"\n[[package]]\nname = \"w\"\nversion = \"1\"\n\
                    markers = \"sys_platform == 'win32'\"\n";
        let found = lock("poetry.lock", text, &["a.b>=1", "new", "naptha-sdk==1.0.5"]);
        assert_eq!(found.constraints, ["A_b==1", "w==1 ; sys_platform == 'win32'"]);
        assert_eq!(found.missing, ["new"]);
        let folder = tempfile::tempdir().expect("a folder");
        for text in ["iniconfig>=1\n", "iniconfig==2.0.0\n", "-r other.txt\n"] {
            fs_err::write(folder.path().join("requirements.txt"), text).expect("a file");
            assert_eq!(PythonLock::read(folder.path(), &[]), None, "{text}");
        }
    }
}
