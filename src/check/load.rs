//! Reads a project for checking: whatever is broken is left out, and everything else is still there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use semver::Version;

use super::{
    CheckError, Place,
    environment::EnvFile,
    source::{Document, Member, Node, Python},
};
use crate::{
    config::{DEPLOYMENT_FILE, SUB_DEPLOYMENTS},
    module::{
        CARGO_FILE, LintLevel, MANIFEST_FILE, ModuleId, ModuleName, ModuleType, Project, Runtime, existing_folder,
        member_folders, package_dir_of,
    },
    package::packaged_paths,
};

/// The native manifest's file name, of a Python module; of a Rust module it is [`CARGO_FILE`].
pub(super) const NATIVE_FILE: &str = "pyproject.toml";

/// Levels of rules, by name.
pub(super) type Levels = BTreeMap<String, LintLevel>;

/// What a check looks at.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) root: PathBuf,
    /// The manifest of a workspace's root that is not a module itself.
    pub(super) workspace: Option<Document>,
    /// By folder.
    pub(super) modules: Vec<Module>,
    /// The root's levels: defaults for the members.
    pub(super) levels: Levels,
}

/// A module as far as it can be read.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) root: PathBuf,
    /// `napt.toml`.
    pub(super) manifest: Option<Document>,
    /// `pyproject.toml`, else `Cargo.toml`.
    pub(super) native: Option<Document>,
    pub(super) module_type: Option<ModuleType>,
    pub(super) name: Option<ModuleName>,
    pub(super) version: Option<Version>,
    pub(super) runtime: Runtime,
    pub(super) entrypoint: String,
    /// The files of `configs/`, by name.
    pub(super) configs: BTreeMap<String, Document>,
    /// The Python files of the package, by path.
    pub(super) python: Vec<Python>,
    pub(super) levels: Levels,
    /// Its own `.env`.
    pub(super) env_file: Option<EnvFile>,
    pub(super) shared: Arc<Shared>,
    packaged: OnceLock<Vec<String>>,
}

/// What the modules of a check have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The folder that is checked.
    pub(super) root: PathBuf,
    /// The folders of the workspace's modules; none without a workspace.
    pub(super) members: Vec<PathBuf>,
    /// The names of the environment's variables.
    pub(super) variables: BTreeSet<String>,
    /// The workspace's `.env`.
    env_file: Option<EnvFile>,
}

impl Shared {
    /// A path as messages show it.
    pub(super) fn shown(&self, path: &Path) -> String {
        super::render::shown(path, &self.root)
    }
}

impl Checked {
    /// The `.env` files that were read.
    pub(super) fn env_files(&self) -> Vec<PathBuf> {
        let files: BTreeSet<&PathBuf> =
            self.modules.iter().flat_map(Module::env_files).map(|file| &file.path).collect();
        files.into_iter().cloned().collect()
    }
}

/// One deployment that a configuration file describes.
pub(super) struct DeploymentNode<'a> {
    pub(super) document: &'a Document,
    pub(super) node: &'a Node,
    /// What it is a deployment of; `None` for the module itself.
    pub(super) sub: Option<ModuleType>,
}

/// A place of the configuration that names another module.
pub(super) struct UsedModule<'a> {
    pub(super) id: ModuleId,
    pub(super) document: &'a Document,
    pub(super) span: &'a Range<usize>,
}

/// Finds and reads the module or the workspace that `path` is in.
pub(super) fn load(path: &Path, variables: &BTreeSet<String>) -> Result<Checked, CheckError> {
    let given = existing_folder(path)?;
    let has = |folder: &Path, file: &str| folder.join(file).is_file();
    let nearest = given
        .ancestors()
        .find(|folder| has(folder, MANIFEST_FILE) || has(folder, NATIVE_FILE))
        .ok_or_else(|| CheckError::NotFound(given.clone()))?;
    for folder in nearest.ancestors().filter(|folder| has(folder, MANIFEST_FILE)) {
        let manifest = Document::read_toml(&folder.join(MANIFEST_FILE))?;
        let Some(patterns) = manifest.get(&["workspace", "members"]) else { continue };
        let members = members(folder, patterns)?;
        if folder != nearest && !members.iter().any(|member| member == nearest) {
            continue;
        }
        let is_module = manifest.get(&["module"]).is_some();
        let levels = levels(&manifest);
        let mut all = members;
        if is_module {
            all.push(folder.to_owned());
        }
        all.sort();
        all.dedup();
        let folders = if folder == nearest { all.clone() } else { vec![nearest.to_owned()] };
        let shared = Arc::new(Shared {
            root: folder.to_owned(),
            members: all,
            variables: variables.clone(),
            env_file: EnvFile::read(folder),
        });
        return Ok(Checked {
            root: folder.to_owned(),
            workspace: (folder == nearest && !is_module).then_some(manifest),
            modules: in_parallel(&folders, |folder| Module::load(folder, &shared))
                .into_iter()
                .collect::<Result<_, _>>()?,
            levels,
        });
    }
    let shared = Shared { root: nearest.to_owned(), variables: variables.clone(), ..Shared::default() };
    Ok(Checked {
        root: nearest.to_owned(),
        workspace: None,
        modules: vec![Module::load(nearest, &Arc::new(shared))?],
        levels: Levels::new(),
    })
}

