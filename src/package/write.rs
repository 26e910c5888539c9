//! Project in, archive out.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;
use semver::{Comparator, Op, VersionReq};

use super::{
    ARCHIVED_MANIFEST, ARCHIVED_VCS, Contents, Limits, PackedFile,
    error::ArchiveError,
    file_name, platform,
    read::{admit, inspect, unpack},
    secrets::{AllowedSecret, Finding},
    tarball::Writer,
    top_folder,
    tree::{self, Source},
    vcs,
};
use crate::{
    module::{MANIFEST_FILE, Manifest, ModuleId, Project, Runtime, Workspace},
    report::{Amount, Fault, Kind, Reporter, plural},
};

/// From how much of a limit on the user is warned.
const NEAR_LIMIT_PERCENT: u64 = 80;
/// How many files a message names.
const LISTED: usize = 10;

/// An archive that was made, and checked by the reader that the registry and the node use.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Where it is.
    pub path: PathBuf,
    /// `NAME-VERSION.napt`.
    pub file_name: String,
    /// Its digest, 64 hex digits.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// Bytes of its files.
    pub unpacked: u64,
    /// Its files.
    pub files: Vec<PackedFile>,
    /// The manifest in it.
    pub manifest: Manifest,
    /// Secrets in it that somebody allows.
    pub allowed_secrets: Vec<AllowedSecret>,
}

/// Whether a project may be packaged that has changes which git has no commit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// As it is on disk.
    Allowed,
    /// Only as it was committed, where there is a repository.
    Refused,
}

/// Why a project cannot be packaged.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file cannot be read, or the archive not written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file's name is not text.
    #[error("the name of `{}` is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Symbolic links and other things that are neither files nor folders.
    #[error("only files and folders can be packaged, but these are links or devices: {}", quoted(.0))]
    NotFiles(Vec<String>),
    /// A pattern of the manifest is malformed.
    #[error("invalid pattern in `module.{key}` of `{}`", path.display())]
    Pattern {
        /// The manifest.
        path: PathBuf,
        /// `include` or `exclude`.
        key: &'static str,
        /// What is wrong.
        #[source]
        error: ignore::Error,
    },
    /// Secrets in the project's files.
    #[error("{} would be published{}", plural(.0.len(), "secret"), listed(.0))]
    Secrets(Vec<Finding>),
    /// Changes that are in no commit.
    #[error("{} in the working directory {} not committed{}", plural(.0.len(), "file"), if .0.len() == 1 { "is" } else { "are" }, files(.0))]
    Dirty(Vec<String>),
    /// The archive does not hold what a module needs.
    #[error("the archive of `{id}` does not hold a module that works: {reason}")]
    Unusable {
        /// The module.
        id: ModuleId,
        /// What is wrong with it.
        reason: String,
    },
    /// A dependency on a folder whose version cannot be found.
    #[error("the dependency `{id}` has no version, and {reason}")]
    Dependency {
        /// The dependency.
        id: ModuleId,
        /// Why none was found.
        reason: String,
    },
    /// A file changed while it was read.
    #[error("`{0}` changed while it was packaged")]
    Changed(String),
    /// The user does not want it any more.
    #[error("interrupted")]
    Interrupted,
    /// The archive would be refused.
    #[error(transparent)]
    Refused(#[from] ArchiveError),
    /// What was written is not what was meant.
    #[error("the finished archive does not hold what was packaged")]
    SelfCheck,
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ")
}

