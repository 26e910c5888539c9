//! Installed modules: fetched, verified, unpacked, with an environment. All of it is found by the
//! archive's SHA-256, so that the same bytes are installed once.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use napt_registry_client::{ClientError as RegistryError, RegistryClient};
use serde_json::{Map, Value};

use super::{
    super::runtime::{
        Binaries, BuildError, Code, EnvironmentError, Environments, Origin, PythonModule, RustModule, WayOut,
        imports_of,
    },
    NodeError,
};
use crate::{
    config::{COMPONENT_FILE, ConfigError, Deployment, ModuleConfigs, ModuleEntry, PersonaError, read_persona},
    crash,
    module::{Isolation, Manifest, ModuleType, Runtime, package_dir_of},
    package,
    report::{Amount, Reporter},
    wire::ModulePin,
};

/// A module that is ready to run.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) manifest: Manifest,
    pub(super) configs: ModuleConfigs,
    /// What it says, when it is a persona.
    pub(super) persona: Option<Map<String, Value>>,
    /// `None` for data.
    pub(super) code: Option<Code>,
    /// Whether it has been imported without an error: the same bytes in the same environment need not be again.
    pub(super) is_ready: AtomicBool,
}

impl Installed {
    /// Whether its runs want one interpreter together.
    pub(super) fn asks_to_share(&self) -> bool {
        self.manifest.limits.isolation == Isolation::Shared && matches!(self.code, Some(Code::Python(_)))
    }
}

/// How long an archive stays that somebody is about to deploy, or seems to be.
const ABOUT_TO_DEPLOY: Duration = Duration::from_secs(3600);

/// Where an install goes, once it is made.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Installed>>>>;

/// All installs of a node.
#[derive(Debug)]
pub(in crate::node) struct Installs {
    archives: PathBuf,
    modules: PathBuf,
    environments: Arc<Environments>,
    binaries: Binaries,
    registry: RegistryClient,
    /// One install at a time for each archive.
    ready: Mutex<HashMap<String, Slot>>,
    /// When archives were asked for that no revision has been made of since.
    awaited: Mutex<HashMap<String, Instant>>,
}

impl Installs {
    pub(super) fn new(data: &Path, environments: Environments, binaries: Binaries, registry: RegistryClient) -> Self {
        Installs {
            archives: data.join("archives"),
            modules: data.join("modules"),
            environments: Arc::new(environments),
            binaries,
            registry,
            ready: Mutex::default(),
            awaited: Mutex::default(),
        }
    }

