//! `napt.toml`: as it is written ([`ManifestFile`]) and as it is meant ([`Manifest`], nothing inherited and nothing
//! defaulted; this is also what an archive carries as `.napt/manifest.json`).

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    git::{GitReference, GitSource, GitSourceError},
    hosts::HostPattern,
    id::{IdError, ModuleId, ModuleType},
    limits::{Limits, LimitsTable},
    name::{ModuleName, NameError},
    native::{NativeError, NativeManifest},
};
use crate::report::{Fault, Kind};

/// `napt.toml` as written. `[module]` and `[workspace]` may stand side by side only in a workspace's root module.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// The module that this folder is.
    pub module: Option<ModuleTable>,
    /// The modules that it calls, by `type:name`.
    #[serde(default)]
    pub dependencies: BTreeMap<String, DependencyEntry>,
    /// What a run of it asks for.
    pub limits: Option<LimitsTable>,
    /// What it reaches beyond its node.
    pub permissions: Option<PermissionsTable>,
    /// Levels of check rules, by the rule's name. A member's go before its workspace's.
    #[serde(default)]
    pub lints: BTreeMap<String, LintLevel>,
    /// The members, in a workspace's root.
    pub workspace: Option<WorkspaceTable>,
}

/// `[module]`. What it leaves out comes from the native manifest beside it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModuleTable {
    /// What kind of module it is.
    #[serde(rename = "type")]
    pub module_type: ModuleType,
    /// The module's name: `[a-z][a-z0-9_]{0,63}`, where `-` and `_` are the same; else the native manifest's.
    #[schemars(example = &"debate")]
    pub name: Option<String>,
    /// A semantic version, without `+build`; else the native manifest's.
    #[schemars(example = &"0.1.0")]
    pub version: Option<String>,
    /// One sentence for the registry; else the native manifest's.
    pub description: Option<String>,
    /// `Name <mail>` each; else the native manifest's.
    #[schemars(example = ["Ada <ada@example.org>"])]
    pub authors: Option<Vec<String>>,
    /// An SPDX expression; else the native manifest's.
    #[schemars(example = &"MIT OR Apache-2.0")]
    pub license: Option<String>,
    /// A file, relative to the manifest; else the native manifest's.
    #[schemars(example = &"README.md")]
    pub readme: Option<String>,
    /// Where the source is kept; else the native manifest's.
    pub repository: Option<String>,
    /// For search; else the native manifest's.
    pub keywords: Option<Vec<String>>,
    /// What runs it; else `python` beside a `pyproject.toml`, `rust` beside a `Cargo.toml`, and `data` elsewhere.
    pub runtime: Option<Runtime>,
    /// A Python file of the package folder; nodes call the function of the same name in it. Of a Rust module, the name of
    /// its binary; of a persona, its `.json` or `.yaml` file.
    #[schemars(extend("default" = "run.py"))]
    pub entrypoint: Option<String>,
    /// The version of `naptha-sdk` that it needs, where `pyproject.toml` takes it from git; else what that requires.
    #[schemars(example = &"1.0.5")]
    pub sdk: Option<String>,
    /// Only these files are packaged (gitignore patterns); else all that git does not ignore.
    #[serde(default)]
    pub include: Vec<String>,
    /// These files are not packaged (gitignore patterns).
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Files that may be packaged although there are secrets in them: paths, not patterns.
    #[serde(default, rename = "allow-secrets")]
    pub allow_secrets: Vec<String>,
    /// Whether, or to which registries, it may be published; else to any.
    pub publish: Option<PublishEntry>,
}

/// What executes a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// CPython 3.10 to 3.12.
    Python,
    /// A binary that Cargo builds.
    Rust,
    /// Nothing runs: the module is data.
    Data,
}

/// `publish = false` or `publish = ["internal"]`, as written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PublishEntry {
    /// `true` or `false`.
    Allowed(bool),
    /// Registries: names, URLs, or hosts, with or without a port.
    Registries(Vec<String>),
}

/// Where a module may be published.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// To any registry.
    #[default]
    Anywhere,
    /// To none.
    Nowhere,
    /// To these registries, by name.
    Only(Vec<String>),
}

/// A value of `[dependencies]`: a requirement, or a table.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DependencyEntry {
    /// `"^0.1"`
    Requirement(String),
    /// `{ version = "0.1", path = "../x" }`
    Table(DependencyTable),
}

