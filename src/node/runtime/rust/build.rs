//! Building a Rust module: its crates are fetched while nothing of them runs, then Cargo builds with what is there.

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    super::{environment::lock_file, walls::Walls},
    BuildError, Program, RustModule,
    crates::Wanted,
    toolchain::Toolchain,
};
use crate::{module::CARGO_FILE, report::Reporter};

/// How long a build may take.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

/// How long output may go on once its program is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes that are kept of what a program says, its last.
const KEPT: usize = 256 << 10;

/// Lines that are told of that.
const TOLD: usize = 60;

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
    toolchain: tokio::sync::Mutex<Option<Toolchain>>,
    /// One build at a time in each target folder.
    building: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    walls: Arc<Walls>,
    /// By binary and tenant.
    programs: Mutex<HashMap<(PathBuf, String), Weak<Program>>>,
}

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
        walls: Arc<Walls>,
    ) -> Self {
        Binaries {
            folder,
            cache,
            network,
            rustup,
            path,
            toolchain: tokio::sync::Mutex::default(),
            building: Mutex::default(),
            walls,
            programs: Mutex::default(),
        }
    }

    /// Where a module's binary is once it is built. Each owner builds for themselves: a build script has the target folder
    /// in its hands, and with it what later builds make of it.
    pub(in crate::node) fn path(&self, module: &RustModule, owner: &str) -> PathBuf {
        self.folder.join(tag(&[owner])).join(&module.sha256)
    }

    /// What starts a module that is built for `owner`, for this tenant's runs.
    pub(in crate::node) fn program(&self, module: &RustModule, owner: &str, tenant: &str) -> Arc<Program> {
        let binary = self.path(module, owner);
        let key = (binary.clone(), tenant.to_owned());
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(&key).and_then(Weak::upgrade) {
            return program;
        }
        programs.retain(|_, program| program.strong_count() > 0);
        let program = Arc::new(Program::new(binary, self.walls.clone()));
        programs.insert(key, Arc::downgrade(&program));
        program
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
        let fetch = |more: &[&str]| {
            let mut command = self.cargo(toolchain, &home, folder.path());
            command.envs(self.network.iter().cloned());
            command.arg("fetch").args(more).arg("--manifest-path").arg(folder.path().join(CARGO_FILE));
            command
        };
        // What is there needs no network.
        if run("fetching the crates", fetch(&["--offline"])).await.is_err() {
            reporter.step("Fetching", &format!("the crates of {}", module.id));
            run("fetching the crates", fetch(&[])).await?;
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
        fs_err::create_dir_all(&own_home)?;
        for shared in ["registry", "config.toml"] {
            let link = own_home.join(shared);
            if home.join(shared).exists() && link.symlink_metadata().is_err() {
                fs_err::os::unix::fs::symlink(home.join(shared), link)?;
            }
        }
        let mut command = self.cargo(toolchain, &own_home, target);
        command.env("CARGO_INCREMENTAL", "0");
        command.args(["build", "--release", "--locked", "--offline", "--bin", &module.binary]);
        command.arg("--target-dir").arg(target).arg("--manifest-path").arg(module.root.join(CARGO_FILE));
        run("building the module", command).await.map_err(|error| match error {
            BuildError::Failed { what, output } => {
                let output = output.replace(&format!("{}/", module.root.display()), "");
                BuildError::Failed { what, output: crate::secrets::redact(&output) }
            }
            error => error,
        })
    }

    /// Cargo, which reads no settings but those of its home.
    fn cargo(&self, toolchain: &Toolchain, home: &Path, work: &Path) -> Command {
        let mut command = Command::new(&toolchain.cargo);
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", toolchain.root.join("bin").display()))
            .env("HOME", work)
            .env("TMPDIR", work)
            .env("CARGO_HOME", home)
            .env("RUSTC", &toolchain.rustc)
            .env("CARGO_TERM_COLOR", "never")
            .env("LANG", "C.UTF-8")
            .current_dir("/");
        command
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
    let folder = built.parent().unwrap_or(target);
    fs_err::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut fs_err::File::open(&real)?, &mut file)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(built).map_err(|error| error.error)?;
    Ok(fs_err::File::open(folder)?.sync_all()?)
}

/// Runs a program to its end, which must be a good one.
async fn run(what: &'static str, mut command: Command) -> Result<(), BuildError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = CommandWrap::from(tokio::process::Command::from(command))
        .wrap(ProcessGroup::leader())
        .wrap(KillOnDrop)
        .spawn()?;
    let mut said = Vec::new();
    let pipe = process.stderr().take();
    let status = {
        let reading = read_last(pipe, &mut said);
        tokio::pin!(reading);
        let mut is_read = false;
        let ended = async {
            loop {
                tokio::select! {
                    status = process.wait() => break status,
                    () = &mut reading, if !is_read => is_read = true,
                }
            }
        };
        let ended = tokio::time::timeout(BUILD_TIMEOUT, ended).await;
        if !is_read {
            let _ = tokio::time::timeout(GRACE, &mut reading).await;
        }
        ended.map_err(|_| BuildError::TooLong(BUILD_TIMEOUT.as_secs()))??
    };
    if status.success() {
        return Ok(());
    }
    let output = match told(&String::from_utf8_lossy(&said)) {
        nothing if nothing.is_empty() => format!("it said nothing ({status})"),
        told => told,
    };
    Err(BuildError::Failed { what, output })
}

async fn read_last(pipe: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..count]);
        if said.len() > 2 * KEPT {
            said.drain(..said.len() - KEPT);
        }
    }
}

/// From the first error on, or the last lines when there is none that says so.
fn told(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let error = lines.iter().position(|line| line.starts_with("error"));
    let first = error.unwrap_or(lines.len().saturating_sub(20));
    let mut told = lines[first..].iter().take(TOLD).copied().collect::<Vec<_>>().join("\n");
    if lines.len() - first > TOLD {
        told.push_str("\n…");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told() {
        let said = "   Compiling a v1\nwarning: unused\nerror[E0308]: mismatched types\n --> src/main.rs:1:1\n";
        assert_eq!(told(said), "error[E0308]: mismatched types\n --> src/main.rs:1:1");
        let many = (0..100).map(|number| format!("line {number}\n")).collect::<String>();
        assert!(told(&many).starts_with("line 80\n"));
        assert!(told(&format!("error: x\n{many}")).ends_with("line 58\n…"));
    }

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