    /// Removes what an earlier process left half done.
    pub(super) fn sweep(&self) -> std::io::Result<()> {
        self.binaries.sweep()?;
        for folder in [&self.archives, &self.modules] {
            fs_err::create_dir_all(folder)?;
            for entry in fs_err::read_dir(folder)? {
                let path = entry?.path();
                // Everything complete is named by its digest; temporary names start with a dot.
                if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                    continue;
                }
                if path.is_dir() { fs_err::remove_dir_all(path)? } else { fs_err::remove_file(path)? }
            }
        }
        Ok(())
    }

    /// From now on this is how package indexes are reached.
    pub(in crate::node) fn reach_by(&self, way_out: Arc<dyn WayOut>) {
        self.environments.reach_by(way_out);
    }

    /// Where dependencies are put.
    pub(super) fn environments(&self) -> &Environments {
        &self.environments
    }

    /// Where archives are fetched from.
    pub(super) fn registry(&self) -> &RegistryClient {
        &self.registry
    }

    fn archive(&self, sha256: &str) -> PathBuf {
        self.archives.join(format!("{sha256}.napt"))
    }

    /// Whether an archive is here. Whoever asks may be about to deploy it.
    pub(in crate::node) fn has_archive(&self, sha256: &str) -> bool {
        let is_here = is_digest(sha256) && self.archive(sha256).is_file();
        if is_here {
            self.await_deploy(sha256);
        }
        is_here
    }

    fn await_deploy(&self, sha256: &str) {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.to_owned(), Instant::now());
    }

    /// A revision is to be made of these.
    pub(super) fn to_be_deployed(&self, pins: &[ModulePin]) {
        for pin in pins.iter().filter(|pin| is_digest(&pin.sha256) && self.archive(&pin.sha256).is_file()) {
            self.await_deploy(&pin.sha256);
        }
    }

    /// A revision is made of these now.
    pub(super) fn deployed(&self, pins: &[ModulePin]) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        for pin in pins {
            awaited.remove(&pin.sha256);
        }
    }

    /// Removes archives that are not needed, unless somebody is about to deploy them, and what was made of them.
    pub(super) async fn keep_only(&self, needed: &HashSet<String>) -> std::io::Result<()> {
        let is_awaited = |sha256: &str| {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            awaited.retain(|_, since| since.elapsed() < ABOUT_TO_DEPLOY);
            awaited.contains_key(sha256)
        };
        let mut archives = fs_err::tokio::read_dir(&self.archives).await?;
        while let Some(archive) = archives.next_entry().await? {
            let name = archive.file_name().to_string_lossy().into_owned();
            let Some(sha256) = name.strip_suffix(".napt").filter(|name| is_digest(name)) else { continue };
            if needed.contains(sha256) {
                continue;
            }
            let slot = self.slot(sha256);
            // Somebody installs it, or is about to.
            let Ok(mut slot) = slot.try_lock() else { continue };
            if is_awaited(sha256) {
                continue;
            }
            *slot = None;
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).remove(sha256);
            self.binaries.forget(sha256).await?;
            discard(&self.modules.join(sha256)).await?;
            // Last, since it is what the others are found by.
            fs_err::tokio::remove_file(archive.path()).await?;
        }
        Ok(())
    }

    fn slot(&self, sha256: &str) -> Slot {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.entry(sha256.to_owned()).or_default().clone()
    }

    /// Keeps an uploaded archive, after checking that it is one and has this digest.
    pub(in crate::node) async fn keep_archive(&self, sha256: &str, bytes: bytes::Bytes) -> Result<(), NodeError> {
        check_digest(sha256)?;
        let target = self.archive(sha256);
        if self.has_archive(sha256) {
            return Ok(());
        }
        let (folder, name) = (self.archives.clone(), sha256.to_owned());
        let kept = tokio::task::spawn_blocking(move || -> Result<(), NodeError> {
            if crate::identity::body_digest(&bytes) != name {
                return Err(NodeError::Invalid("the archive's SHA-256 is not the one in the path".to_owned()));
            }
            let keep = NodeError::internal("keep an archive");
            let write = || -> std::io::Result<tempfile::NamedTempFile> {
                let mut file = tempfile::NamedTempFile::new_in(&folder)?;
                std::io::Write::write_all(&mut file, &bytes)?;
                file.as_file().sync_all()?;
                Ok(file)
            };
            let file = write().map_err(keep)?;
            package::inspect(file.path(), &package::Limits::default()).map_err(refused)?;
            file.persist(&target).map_err(NodeError::internal("keep an archive"))?;
            Ok(())
        });
        kept.await.map_err(NodeError::internal("keep an archive"))??;
        self.await_deploy(sha256);
        Ok(())
    }

    /// The bytes of an archive, for a peer.
    pub(super) async fn read_archive(&self, sha256: &str) -> Result<Vec<u8>, NodeError> {
        fs_err::tokio::read(self.archive(sha256)).await.map_err(NodeError::internal("read an archive"))
    }

    /// Fetches an archive from the registry unless it is here.
    pub(super) async fn fetch(&self, pin: &ModulePin, reporter: &dyn Reporter) -> Result<(), NodeError> {
        if self.has_archive(&pin.sha256) {
            return Ok(());
        }
        reporter.step("Fetching", &format!("{} {}", pin.id, pin.version));
        crash::point("install.fetching").map_err(NodeError::internal("fetch an archive"))?;
        let id = &pin.id;
        let progress = reporter.progress("Fetching", Amount::Bytes(None));
        let registry = self.registry.clone().watched(progress.watch());
        registry
            .download(id.module_type.as_str(), id.name.as_str(), &pin.version, &pin.sha256, &self.archive(&pin.sha256))
            .await
            .map_err(|error| match error {
                RegistryError::Unreachable { .. } | RegistryError::Timeout { .. } => {
                    NodeError::Upstream(format!("cannot fetch `{id} {}`: {error}", pin.version))
                }
                RegistryError::Io(error) => NodeError::internal("keep an archive")(error),
                error => install_error(pin, &error),
            })?;
        crash::point("install.fetched").map_err(NodeError::internal("keep an archive"))
    }

    /// Installs a module, once however often it is asked for at once.
    pub(super) async fn install(&self, pin: &ModulePin, reporter: &dyn Reporter) -> Result<Arc<Installed>, NodeError> {
        check_digest(&pin.sha256)?;
        let slot = self.slot(&pin.sha256);
        let mut slot = slot.lock().await;
        let installed = match &*slot {
            Some(installed) => installed.clone(),
            None => slot.insert(self.make(pin, reporter).await?).clone(),
        };
        if installed.manifest.id != pin.id || installed.manifest.version != pin.version {
            return Err(NodeError::Invalid(format!(
                "the archive of `{} {}` holds `{} {}`",
                pin.id, pin.version, installed.manifest.id, installed.manifest.version
            )));
        }
        Ok(installed)
    }

    async fn make(&self, pin: &ModulePin, reporter: &dyn Reporter) -> Result<Arc<Installed>, NodeError> {
        check_digest(&pin.sha256)?;
        self.await_deploy(&pin.sha256);
        self.fetch(pin, reporter).await?;
        let (archive, sha256) = (self.archive(&pin.sha256), pin.sha256.clone());
        let root = self.modules.join(&pin.sha256);
        let target = root.clone();
        let unpacked = tokio::task::spawn_blocking(move || {
            package::unpack(&archive, &sha256, &target, &package::Limits::default()).map_err(|error| {
                // Bytes that have changed on this disk can be fetched again.
                if matches!(error, package::ArchiveError::Digest { .. }) {
                    let _ = fs_err::remove_file(&archive);
                }
                refused(error)
            })
        });
        let contents = unpacked.await.map_err(NodeError::internal("unpack an archive"))??;
        let manifest = contents.manifest;
        reporter.step("Installing", &format!("{} {}", pin.id, pin.version));
        let entry = manifest.entrypoint.trim_end_matches(".py").to_owned();
        let package_dir = match manifest.runtime {
            Runtime::Python => package_dir_of(&root, &manifest.id.name),
            Runtime::Data | Runtime::Rust => root.clone(),
        };
        let configs = ModuleConfigs::read(&package_dir.join("configs")).map_err(|error| match error {
            // By its path in the archive: the node's own folders say nothing to whoever deploys.
            ConfigError::Syntax { path, error } => {
                ConfigError::Syntax { path: path.strip_prefix(&root).map(Path::to_owned).unwrap_or(path), error }
            }
            error => error,
        })?;
        let component = read_component(&package_dir).map_err(|reason| install_error(pin, &reason))?;
        let configs = match &component {
            Some(_) if configs.deployments.is_empty() => {
                ModuleConfigs { deployments: vec![deployment_of_dependencies(&manifest)], ..configs }
            }
            _ => configs,
        };
        let persona = match manifest.id.module_type {
            ModuleType::Persona => {
                Some(read_persona(&root, &manifest.entrypoint).map_err(|error| install_error(pin, &error))?)
            }
            _ => None,
        };
        let code = match manifest.runtime {
            Runtime::Python => {
                let prepared = self.environments.prepare(&root, manifest.sdk.as_deref(), reporter).await;
                let python = prepared.map_err(|error| match error {
                    EnvironmentError::Io(error) => NodeError::internal("make a Python environment")(error),
                    error => install_error(pin, &error),
                })?;
                self.compile(&root, manifest.sdk.clone());
                let package = manifest.id.name.to_string();
                let folder = package_dir.parent().unwrap_or(&root).to_owned();
                let code = (folder.clone(), package.clone(), python.interpreter.clone());
                let imports = tokio::task::spawn_blocking(move || imports_of(&code.0, &code.1, &code.2));
                let imports = imports.await.map_err(NodeError::internal("read what a module imports"))?;
                let imports = imports.map_err(NodeError::internal("read what a module imports"))?;
                let component = Value::Object(component.unwrap_or_default());
                Some(Code::Python(PythonModule { python, root, folder, package, entry, imports, component }))
            }
            Runtime::Rust => {
                let (id, sha256, binary) = (manifest.id.to_string(), pin.sha256.clone(), manifest.entrypoint.clone());
                if !is_binary_name(&binary) {
                    return Err(install_error(pin, &format!("`{binary}` cannot be the name of a binary")));
                }
                Some(Code::Rust(RustModule { id, sha256, root, binary }))
            }
            Runtime::Data => None,
        };
        Ok(Arc::new(Installed { manifest, configs, persona, code, is_ready: AtomicBool::new(false) }))
    }
}