/// The table form of a dependency.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DependencyTable {
    /// A requirement as Cargo writes them; needed, unless there is a `path`, and for publishing.
    #[schemars(example = &"^0.1")]
    pub version: Option<String>,
    /// The name of a registry in the settings; else the default one, or for a published module the one that it is from.
    pub registry: Option<String>,
    /// A folder, relative to this manifest, for working on it; once published, the module is found by `version`.
    #[schemars(example = &"../chat")]
    pub path: Option<String>,
    /// The URL of a git repository that has the module, instead of a registry; for publishing, a `version` besides.
    #[schemars(example = &"https://github.com/owner/chat")]
    pub git: Option<String>,
    /// A tag of it; with none of `tag`, `branch` and `rev`, what the repository gives by itself.
    #[schemars(example = &"v0.1")]
    pub tag: Option<String>,
    /// A branch of it, at its newest commit when `napt.lock` is written.
    #[schemars(example = &"main")]
    pub branch: Option<String>,
    /// A commit of it; or a tag or branch, as Naptha's `module_version` is.
    pub rev: Option<String>,
}

impl DependencyTable {
    /// The place in git, when it is from there; nothing else may be said of where it is then.
    pub(crate) fn git(&self) -> Result<Option<GitSource>, GitSourceError> {
        let reference = GitReference::of(self.tag.as_deref(), self.branch.as_deref(), self.rev.as_deref())?;
        let others = [("path", self.path.is_some()), ("registry", self.registry.is_some())];
        if let (Some(_), Some((other, _))) = (&self.git, others.into_iter().find(|(_, is_given)| *is_given)) {
            return Err(GitSourceError::Several(["git", other]));
        }
        match (&self.git, reference.key()) {
            (Some(url), _) => GitSource::new(url, reference).map(Some),
            (None, Some(key)) => Err(GitSourceError::NoUrl(key)),
            (None, None) => Ok(None),
        }
    }
}

impl<'de> Deserialize<'de> for DependencyEntry {
    // By hand, since an untagged enum would hide which key of the table is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = DependencyEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a version requirement such as \"^0.1\", or a table with `version`, `path`, `git` or `registry`",
                )
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DependencyEntry, E> {
                Ok(DependencyEntry::Requirement(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DependencyEntry, A::Error> {
                DependencyTable::deserialize(MapAccessDeserializer::new(map)).map(DependencyEntry::Table)
            }
        }
        deserializer.deserialize_any(EntryVisitor)
    }
}

/// `[permissions]` as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermissionsTable {
    /// Hosts on the network: names, each with a port if it is neither 443 nor 80. `*.example.org` is all below `example.org`.
    #[serde(default)]
    #[schemars(example = ["api.example.com", "*.example.org:8443"])]
    pub hosts: Vec<String>,
}

/// How loudly a check rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LintLevel {
    /// Not at all.
    Allow,
    /// A warning; the check passes.
    Warn,
    /// An error; the check fails.
    Deny,
}

/// `[workspace]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceTable {
    /// Folders of modules, relative to the root; `*` stands for one folder name.
    #[schemars(example = ["modules/*"])]
    pub members: Vec<String>,
}

/// What a module reaches beyond its node. A node may allow less, never more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permissions {
    /// Hosts on the network.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
}

impl Permissions {
    /// Whether it reaches nothing.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// One dependency, as meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Acceptable versions.
    pub req: VersionReq,
    /// The registry's configured name; `None` is the default one.
    pub registry: Option<String>,
    /// A folder relative to the manifest; never in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// A place in git; never in an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
}

/// A module's manifest with every value present. Unknown keys of a newer version are ignored when it is read from
/// an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Type and name.
    pub id: ModuleId,
    /// Semantic version, without build metadata.
    pub version: Version,
    /// One sentence, or empty.
    pub description: String,
    /// `Name <mail>` each.
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub license: Option<String>,
    /// A file, relative to the root.
    pub readme: Option<String>,
    /// Where the source is kept.
    pub repository: Option<String>,
    /// For search.
    pub keywords: Vec<String>,
    /// What runs it.
    pub runtime: Runtime,
    /// A file in the package folder (`run.py`), or a binary's name.
    pub entrypoint: String,
    /// The `naptha-sdk` version that it needs, where stated.
    pub sdk: Option<String>,
    /// gitignore patterns.
    pub include: Vec<String>,
    /// gitignore patterns.
    pub exclude: Vec<String>,
    /// Files that may be packaged although there are secrets in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_secrets: Vec<String>,
    /// Where it may be published.
    pub publish: Publish,
    /// The modules that it calls.
    pub dependencies: BTreeMap<ModuleId, Dependency>,
    /// What a run asks for.
    pub limits: Limits,
    /// What it reaches beyond its node.
    #[serde(default, skip_serializing_if = "Permissions::is_empty")]
    pub permissions: Permissions,
    /// Levels of check rules.
    pub lints: BTreeMap<String, LintLevel>,
}

