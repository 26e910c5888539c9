//! Building a Rust module: its crates are fetched while nothing of them runs, then Cargo builds with what is there.

use std::{
    collections::HashMap,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use super::{
    super::{
        environment::{
            EnvironmentError, lock_file,
            step::{Code, Reach, Step, Steps},
        },
        scratch,
    },
    BuildError, RustModule,
    crates::Wanted,
    toolchain::Toolchain,
};
use crate::{module::CARGO_FILE, report::Reporter};

/// The binaries of a node.
#[derive(Debug)]
pub(in crate::node) struct Binaries {
    /// What was built, by owner and archive.
    folder: PathBuf,
    /// Crates and what is built of them; it can be made again.
    cache: PathBuf,
    /// They let Cargo reach the network.
    network: Vec<(String, String)>,
    /// They tell rustup where its toolchains are.
    rustup: Vec<(String, String)>,
    path: String,
    steps: Arc<Steps>,
    toolchain: tokio::sync::Mutex<Option<Toolchain>>,
    /// One build at a time in each target folder.
    building: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The largest binary that is kept.
const BINARY: u64 = 512 << 20;

/// A name for a folder that says nothing and is nobody else's.
fn tag(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    hex::encode(&digest.finalize()[..16])
}

impl Binaries {
    /// Binaries in `folder`, made by way of `cache`.
    pub(in crate::node) fn new(
        folder: PathBuf,
        cache: PathBuf,
        network: Vec<(String, String)>,
        rustup: Vec<(String, String)>,
        path: String,
        steps: Arc<Steps>,
    ) -> Self {
        Binaries {
            folder,
            cache,
            network,
            rustup,
            path,
            steps,
            toolchain: tokio::sync::Mutex::default(),
            building: Mutex::default(),
        }
    }

    /// Where a module's binary is once it is built. Each owner builds for themselves: a build script has the target folder
    /// in its hands, and with it what later builds make of it.
    pub(in crate::node) fn path(&self, module: &RustModule, owner: &str) -> PathBuf {
        self.folder.join(tag(&[owner])).join(&module.sha256)
    }

    /// Builds a module unless that was done before.
    pub(in crate::node) async fn build(
        &self,
        module: &RustModule,
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), BuildError> {
        let built = self.path(module, owner);
        if built.is_file() {
            return Ok(());
        }
        let key = tag(&[owner, &module.id]);
        let building =
            self.building.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        let _one = building.lock().await;
        let targets = self.cache.join("targets");
        let _other_nodes = lock_file(targets.join(format!("{key}.lock"))).await?;
        if built.is_file() {
            return Ok(());
        }
        let toolchain = {
            let mut found = self.toolchain.lock().await;
            match &*found {
                Some(toolchain) => toolchain.clone(),
                None => found.insert(Toolchain::find(&self.path, &self.rustup).await?).clone(),
            }
        };
        let home = self.fetch(&toolchain, module, reporter).await?;
        reporter.step("Building", &format!("the Rust of {}", module.id));
        let target = targets.join(&key);
        fs_err::tokio::create_dir_all(&target).await?;
        self.compile(&toolchain, module, &home, &target).await?;
        let made = target.join("release").join(&module.binary);
        let taken = tokio::task::spawn_blocking(move || take(&target, &made, &built));
        taken.await.map_err(std::io::Error::other)?
    }

    /// Has the crates of a module in the folder that is given back.
    async fn fetch(
        &self,
        toolchain: &Toolchain,
        module: &RustModule,
        reporter: &dyn Reporter,
    ) -> Result<PathBuf, BuildError> {
        let home = self.cache.join("home");
        fs_err::tokio::create_dir_all(&home).await?;
        let Some(wanted) = Wanted::of(&module.root)? else { return Ok(home) };
        let _one = lock_file(self.cache.join("fetch.lock")).await?;
        let folder = tempfile::Builder::new().prefix("fetch-").tempdir_in(&self.cache)?;
        wanted.write(folder.path())?;
        let is_proxy = |(name, _): &&(String, String)| name.to_uppercase().ends_with("_PROXY");
        let is_certificate = |name: &str| name.starts_with("SSL_CERT_") || name == "CARGO_HTTP_CAINFO";
        let (proxies, others): (Vec<_>, Vec<_>) = self.network.iter().partition(is_proxy);
        let certificates = others.iter().filter(|(name, _)| is_certificate(name)).map(|(_, path)| PathBuf::from(path));
        let fetch = |more: &[&str], reach| {
            let mut step = self.cargo(toolchain, &home, folder.path());
            step.what = "fetching the crates";
            step.code = Code::Own;
            step.reach = reach;
            step.arguments = ["fetch"].iter().chain(more).map(OsString::from).collect();
            step.arguments.extend(["--manifest-path".into(), folder.path().join(CARGO_FILE).into_os_string()]);
            step.variables.extend(others.iter().map(|pair| (*pair).clone()));
            step.proxies = proxies.iter().map(|pair| (*pair).clone()).collect();
            step.read.extend(certificates.clone());
            step.write = vec![home.clone(), folder.path().to_owned()];
            step
        };
        // What is there needs no network.
        if self.steps.run(fetch(&["--offline"], Reach::Nothing)).await.is_err() {
            reporter.step("Fetching", &format!("the crates of {}", module.id));
            self.steps.run(fetch(&[], Reach::Indexes)).await?;
        }
        Ok(home)
    }

    async fn compile(
        &self,
        toolchain: &Toolchain,
        module: &RustModule,
        home: &Path,
        target: &Path,
    ) -> Result<(), BuildError> {
        // Cargo locks its home, and a build script could hold that lock: so each has its own, with everybody's crates in it.
        let own_home = target.join("home");
        scratch::removed(&own_home).await?;
        fs_err::create_dir(&own_home)?;
        let shared = ["registry", "config.toml"].map(|name| (home.join(name), own_home.join(name)));
        for (there, link) in shared.iter().filter(|(there, _)| there.exists()) {
            fs_err::os::unix::fs::symlink(there, link)?;
        }
        let mut step = self.cargo(toolchain, &own_home, target);
        step.arguments =
            ["build", "--release", "--locked", "--offline", "--bin", &module.binary].map(OsString::from).into();
        step.arguments.extend(["--target-dir".into(), target.into(), "--manifest-path".into()]);
        step.arguments.push(module.root.join(CARGO_FILE).into_os_string());
        step.variables.push(("CARGO_INCREMENTAL".to_owned(), "0".to_owned()));
        step.read.push(module.root.clone());
        step.read.extend(shared.map(|(there, _)| there));
        match self.steps.run(step).await {
            Ok(_) => Ok(()),
            Err(EnvironmentError::Failed { what, output }) => {
                let output = output.replace(&format!("{}/", module.root.display()), "");
                Err(EnvironmentError::Failed { what, output }.into())
            }
            Err(error) => {
                // What earlier versions have left may be what is too much.
                if matches!(error, EnvironmentError::Limit { .. }) {
                    scratch::removed(target).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Cargo, which reads no settings but those of its home. It builds, unless it is told otherwise.
    fn cargo<'a>(&self, toolchain: &'a Toolchain, home: &Path, work: &'a Path) -> Step<'a> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", toolchain.root.join("bin").display());
        let variables = [
            ("PATH", path),
            ("CARGO_HOME", text(home)),
            ("RUSTC", text(&toolchain.rustc)),
            ("CARGO_TERM_COLOR", "never".to_owned()),
        ];
        Step {
            what: "building the module",
            code: Code::Strangers,
            program: &toolchain.cargo,
            arguments: Vec::new(),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            read: vec![toolchain.root.clone()],
            write: vec![work.to_owned()],
            work,
            reach: Reach::Nothing,
            proxies: Vec::new(),
        }
    }

    /// Removes what an earlier process left half done.
    pub(in crate::node) fn sweep(&self) -> std::io::Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        for owner in fs_err::read_dir(&self.folder)? {
            for file in fs_err::read_dir(owner?.path())? {
                let path = file?.path();
                if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                    fs_err::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

/// Keeps a binary. Strangers' code had the folder that it is in, so it may be anything.
fn take(target: &Path, made: &Path, built: &Path) -> Result<(), BuildError> {
    let odd = || BuildError::Unfit("what was built is not a file of its own".to_owned());
    let real = fs_err::canonicalize(made).map_err(|_| odd())?;
    let is_own = fs_err::canonicalize(target)?.join("release").join(made.file_name().unwrap_or_default()) == real;
    if !is_own || !real.symlink_metadata()?.is_file() {
        return Err(odd());
    }
    if real.symlink_metadata()?.len() > BINARY {
        return Err(BuildError::Unfit(format!("its binary is larger than {} MiB", BINARY >> 20)));
    }
    let folder = built.parent().unwrap_or(target);
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut fs_err::File::open(&real)?, &mut file)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(built).map_err(|error| error.error)?;
    Ok(fs_err::File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_its_own_is_taken() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (target, built) = (folder.path().join("target"), folder.path().join("binaries/a/b"));
        let (release, elsewhere) = (target.join("release"), folder.path().join("secret"));
        fs_err::create_dir_all(&release).expect("a folder");
        fs_err::write(&elsewhere, "secret").expect("a file");
        let made = release.join("agent");
        fs_err::os::unix::fs::symlink(&elsewhere, &made).expect("a link");
        assert!(take(&target, &made, &built).is_err());
        fs_err::remove_file(&made).expect("it is there");
        fs_err::create_dir(&made).expect("a folder");
        assert!(take(&target, &made, &built).is_err());
        fs_err::remove_dir_all(&release).expect("it is there");
        fs_err::os::unix::fs::symlink(folder.path(), &release).expect("a link");
        assert!(take(&target, &release.join("secret"), &built).is_err());
        fs_err::remove_file(&release).expect("it is there");
        fs_err::create_dir(&release).expect("a folder");
        fs_err::write(&made, "binary").expect("a file");
        take(&target, &made, &built).expect("a file");
        assert_eq!(fs_err::read_to_string(&built).expect("it is there"), "binary");
    }
}