fn files(paths: &[String]) -> String {
    let mut text: String = paths.iter().take(LISTED).map(|path| format!("\n  {}", path.escape_debug())).collect();
    if paths.len() > LISTED {
        text.push_str(&format!("\n  … and {} more", paths.len() - LISTED));
    }
    text
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

impl Fault for PackageError {
    fn kind(&self) -> Kind {
        match self {
            PackageError::Secrets(_)
            | PackageError::Dirty(_)
            | PackageError::Unusable { .. }
            | PackageError::NotFiles(_)
            | PackageError::NotUtf8(_)
            | PackageError::Pattern { .. }
            | PackageError::Dependency { .. }
            | PackageError::Refused(_) => Kind::Check,
            PackageError::SelfCheck => Kind::Bug,
            PackageError::Interrupted => Kind::Interrupted,
            PackageError::Io(_) | PackageError::Changed(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            PackageError::Io(_) | PackageError::Interrupted => return None,
            PackageError::NotUtf8(_) => "rename it".to_owned(),
            PackageError::NotFiles(_) => {
                "put copies in their place, or leave them out with `exclude` in `[module]`".to_owned()
            }
            PackageError::Pattern { .. } => "patterns are those of `.gitignore`, for example `data/*.csv`".to_owned(),
            PackageError::Secrets(_) => format!(
                "take them out, or leave the files out by `.gitignore` or `exclude` in `{MANIFEST_FILE}`; \
                 read keys from the environment when the module runs. What opens nothing may stay with \
                 `napt: allow-secret REASON` on its line, or its file in `allow-secrets` of `[module]`"
            ),
            PackageError::Dirty(_) => "commit them, or package what is on disk with `--allow-dirty`".to_owned(),
            PackageError::Unusable { .. } => {
                "`napt package --list` shows what is in it; `--no-verify` makes it all the same".to_owned()
            }
            PackageError::Dependency { id, .. } => {
                format!("write `\"{id}\" = {{ path = \"…\", version = \"1.2\" }}`")
            }
            PackageError::Changed(_) => "try again when nothing writes to it".to_owned(),
            PackageError::Refused(error) => match error {
                ArchiveError::TooMany { .. }
                | ArchiveError::File { .. }
                | ArchiveError::Unpacked { .. }
                | ArchiveError::Packed { .. }
                | ArchiveError::Ratio { .. } => format!(
                    "`napt package --list` shows what is packaged; leave files out by `exclude` in `{MANIFEST_FILE}`"
                ),
                ArchiveError::Path { .. } | ArchiveError::Collision { .. } => {
                    "rename it, or leave it out by `exclude`".to_owned()
                }
                ArchiveError::Manifest { .. } => format!("change it in `{MANIFEST_FILE}`"),
                error => return error.hint(),
            },
            PackageError::SelfCheck => "please report it".to_owned(),
        })
    }
}

/// The folder that a member's archive is written to: `target/package` in the workspace's root, and a folder by its type
/// below that when another member's archive has the same name.
pub fn destination(workspace: &Workspace, project: &Project) -> PathBuf {
    let folder = workspace.root.join("target").join("package");
    let name = file_name(&project.manifest);
    let shared = workspace.members.iter().filter(|member| file_name(&member.manifest) == name).count() > 1;
    if shared { folder.join(project.id().module_type.as_str()) } else { folder }
}

/// What would be packaged, sorted by path.
pub fn list(project: &Project) -> Result<Vec<PackedFile>, PackageError> {
    let plan = Plan::new(project, &crate::report::Silent)?;
    Ok(plan.items.iter().map(|item| PackedFile { path: item.path().to_owned(), size: item.size() }).collect())
}

/// Makes the project's archive, as it is on disk, in the folder `into`. It appears there complete, synced and checked, or
/// not at all.
pub fn pack(project: &Project, into: &Path, reporter: &dyn Reporter) -> Result<Packed, PackageError> {
    pack_with(project, into, Changes::Allowed, reporter)
}

/// The same; changes that are in no commit may be refused.
pub fn pack_with(
    project: &Project,
    into: &Path,
    changes: Changes,
    reporter: &dyn Reporter,
) -> Result<Packed, PackageError> {
    let manifest = &project.manifest;
    reporter.step("Packaging", &format!("{}@{} ({})", manifest.id, manifest.version, project.root.display()));
    let plan = Plan::new(project, reporter)?;
    if changes == Changes::Refused && !plan.changed.is_empty() {
        return Err(PackageError::Dirty(plan.changed));
    }
    archive(project, plan, into, reporter)
}

/// Makes the archive of a project whose folder holds what a commit has and nothing else.
pub fn pack_checkout(
    project: &Project,
    into: &Path,
    checkout: &vcs::Checkout,
    reporter: &dyn Reporter,
) -> Result<Packed, PackageError> {
    archive(project, Plan::of_checkout(project, checkout)?, into, reporter)
}

fn archive(project: &Project, plan: Plan, into: &Path, reporter: &dyn Reporter) -> Result<Packed, PackageError> {
    let manifest = &project.manifest;
    let limits = Limits::default();
    let top = top_folder(&plan.manifest);
    admit(&top, plan.items.iter().map(|item| (item.path(), item.size())), &limits)?;

    fs_err::create_dir_all(into)?;
    let name = file_name(&plan.manifest);
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    // Its suffix keeps it out of other archives.
    builder.prefix(&prefix).suffix(super::ARCHIVE_SUFFIX);
    platform::archive_file(&mut builder);
    let mut file = builder.tempfile_in(into)?;

    let progress = reporter.progress("Packaging", Amount::Bytes(Some(plan.items.iter().map(Item::size).sum())));
    let mut writer = Writer::new(file.as_file_mut(), top, &manifest.allow_secrets, reporter);
    for item in &plan.items {
        reporter.detail(item.path());
        match item {
            Item::Generated { path, text } => writer.file(path, &mut text.as_bytes(), text.len() as u64, false)?,
            Item::Source(source) => writer.source(source)?,
        }
        progress.advance(item.size());
    }
    drop(progress);
    if !writer.findings.is_empty() {
        writer.findings.sort();
        return Err(PackageError::Secrets(writer.findings));
    }
    let files = std::mem::take(&mut writer.files);
    let mut allowed_secrets = std::mem::take(&mut writer.allowed);
    allowed_secrets.sort();
    for allowed in &allowed_secrets {
        reporter.warn(&format!("a secret is packaged: {allowed}"));
    }
    let is_unused = |path: &&String| !allowed_secrets.iter().any(|allowed| allowed.finding.path == **path);
    for path in manifest.allow_secrets.iter().filter(is_unused) {
        reporter.warn(&format!("`allow-secrets` names `{path}`, but no secret of that file is packaged"));
    }
    let (sha256, size) = writer.finish()?;
    file.as_file().sync_all()?;
    let contents = inspect(file.path(), &limits)?;
    if contents.files != files || contents.manifest != plan.manifest {
        return Err(PackageError::SelfCheck);
    }

    let path = into.join(&name);
    file.persist(&path).map_err(|error| error.error)?;
    platform::sync_folder(into)?;
    let Contents { manifest, unpacked, .. } = contents;
    warn_near_limits(size, unpacked, files.len(), &limits, reporter);
    reporter.step(
        "Packaged",
        &format!("{}, {} ({} compressed)", plural(files.len(), "file"), bytes(unpacked), bytes(size)),
    );
    Ok(Packed { path, file_name: name, sha256, size, unpacked, files, manifest, allowed_secrets })
}

/// Says so while there is still time to do something about it.
fn warn_near_limits(size: u64, unpacked: u64, files: usize, limits: &Limits, reporter: &dyn Reporter) {
    let is_near = |count: u64, limit: u64| count > limit / 100 * NEAR_LIMIT_PERCENT;
    if is_near(size, limits.packed) {
        reporter.warn(&format!("the archive has {} of at most {}", bytes(size), bytes(limits.packed)));
    }
    if is_near(unpacked, limits.unpacked) {
        reporter.warn(&format!("its files have {} of at most {}", bytes(unpacked), bytes(limits.unpacked)));
    }
    if is_near(files as u64, limits.files as u64) {
        reporter.warn(&format!("the archive has {files} of at most {} files", limits.files));
    }
}

/// Unpacks an archive as a node would, and looks whether all is there that the module needs to run.
pub fn verify(packed: &Packed, reporter: &dyn Reporter) -> Result<(), PackageError> {
    let Manifest { id, version, readme, runtime, entrypoint, .. } = &packed.manifest;
    reporter.step("Verifying", &format!("{id}@{version}"));
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("module");
    unpack(&packed.path, &packed.sha256, &root, &Limits::default())?;
    let unusable = |reason: String| PackageError::Unusable { id: id.clone(), reason };
    let project = Project::load(&root).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
    let found = &project.manifest;
    if (&found.id, &found.version, found.runtime) != (id, version, *runtime) {
        return Err(unusable(format!("unpacked it is `{}@{}`", found.id, found.version)));
    }
    let package = project.package_dir();
    let package = package.strip_prefix(&root).unwrap_or(&package).display();
    let code = (*runtime == Runtime::Python).then(|| format!("{package}/{entrypoint}"));
    match readme.iter().chain(&code).find(|path| !root.join(path).is_file()) {
        Some(path) => Err(unusable(format!("`{path}` is not in it"))),
        None => Ok(()),
    }
}

fn bytes(count: u64) -> impl fmt::Display {
    ByteSize::b(count).display().iec()
}

/// All that an archive will hold.
struct Plan {
    manifest: Manifest,
    items: Vec<Item>,
    /// Files that are in no commit as they are.
    changed: Vec<String>,
}

enum Item {
    Source(Source),
    Generated { path: &'static str, text: String },
}

impl Item {
    fn path(&self) -> &str {
        match self {
            Item::Source(source) => &source.path,
            Item::Generated { path, .. } => path,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Item::Source(source) => source.size,
            Item::Generated { text, .. } => text.len() as u64,
        }
    }
}

impl Plan {
    fn new(project: &Project, reporter: &dyn Reporter) -> Result<Self, PackageError> {
        let sources = tree::sources(project)?;
        let manifest = published(project)?;
        let mut changed = Vec::new();
        let mut generated = vec![(ARCHIVED_MANIFEST, json(&manifest)?)];
        match vcs::state(&project.root, &sources) {
            Ok(Some(state)) => {
                generated.push((ARCHIVED_VCS, json(&state.vcs)?));
                changed = state.changed;
            }
            Ok(None) => {}
            Err(error) => reporter.warn(&format!("the commit is not recorded: {}", error.message())),
        }
        Ok(Plan { changed, ..Self::made(manifest, sources, generated) })
    }

    fn of_checkout(project: &Project, checkout: &vcs::Checkout) -> Result<Self, PackageError> {
        let manifest = published(project)?;
        let generated = vec![(ARCHIVED_MANIFEST, json(&manifest)?), (ARCHIVED_VCS, json(&vcs::Vcs::from(checkout))?)];
        Ok(Self::made(manifest, tree::committed(project)?, generated))
    }

    fn made(manifest: Manifest, sources: Vec<Source>, generated: Vec<(&'static str, String)>) -> Self {
        let mut items: Vec<Item> = sources.into_iter().map(Item::Source).collect();
        items.extend(generated.into_iter().map(|(path, text)| Item::Generated { path, text }));
        items.sort_by(|a, b| a.path().cmp(b.path()));
        Plan { manifest, items, changed: Vec::new() }
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, PackageError> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    text.push('\n');
    Ok(text)
}

/// The manifest as it is in the archive: dependencies on folders become dependencies on their versions, and where in git
/// others are is for whoever chooses versions.
fn published(project: &Project) -> Result<Manifest, PackageError> {
    let mut manifest = project.manifest.clone();
    for (id, dependency) in &mut manifest.dependencies {
        dependency.git = None;
        let Some(path) = dependency.path.take() else { continue };
        if dependency.req != VersionReq::STAR {
            continue;
        }
        let refuse = |reason: String| PackageError::Dependency { id: id.clone(), reason };
        let found = Project::load(&project.root.join(&path))
            .map_err(|error| refuse(format!("the one in `{}` cannot be read: {error}", path.display())))?;
        if found.id() != id {
            return Err(refuse(format!("the module in `{}` is `{}`", path.display(), found.id())));
        }
        dependency.req = caret(&found.manifest.version);
    }
    Ok(manifest)
}

/// `^version`.
fn caret(version: &semver::Version) -> VersionReq {
    VersionReq {
        comparators: vec![Comparator {
            op: Op::Caret,
            major: version.major,
            minor: Some(version.minor),
            patch: Some(version.patch),
            pre: version.pre.clone(),
        }],
    }
}