/// Version of the format of [`Manifest`].
pub(super) const MANIFEST_FORMAT: u32 = 1;

/// Why a `napt.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not of the manifest's shape; the text has line, column and excerpt.
    #[error("cannot read `{}`\n{error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with an excerpt.
        error: Box<toml::de::Error>,
    },
    /// There is no `[module]`.
    #[error("`{}` has no `[module]`", .0.display())]
    NoModule(PathBuf),
    /// A value that neither manifest gives.
    #[error("`{}` does not say the module's `{key}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A value that does not parse.
    #[error("invalid `{key}` in `{}`: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is not allowed.
    #[error("invalid `module.name` in `{}`", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: NameError,
    },
    /// A key of `[dependencies]` is not a module.
    #[error("invalid dependency `{key}` in `{}`", path.display())]
    Dependency {
        /// The file.
        path: PathBuf,
        /// The key as written.
        key: String,
        /// Why.
        #[source]
        error: IdError,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The native manifest beside it cannot be read.
    #[error(transparent)]
    Native(#[from] NativeError),
}

impl Fault for ManifestError {
    fn hint(&self) -> Option<String> {
        match self {
            ManifestError::NoModule(_) => Some(
                "add `[module]` with `type = \"agent\"`, or run the command in one of the workspace's members"
                    .to_owned(),
            ),
            ManifestError::Missing { key, .. } => {
                Some(format!("add `{key}` to `[module]`, or to the `pyproject.toml` or `Cargo.toml` beside it"))
            }
            ManifestError::Name { error, .. } => error.hint(),
            ManifestError::Dependency { error, .. } => error.hint(),
            ManifestError::Syntax { .. } | ManifestError::Invalid { .. } => {
                Some("`napt check` shows every problem at once".to_owned())
            }
            ManifestError::Io(_) => None,
            ManifestError::Native(error) => error.hint(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            ManifestError::Io(_) => Kind::Failed,
            ManifestError::Native(error) => error.kind(),
            _ => Kind::Check,
        }
    }
}

impl ManifestFile {
    /// Parses the text of the `napt.toml` at `path`.
    pub fn parse(text: &str, path: &std::path::Path) -> Result<Self, ManifestError> {
        toml::from_str(text).map_err(|error| ManifestError::Syntax { path: path.to_owned(), error: Box::new(error) })
    }

    /// Fills in what is left out from the native manifest, and parses what is text. `path` is for messages.
    pub fn complete(&self, native: &NativeManifest, path: &std::path::Path) -> Result<Manifest, ManifestError> {
        let invalid = |key: &str, reason: &dyn fmt::Display| ManifestError::Invalid {
            path: path.to_owned(),
            key: key.to_owned(),
            reason: reason.to_string(),
        };
        let missing = |key| ManifestError::Missing { path: path.to_owned(), key };
        let table = self.module.as_ref().ok_or_else(|| ManifestError::NoModule(path.to_owned()))?;
        let name = table.name.clone().or_else(|| native.name.clone()).ok_or_else(|| missing("name"))?;
        let name: ModuleName = name.parse().map_err(|error| ManifestError::Name { path: path.to_owned(), error })?;
        let version = table.version.clone().or_else(|| native.version.clone()).ok_or_else(|| missing("version"))?;
        let version = Version::parse(&version).map_err(|error| invalid("module.version", &error))?;
        if !version.build.is_empty() {
            return Err(invalid("module.version", &"build metadata (`+…`) is not part of a module's version"));
        }
        let runtime = table.runtime.unwrap_or(native.runtime);
        let entrypoint =
            table.entrypoint.clone().or_else(|| native.entrypoint.clone()).unwrap_or_else(|| match runtime {
                Runtime::Rust => native.name.clone().unwrap_or_else(|| name.to_string()),
                Runtime::Python | Runtime::Data => "run.py".to_owned(),
            });
        let mut dependencies = BTreeMap::new();
        for (key, entry) in &self.dependencies {
            let id: ModuleId = key.parse().map_err(|error| ManifestError::Dependency {
                path: path.to_owned(),
                key: key.clone(),
                error,
            })?;
            let table = match entry {
                DependencyEntry::Requirement(req) => {
                    DependencyTable { version: Some(req.clone()), ..Default::default() }
                }
                DependencyEntry::Table(table) => table.clone(),
            };
            let key = format!("dependencies.\"{key}\"");
            let git = table.git().map_err(|error| invalid(&key, &error))?;
            let req = match &table.version {
                Some(req) => VersionReq::parse(req).map_err(|error| invalid(&key, &error))?,
                None if table.path.is_some() || git.is_some() => VersionReq::STAR,
                None => return Err(invalid(&key, &"it needs a `version`, a `path` or a `git`")),
            };
            let path = table.path.map(PathBuf::from);
            dependencies.insert(id, Dependency { req, registry: table.registry, path, git });
        }
        Ok(Manifest {
            format: MANIFEST_FORMAT,
            id: ModuleId { module_type: table.module_type, name },
            version,
            description: table.description.clone().or_else(|| native.description.clone()).unwrap_or_default(),
            authors: table.authors.clone().unwrap_or_else(|| native.authors.clone()),
            license: table.license.clone().or_else(|| native.license.clone()),
            readme: table.readme.clone().or_else(|| native.readme.clone()),
            repository: table.repository.clone().or_else(|| native.repository.clone()),
            keywords: table.keywords.clone().unwrap_or_else(|| native.keywords.clone()),
            runtime,
            entrypoint,
            sdk: table.sdk.clone(),
            include: table.include.clone(),
            exclude: table.exclude.clone(),
            allow_secrets: table.allow_secrets.clone(),
            publish: match &table.publish {
                None | Some(PublishEntry::Allowed(true)) => Publish::Anywhere,
                Some(PublishEntry::Allowed(false)) => Publish::Nowhere,
                Some(PublishEntry::Registries(names)) => Publish::Only(names.clone()),
            },
            dependencies,
            limits: self.limits.as_ref().map_or_else(|| Ok(Limits::default()), |table| table.parse(&invalid))?,
            permissions: self
                .permissions
                .as_ref()
                .map_or_else(|| Ok(Permissions::default()), |table| table.parse(&invalid))?,
            lints: self.lints.clone(),
        })
    }
}

impl PermissionsTable {
    fn parse(&self, invalid: &dyn Fn(&str, &dyn fmt::Display) -> ManifestError) -> Result<Permissions, ManifestError> {
        let hosts = self.hosts.iter().map(|host| host.parse().map_err(|error| invalid("permissions.hosts", &error)));
        Ok(Permissions { hosts: hosts.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn complete(text: &str) -> Result<Manifest, ManifestError> {
        ManifestFile::parse(text, Path::new("napt.toml"))?.complete(&NativeManifest::default(), Path::new("napt.toml"))
    }

    #[test]
    fn the_design_example_is_read() {
        let manifest = complete(
            r#"
            [module]
            type = "orchestrator"
            name = "multiagent_chat"
            version = "0.1.0"
            runtime = "python"
            [dependencies]
            "agent:simple_chat_agent" = "^0.1"
            "kb:groupchat_kb" = { version = "0.1", registry = "internal" }
            "agent:local_one" = { path = "../local_one", version = "0.1" }
            [limits]
            timeout = "10m"
            memory = "512MiB"
            isolation = "process"
            [lints]
            unused-subdeployment = "allow"
            "#,
        )
        .expect("a good manifest");
        assert_eq!(manifest.limits, Limits::default());
        assert_eq!(manifest.dependencies.len(), 3);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = complete("[module]\ntype = \"agent\"\nnmae = \"x\"\n").expect_err("a typo");
        assert!(error.to_string().contains("line 3"), "{error}");
        assert!(error.to_string().contains("nmae"), "{error}");
    }

    #[test]
    fn the_documented_defaults_are_those_that_hold() {
        let schema = schemars::schema_for!(ManifestFile).to_value();
        let documented = |table: &str, key: &str| {
            let default = &schema["$defs"][table]["properties"][key]["default"];
            assert!(!default.is_null(), "{table}.{key} has no default");
            default.to_string()
        };
        let bare = "[module]\ntype=\"agent\"\nname=\"x\"\nversion=\"1.0.0\"\n";
        let mut told = format!("{bare}entrypoint={}\n[limits]\n", documented("ModuleTable", "entrypoint"));
        let limits = schema["$defs"]["LimitsTable"]["properties"].as_object().expect("keys");
        for key in limits.keys() {
            told += &format!("{key}={}\n", documented("LimitsTable", key));
        }
        assert_eq!(complete(&told).expect("a manifest"), complete(bare).expect("a manifest"));
    }

    #[test]
    fn a_dependency_needs_a_version_or_a_path() {
        let error = complete("[module]\ntype=\"agent\"\nname=\"x\"\nversion=\"1.0.0\"\n[dependencies]\n\"kb:y\"={}\n");
        assert!(error.expect_err("no version").to_string().contains("`version`, a `path` or a `git`"));
    }
}