impl Installs {
    /// Has a module's sources compiled, for which nobody waits.
    fn compile(&self, root: &Path, sdk: Option<String>) {
        let (environments, root) = (self.environments.clone(), root.to_owned());
        tokio::spawn(async move {
            if let Err(error) = environments.compile_module(root, sdk.as_deref()).await {
                tracing::warn!(%error, "a module has no bytecode: each of its runs compiles it");
            }
        });
    }

    /// What the processes of a module's runs come from, in a deployment of this owner.
    pub(super) fn origin(&self, code: &Code, owner: &str) -> Origin {
        match code {
            Code::Python(python) => Origin::of(python),
            Code::Rust(module) => Origin::Binary(self.binaries.path(module, owner)),
        }
    }

    /// Builds a module of Rust for its owner, once.
    pub(super) async fn build(
        &self,
        installed: &Installed,
        module: &RustModule,
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), NodeError> {
        self.binaries.build(module, owner, reporter).await.map_err(|error| match error {
            BuildError::Io(error) => NodeError::internal("build a Rust module")(error),
            error => NodeError::Install {
                module: format!("{} {}", installed.manifest.id, installed.manifest.version),
                reason: error.to_string(),
            },
        })
    }
}

/// Removes a folder as a whole: what is left of it after a crash has a name that the next start clears away.
async fn discard(folder: &Path) -> std::io::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let gone = folder.with_file_name(format!(".gone-{name}"));
    match fs_err::tokio::rename(folder, &gone).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => {
            renamed?;
            fs_err::tokio::remove_dir_all(gone).await
        }
    }
}

