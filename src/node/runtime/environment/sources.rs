//! The second phase: what has no wheel is built, each package by itself.
//!
//! A build sees the index, the interpreter and a folder that is thrown away; whatever a package's build script does, all
//! that is taken from there is one wheel of that package and version. Who installs it runs that package anyway, so
//! keeping it for others gives its author nothing.

use std::{
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::{
    super::scratch,
    EnvironmentError,
    install::{INSTALLING, Site, Wanted, words},
    lock_file,
    step::{Code, Reach, Step},
};
use crate::module::PythonLock;

/// How many packages of an environment may be built.
const MAX_SOURCES: usize = 100;

/// The largest wheel that is taken.
const MAX_WHEEL: u64 = 1 << 30;

/// Wheels that were built here, for one minor version of Python and the same settings.
#[derive(Debug)]
pub(super) struct Built {
    /// Those that were asked for by name and version are in it, others in a folder of their own below it.
    pub(super) folder: PathBuf,
}

/// A package that has no wheel.
#[derive(Debug)]
struct Source {
    name: String,
    version: Option<String>,
    /// How the installer is asked for it: with the digests that are locked, or by its URL.
    requirement: String,
    /// Where its wheel goes.
    folder: PathBuf,
}

impl Built {
    pub(super) fn of(site: &Site<'_>) -> Self {
        let settings = short_digest(&site.settings.fingerprint());
        Built { folder: site.common.join("built").join(format!("{}-{settings}", site.interpreter.minor())) }
    }

    /// Where the wheel is kept of a source that is known by more than name and version.
    fn own_folder(&self, requirement: &str) -> PathBuf {
        self.folder.join(short_digest(requirement))
    }

    /// Where wheels are kept of sources that are known by name and version alone. For a lock file with digests that is
    /// not where all others have theirs: a wheel of the same version, built another time, has another digest.
    fn open_folder(&self, wanted: Wanted<'_>) -> PathBuf {
        match wanted.lock {
            Some(lock) if lock.constraints.iter().any(|line| is_hashed(line)) => {
                self.own_folder(&lock.constraints.join("\n"))
            }
            _ => self.folder.clone(),
        }
    }

    /// Where to look for wheels.
    pub(super) fn folders(&self, wanted: Wanted<'_>) -> Vec<PathBuf> {
        let hashed = wanted.lock.iter().flat_map(|lock| &lock.constraints).filter(|line| is_hashed(line));
        let own = hashed.map(|line| self.own_folder(line));
        std::iter::once(self.open_folder(wanted)).chain(own).filter(|folder| folder.is_dir()).collect()
    }

    /// What is asked for, with the wheel in place of a URL whose source was built.
    pub(super) fn requirements(&self, wanted: Wanted<'_>) -> Vec<String> {
        let built = |requirement: &String| {
            let (name, rest) = requirement.split_once('@')?;
            let wheel = wheel_in(&self.own_folder(requirement))?;
            let marker = rest.split_once(" ;").map(|(_, marker)| format!(" ;{marker}")).unwrap_or_default();
            Some(format!("{} @ {}{marker}", name.trim(), url::Url::from_file_path(wheel).ok()?))
        };
        let requirements = wanted.requirements.iter();
        requirements.map(|requirement| built(requirement).unwrap_or_else(|| requirement.clone())).collect()
    }

    /// The lock's lines, with the digests of the wheels that were built of locked sources.
    pub(super) fn constraints(&self, lock: &PythonLock) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for line in &lock.constraints {
            let wheel = if is_hashed(line) { wheel_in(&self.own_folder(line)) } else { None };
            lines.push(match wheel {
                Some(wheel) => format!("{line} --hash=sha256:{}", hex::encode(Sha256::digest(fs_err::read(wheel)?))),
                None => line.clone(),
            });
        }
        Ok(lines)
    }
}