/// Does something with each, on all processors; the results are in order.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        let finished =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        finished.flatten().collect()
    })
}

fn members(root: &Path, patterns: &Node) -> Result<Vec<PathBuf>, CheckError> {
    let mut folders = Vec::new();
    for pattern in patterns.items().iter().filter_map(Node::as_str) {
        folders.extend(member_folders(root, pattern)?);
    }
    Ok(folders)
}

fn levels(manifest: &Document) -> Levels {
    let lints = manifest.get(&["lints"]).map(Node::members).unwrap_or_default();
    let level = |text: &str| match text {
        "allow" => Some(LintLevel::Allow),
        "warn" => Some(LintLevel::Warn),
        "deny" => Some(LintLevel::Deny),
        _ => None,
    };
    lints.iter().filter_map(|lint| Some((lint.key.clone(), level(lint.node.as_str()?)?))).collect()
}

impl Module {
    /// The manifests only: enough to know which module a folder is.
    pub(super) fn head(root: &Path) -> Result<Self, std::io::Error> {
        let read = |file: &str| {
            let path = root.join(file);
            path.is_file().then(|| Document::read_toml(&path)).transpose()
        };
        let manifest = read(MANIFEST_FILE)?;
        let (native, found) = match (read(NATIVE_FILE)?, read(CARGO_FILE)?) {
            (Some(python), _) => (Some(python), Runtime::Python),
            (None, Some(cargo)) => (Some(cargo), Runtime::Rust),
            (None, None) => (None, Runtime::Data),
        };
        let mut module = Module {
            root: root.to_owned(),
            levels: manifest.as_ref().map(levels).unwrap_or_default(),
            runtime: found,
            manifest,
            native,
            module_type: None,
            name: None,
            version: None,
            entrypoint: "run.py".to_owned(),
            configs: BTreeMap::new(),
            python: Vec::new(),
            env_file: None,
            shared: Arc::default(),
            packaged: OnceLock::new(),
        };
        let text = |key: &str| module.key(key).and_then(|(_, node)| node.as_str()).map(str::to_owned);
        let (module_type, name, version) = (text("type"), text("name"), text("version"));
        let (runtime, entrypoint) = (text("runtime"), text("entrypoint"));
        module.module_type = module_type.and_then(|text| text.parse().ok());
        module.name = name.and_then(|text| text.parse().ok());
        module.version = version.and_then(|text| Version::parse(&text).ok());
        module.entrypoint = entrypoint.unwrap_or(module.entrypoint);
        module.runtime = match runtime.as_deref() {
            Some("python") => Runtime::Python,
            Some("rust") => Runtime::Rust,
            Some("data") => Runtime::Data,
            _ => module.runtime,
        };
        Ok(module)
    }