/// Whether Cargo may call a binary so; it becomes part of a path.
fn is_binary_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The configuration of modules of 2024, if it is one.
fn read_component(package: &Path) -> Result<Option<Map<String, Value>>, String> {
    match read_persona(package, COMPONENT_FILE) {
        Ok(component) => Ok(Some(component)),
        Err(PersonaError::Missing(_)) => Ok(None),
        Err(PersonaError::Syntax { reason, .. }) => Err(format!("`{COMPONENT_FILE}` cannot be used: {reason}")),
        Err(PersonaError::TooLarge { size, .. }) => {
            Err(format!("`{COMPONENT_FILE}` has {size} bytes, which is too many"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What such a module is deployed with, since it has no file that says so: one of each module that it depends on. Their
/// nodes are its workers.
fn deployment_of_dependencies(manifest: &Manifest) -> Deployment {
    let mut deployment = Deployment::default();
    for id in manifest.dependencies.keys() {
        if let Some(list) = deployment.subs_mut(id.module_type) {
            let name = Some(id.name.to_string());
            let module = Some(ModuleEntry { name: name.clone(), ..ModuleEntry::default() });
            list.get_or_insert_default().push(Deployment { name, module, ..Deployment::default() });
        }
    }
    deployment
}

/// Archives and folders are named by digests, so nothing else may come near a path.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_digest(text: &str) -> Result<(), NodeError> {
    if is_digest(text) {
        return Ok(());
    }
    Err(NodeError::Invalid("an archive is named by the 64 lower-case hex digits of its SHA-256".to_owned()))
}

/// What is wrong with an archive is whoever sent it to mend; what is wrong with this disk is not.
fn refused(error: package::ArchiveError) -> NodeError {
    match error {
        package::ArchiveError::Io(error) => NodeError::internal("read or unpack an archive")(error),
        error => NodeError::Invalid(format!("the archive is refused: {error}")),
    }
}

fn install_error(pin: &ModulePin, reason: &dyn std::fmt::Display) -> NodeError {
    NodeError::Install { module: format!("{} {}", pin.id, pin.version), reason: reason.to_string() }
}