impl Site<'_> {
    /// Builds what has no wheel; whether there was anything.
    pub(super) async fn build_sources(&self, wanted: Wanted<'_>, built: &Built) -> Result<bool, EnvironmentError> {
        let sources = self.resolve(wanted, built).await?;
        let missing: Vec<Source> = sources.into_iter().filter(|source| source.wheel().is_none()).collect();
        if missing.len() > MAX_SOURCES {
            return Err(EnvironmentError::Limit {
                what: "building the module's dependencies".to_owned(),
                limit: format!("limit of {MAX_SOURCES} packages without a wheel"),
            });
        }
        let is_any = !missing.is_empty();
        let builds = missing.iter().enumerate().map(|(number, source)| Box::pin(self.build(number, source)));
        let builds: Vec<_> = builds.collect();
        stream::iter(builds).buffer_unordered(4).try_collect::<()>().await?;
        Ok(is_any)
    }

    /// Which versions it will be, and which of them have no wheel. To learn what a source depends on, it is run: so this
    /// is a build too.
    async fn resolve(&self, wanted: Wanted<'_>, built: &Built) -> Result<Vec<Source>, EnvironmentError> {
        let inputs = self.folder.join("inputs");
        let asked = inputs.join("requirements.in");
        fs_err::tokio::write(&asked, wanted.requirements.join("\n")).await?;
        let mut arguments = words(&["pip", "compile", "--quiet", "--format", "pylock.toml", "--python"]);
        arguments.extend([self.interpreter.program.clone().into_os_string(), asked.into_os_string()]);
        if let Some(lock) = wanted.lock {
            let constraints = inputs.join("locked.txt");
            fs_err::tokio::write(&constraints, lock.constraints.join("\n")).await?;
            arguments.extend(["--constraint".into(), constraints.into_os_string()]);
        }
        let config = self.config(&inputs, self.settings.build_config())?;
        let work = self.work("resolve").await?;
        let printed = self
            .steps
            .run(Step {
                what: INSTALLING,
                code: Code::Strangers,
                program: &self.tools.uv,
                arguments,
                variables: self.variables(self.settings.for_builds(), &work.join("cache"), config),
                read: [self.readable(Code::Strangers), vec![inputs]].concat(),
                write: vec![work.clone()],
                work: &work,
                reach: Reach::Public,
                proxies: self.settings.proxies(),
            })
            .await?;
        scratch::removed(&work).await?;
        sources(&String::from_utf8_lossy(&printed), wanted, built).ok_or_else(|| EnvironmentError::Failed {
            what: INSTALLING.to_owned(),
            output: "its result cannot be read".to_owned(),
        })
    }

    /// Builds one, with nothing of another one in reach.
    async fn build(&self, number: usize, source: &Source) -> Result<(), EnvironmentError> {
        // Others may want the same one.
        let lock = source.folder.join(format!("{}.lock", short_digest(&source.requirement)));
        let _one = lock_file(lock).await?;
        if source.wheel().is_some() {
            return Ok(());
        }
        let version = source.version.as_deref().unwrap_or_default();
        self.reporter.step("Building", format!("{} {version}", source.name).trim_end());
        let work = self.work(&number.to_string()).await?;
        let inputs = self.folder.join("inputs").join(number.to_string());
        fs_err::tokio::create_dir_all(&inputs).await?;
        let asked = inputs.join("requirements.in");
        fs_err::tokio::write(&asked, &source.requirement).await?;
        let config = self.config(&inputs, self.settings.build_config())?;
        let mut arguments = words(&["pip", "install", "--quiet", "--no-deps", "--no-binary", &source.name, "--python"]);
        arguments.extend([self.interpreter.program.clone().into_os_string()]);
        arguments.extend(["--target".into(), work.join("out").into_os_string()]);
        arguments.extend(["--requirement".into(), asked.into_os_string()]);
        let cache = work.join("cache");
        let what = format!("building `{}`", source.requirement.split(" --hash").next().unwrap_or_default());
        self.steps
            .run(Step {
                what: &what,
                code: Code::Strangers,
                program: &self.tools.uv,
                arguments,
                variables: self.variables(self.settings.for_builds(), &cache, config),
                read: [self.readable(Code::Strangers), vec![inputs]].concat(),
                write: vec![work.clone()],
                work: &work,
                reach: Reach::Public,
                proxies: self.settings.proxies(),
            })
            .await?;
        // The installer keeps the wheel that it has built in its cache.
        let (name, version, target) = (source.name.clone(), source.version.clone(), source.folder.clone());
        let taken = tokio::task::spawn_blocking(move || take_wheel(&cache, &name, version.as_deref(), &target)).await;
        if !taken.map_err(std::io::Error::other)?? {
            return Err(EnvironmentError::Failed {
                what,
                output: "it gave no wheel of that name and version".to_owned(),
            });
        }
        Ok(scratch::removed(&work).await?)
    }

    /// A new folder for one step, which is removed with what is left of it.
    async fn work(&self, name: &str) -> std::io::Result<PathBuf> {
        let work = self.folder.join("work").join(name);
        scratch::removed(&work).await?;
        fs_err::tokio::create_dir_all(&work).await?;
        Ok(work)
    }
}