    fn load(root: &Path, shared: &Arc<Shared>) -> Result<Self, std::io::Error> {
        let mut module = Self::head(root)?;
        if module.manifest.is_none() && module.native.is_none() {
            // It was there when the folder was found.
            let what = format!("there is no `{MANIFEST_FILE}` in `{}` any more", root.display());
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, what));
        }
        module.shared = Arc::clone(shared);
        // A module in a workspace's root has the workspace's.
        module.env_file = EnvFile::read(root).filter(|_| shared.env_file.is_none() || root != shared.root);
        let Some(package) = module.package().filter(|package| package.is_dir()) else { return Ok(module) };
        let configs = package.join("configs");
        if configs.is_dir() {
            for entry in fs_err::read_dir(&configs)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if path.is_file() && name.ends_with(".json") {
                    module.configs.insert(name.to_owned(), Document::read_json(&path)?);
                }
            }
        }
        if module.runs_python() {
            let walk = ignore::WalkBuilder::new(&package).sort_by_file_path(Path::cmp).require_git(false).build();
            for entry in walk.filter_map(Result::ok) {
                if entry.path().extension().is_some_and(|suffix| suffix == "py") && entry.path().is_file() {
                    module.python.push(Python::read(entry.path())?);
                }
            }
        }
        Ok(module)
    }

    /// Whether its manifests were read whole; what is missing from one that was not may well be there.
    pub(super) fn manifests_are_whole(&self) -> bool {
        self.manifest.iter().chain(&self.native).all(|document| document.errors.is_empty())
    }

    /// Whether all of its configuration was read.
    pub(super) fn configs_are_whole(&self) -> bool {
        let found = self.package().is_some_and(|package| package.is_dir());
        found && self.configs.values().all(|document| document.root.is_some())
    }

    /// A value of `[module]`, or what the native manifest says instead.
    pub(super) fn key(&self, key: &str) -> Option<(&Document, &Node)> {
        let find =
            |document: &'_ Option<Document>, path: &[&str]| -> Option<()> { document.as_ref()?.get(path).map(|_| ()) };
        for (document, path) in [
            (&self.manifest, vec!["module", key]),
            (&self.native, vec!["project", key]),
            (&self.native, vec!["tool", "poetry", key]),
            (&self.native, vec!["package", key]),
        ] {
            if find(document, &path).is_some() {
                let document = document.as_ref()?;
                return Some((document, document.get(&path)?));
            }
        }
        None
    }

    /// Type and name.
    pub(super) fn id(&self) -> Option<ModuleId> {
        Some(ModuleId { module_type: self.module_type?, name: self.name.clone()? })
    }

    /// The folder of code and configuration, when the module's name is known.
    pub(super) fn package(&self) -> Option<PathBuf> {
        match self.runtime {
            Runtime::Data | Runtime::Rust => Some(self.root.clone()),
            Runtime::Python => self.name.as_ref().map(|name| package_dir_of(&self.root, name)),
        }
    }

    /// Whether a node will call Python code of it.
    pub(super) fn runs_python(&self) -> bool {
        self.runtime == Runtime::Python && self.module_type.is_none_or(ModuleType::is_runnable)
    }

    /// The function that a node calls: named like the entrypoint, which is a file of the package folder itself.
    pub(super) fn entry_function(&self) -> Option<&str> {
        self.entrypoint.strip_suffix(".py").filter(|name| is_identifier(name))
    }

    /// The module that it names by a path, as far as its manifests tell.
    pub(super) fn path_dependency(&self, id: &ModuleId) -> Option<Module> {
        let entry = self.dependencies().iter().find(|member| member.key.parse().as_ref() == Ok(id))?;
        Module::head(&self.root.join(entry.node.text("path")?.0)).ok()
    }

    /// The `.env` files that hold for it.
    pub(super) fn env_files(&self) -> impl Iterator<Item = &EnvFile> {
        self.env_file.iter().chain(&self.shared.env_file)
    }

    /// The files that will be packaged; none when it cannot be packaged at all, for reasons that other rules tell.
    pub(super) fn packaged_paths(&self) -> &[String] {
        self.packaged.get_or_init(|| {
            let project = Project::load(&self.root).ok();
            project.and_then(|project| packaged_paths(&project).ok()).unwrap_or_default()
        })
    }

    /// The module of that id in the same workspace: its folder, relative to this one with `/`, and its version.
    pub(super) fn sibling(&self, id: &ModuleId) -> Option<(String, Version)> {
        let found = self.shared.members.iter().filter(|folder| **folder != self.root).find_map(|folder| {
            let module = Module::head(folder).ok().filter(|module| module.id().as_ref() == Some(id))?;
            Some((folder, module.version?))
        });
        let (folder, version) = found?;
        let shared = self.root.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
        let up = self.root.components().skip(shared).map(|_| "..".to_owned());
        let down = folder.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
        Some((up.chain(down).collect::<Vec<_>>().join("/"), version))
    }

    /// Whether it says that it is written for `naptha-sdk` 1.0 or newer.
    pub(super) fn asks_for_new_sdk(&self) -> bool {
        let own = self.manifest.as_ref().and_then(|manifest| manifest.get(&["module", "sdk"])?.as_str());
        let native = self.native.as_ref();
        let list = native.and_then(|native| native.get(&["project", "dependencies"])).map(Node::items);
        let listed = list.unwrap_or_default().iter().filter_map(Node::as_str).find_map(|text| {
            let text = text.to_lowercase().replace('_', "-");
            text.strip_prefix("naptha-sdk").map(str::to_owned)
        });
        let table = native.and_then(|native| native.get(&["tool", "poetry", "dependencies"]));
        let entry = table.and_then(|table| Some(table.text("naptha-sdk").or_else(|| table.text("naptha_sdk"))?.0));
        let asked = own.map(str::to_owned).or(listed).or(entry.map(str::to_owned)).unwrap_or_default();
        let number = asked.trim_start_matches(|c: char| !c.is_ascii_digit()).split('.').next().unwrap_or_default();
        !asked.contains(['<', '!']) && number.parse::<u32>().is_ok_and(|major| major >= 1)
    }

    /// The Python file of that path in the package.
    pub(super) fn python_file(&self, path: &str) -> Option<&Python> {
        let path = self.package()?.join(path);
        self.python.iter().find(|file| file.source.path == path)
    }

    /// Its manifests and configuration files.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Document> {
        self.manifest.iter().chain(&self.native).chain(self.configs.values())
    }

    /// Where to point when something is not there: the value of a key, or `[module]`, or the manifest as such.
    pub(super) fn place_of(&self, key: &str) -> Place {
        if let Some((document, node)) = self.key(key) {
            return document.at(&node.span);
        }
        match (&self.manifest, &self.native) {
            (Some(manifest), _) => match manifest.root.as_ref().and_then(|root| root.member("module")) {
                Some(member) => manifest.at(&member.key_span),
                None => manifest.whole(),
            },
            (None, Some(native)) => native.whole(),
            (None, None) => unreachable!("a module is found by one of its manifests"),
        }
    }

    /// The entries of `[dependencies]`.
    pub(super) fn dependencies(&self) -> &[Member] {
        let table = self.manifest.as_ref().and_then(|manifest| manifest.get(&["dependencies"]));
        table.map(Node::members).unwrap_or_default()
    }

    /// The entries of a file of `configs/`.
    pub(super) fn entries<'a>(&'a self, file: &str) -> impl Iterator<Item = (&'a Document, &'a Node)> {
        let document = self.configs.get(file);
        document
            .into_iter()
            .flat_map(|document| document.root.iter().flat_map(Node::items).map(move |node| (document, node)))
    }

    /// Every deployment of its files, those inside others included.
    pub(super) fn deployments(&self) -> Vec<DeploymentNode<'_>> {
        fn collect<'a>(
            found: &mut Vec<DeploymentNode<'a>>,
            document: &'a Document,
            node: &'a Node,
            sub: Option<ModuleType>,
        ) {
            found.push(DeploymentNode { document, node, sub });
            for (module_type, key, _) in SUB_DEPLOYMENTS {
                for item in node.get(key).map(Node::items).unwrap_or_default() {
                    collect(found, document, item, Some(module_type));
                }
            }
        }
        let mut found = Vec::new();
        for (document, node) in self.entries(DEPLOYMENT_FILE) {
            collect(&mut found, document, node, None);
        }
        for (module_type, _, file) in SUB_DEPLOYMENTS {
            for (document, node) in self.entries(file) {
                collect(&mut found, document, node, Some(module_type));
            }
        }
        found
    }

    /// The modules that its configuration names: what sub-deployments are of, and personas.
    pub(super) fn used_modules(&self) -> Vec<UsedModule<'_>> {
        let mut used = Vec::new();
        for DeploymentNode { document, node, sub } in self.deployments() {
            let module = sub.and_then(|module_type| Some((node.get("module")?, module_type)));
            let persona = node.get("config").and_then(|config| config.get("persona_module"));
            for (module, module_type) in module.into_iter().chain(persona.map(|node| (node, ModuleType::Persona))) {
                let Some((text, span)) = module.text("name") else { continue };
                used.extend(module_id(text, module_type).map(|id| UsedModule { id, document, span }));
            }
        }
        used
    }
}

/// The module that a `module.name` means in a list of that type.
pub(super) fn module_id(text: &str, module_type: ModuleType) -> Option<ModuleId> {
    match text.contains(':') {
        true => text.parse().ok(),
        false => text.parse().ok().map(|name| ModuleId { module_type, name }),
    }
}

/// Whether Python takes it for a name. (Python allows more letters than ASCII's; file systems disagree about those.)
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