impl Source {
    /// What has been built of it.
    fn wheel(&self) -> Option<PathBuf> {
        let files = fs_err::read_dir(&self.folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        files.into_iter().find(|path| is_wheel(path, &self.name, self.version.as_deref()))
    }
}

/// What has no wheel in a `pylock.toml`, whose lists of wheels have those for this machine; nothing when it is none.
/// Strangers may have written it, which says no more than what is built.
fn sources(pylock: &str, wanted: Wanted<'_>, built: &Built) -> Option<Vec<Source>> {
    let table: Table = pylock.parse().ok()?;
    let packages = table.get("packages").and_then(Value::as_array)?.iter().filter_map(Value::as_table);
    let mut sources = Vec::new();
    for package in packages.filter(|package| !package.contains_key("wheels")) {
        let name = normalized(package.get("name")?.as_str()?);
        let version = package.get("version").and_then(Value::as_str).map(str::to_owned);
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._+!-".contains(c));
        if !is_plain(&name) || name.starts_with('-') || !version.as_deref().is_none_or(is_plain) {
            return None;
        }
        if let Some(archive) = package.get("archive") {
            let url = archive.get("url").and_then(Value::as_str).unwrap_or_default();
            let asked = wanted.requirements.iter().find(|requirement| {
                requirement.split_once('@').is_some_and(|(asked, _)| normalized(bare(asked)) == name)
            });
            if let Some(asked) = asked.filter(|_| !url.ends_with(".whl")) {
                sources.push(Source { name, version, requirement: asked.clone(), folder: built.own_folder(asked) });
            }
        } else if let Some(version) = version {
            let locked = wanted.lock.iter().flat_map(|lock| &lock.constraints).find(|line| {
                let (locked, at) = line.split_once("==").unwrap_or_default();
                normalized(locked) == name && at.split(' ').next() == Some(version.as_str()) && is_hashed(line)
            });
            let (requirement, folder) = match locked {
                Some(line) => (line.clone(), built.own_folder(line)),
                None => (format!("{name}=={version}"), built.open_folder(wanted)),
            };
            sources.push(Source { name, version: Some(version), requirement, folder });
        }
    }
    Some(sources)
}

fn is_hashed(line: &str) -> bool {
    line.contains(" --hash=")
}

/// A name without the extras after it.
fn bare(name: &str) -> &str {
    name.split('[').next().unwrap_or(name).trim()
}

/// A package's name as indexes compare it.
fn normalized(name: &str) -> String {
    let parts = name.split(['.', '_', '-']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

/// A version as indexes compare it, as far as names of files differ in it: `2024.01` is `2024.1`.
fn release(version: &str) -> String {
    let plain = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest if rest.starts_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
        _ => part.to_owned(),
    };
    version.to_lowercase().replace('_', "-").split('.').map(plain).collect::<Vec<_>>().join(".")
}

/// Whether a file is named as a wheel of this package: `NAME-VERSION-…-TAGS.whl`.
fn is_wheel(path: &Path, name: &str, version: Option<&str>) -> bool {
    let file = path.file_name().and_then(|file| file.to_str()).and_then(|file| file.strip_suffix(".whl"));
    let mut parts = file.unwrap_or_default().split('-');
    let (Some(own), Some(at)) = (parts.next(), parts.next()) else { return false };
    normalized(own) == normalized(name) && version.is_none_or(|version| release(version) == release(at))
}

/// The only wheel of a folder.
fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let files = fs_err::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.into_iter().find(|path| path.extension().is_some_and(|suffix| suffix == "whl"))
}

/// Copies the wheel of this package from a folder that strangers wrote; whether there was one.
fn take_wheel(from: &Path, name: &str, version: Option<&str>, to: &Path) -> std::io::Result<bool> {
    let mut folders = vec![from.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_wheel(&path, name, version) {
                // Not through a link, whatever it is by now.
                let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
                let wheel = std::fs::File::options().read(true).custom_flags(flags).open(&path)?;
                if wheel.metadata()?.len() > MAX_WHEEL {
                    continue;
                }
                let mut kept = tempfile::NamedTempFile::new_in(to)?;
                std::io::copy(&mut wheel.take(MAX_WHEEL), &mut kept)?;
                // Installers are another user.
                kept.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
                kept.as_file().sync_all()?;
                kept.persist(to.join(path.file_name().unwrap_or_default())).map_err(|error| error.error)?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn short_digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_wheel_is_built_as_it_is_asked_for() {
        let built = Built { folder: PathBuf::from("/b") };
        let pylock = "lock-version = \"1.0\"\n\
             [[packages]]\nname = \"a\"\nversion = \"1\"\nwheels = [{ url = \"https://i/a-1-py3-none-any.whl\" }]\n\
             [[packages]]\nname = \"b\"\nversion = \"2.0\"\nsdist = { url = \"https://i/b-2.0.tar.gz\" }\n\
             [[packages]]\nname = \"c-d\"\nversion = \"3\"\nsdist = { url = \"https://i/c-3.tar.gz\" }\n\
             [[packages]]\nname = \"e\"\nversion = \"4\"\narchive = { url = \"https://x/e-4.tar.gz\" }\n\
             [[packages]]\nname = \"f\"\nversion = \"5\"\narchive = { url = \"https://x/f-5-py3-none-any.whl\" }\n";
        let lock = PythonLock {
            file: "uv.lock",
            constraints: vec!["a==1".to_owned(), "c_d==3 --hash=sha256:00".to_owned()],
            missing: Vec::new(),
        };
        let requirements =
            ["b", "e[x] @ https://x/e-4.tar.gz", "f @ https://x/f-5-py3-none-any.whl"].map(str::to_owned);
        let wanted = Wanted { requirements: &requirements, lock: Some(&lock) };
        let found = sources(pylock, wanted, &built).expect("it is one");
        let asked: Vec<&str> = found.iter().map(|source| source.requirement.as_str()).collect();
        assert_eq!(asked, ["b==2.0", "c_d==3 --hash=sha256:00", "e[x] @ https://x/e-4.tar.gz"]);
        assert!(found.iter().all(|source| source.folder != built.folder), "none that others have");
        let unlocked = sources(pylock, Wanted { lock: None, ..wanted }, &built).expect("it is one");
        assert_eq!(unlocked[0].folder, Path::new("/b"));
        // What a hostile build says is no option of the installer's.
        let forged = "[[packages]]\nname = \"-r/etc/passwd\"\nversion = \"1\"\n";
        assert!(sources(forged, wanted, &built).is_none());
        assert!(sources("no lock file", wanted, &built).is_none());
    }

    #[test]
    fn of_a_build_only_its_own_wheel_is_taken() {
        let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let below = from.path().join("sdists/index");
        fs_err::create_dir_all(&below).expect("a folder");
        let take = || take_wheel(from.path(), "own-name", Some("2024.1"), to.path()).expect("readable");
        for other in ["requests-9.0-py3-none-any.whl", "own_name-2024.2-py3-none-any.whl", "own_name.whl"] {
            fs_err::write(below.join(other), "evil").expect("a file");
        }
        std::os::unix::fs::symlink("/etc/passwd", below.join("own_name-2024.1-1-py3-none-any.whl")).expect("a link");
        assert!(!take());
        fs_err::write(below.join("Own_Name-2024.01-py3-none-any.whl"), "good").expect("a file");
        assert!(take());
        let kept: Vec<_> =
            fs_err::read_dir(to.path()).expect("a folder").map(|entry| entry.expect("one").path()).collect();
        assert_eq!(kept, [to.path().join("Own_Name-2024.01-py3-none-any.whl")]);
        assert_eq!(fs_err::read_to_string(&kept[0]).expect("a file"), "good");
    }
}
