//! Archives to a registry: in dependency order, all problems first, and again without harm. Also signing in.

mod error;
mod plan;
mod session;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub use error::{Problem, PublishError};
use napt_registry_client::{ClientError, IndexAnswer, IndexEntry, PublishStatus, RegistryClient, Verb};
use semver::Version;
pub use session::{LoggedIn, SessionError, login, logout, set_password};
use url::Url;

use crate::{
    crash,
    module::{Manifest, ModuleId, Project, Workspace},
    package::{self, Changes, Limits, PackageError, Packed},
    registries::Registries,
    report::{Amount, Reporter},
};

/// Which modules of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The one that the command was called in.
    Current,
    /// All that may be published.
    Workspace,
}

/// Whether anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything but the upload.
    DryRun,
    /// All of it.
    Upload,
}

/// What to publish, and where.
#[derive(Debug)]
pub struct Options<'a> {
    /// The modules there are.
    pub workspace: &'a Workspace,
    /// Which of them.
    pub selection: Selection,
    /// Whether anything is sent.
    pub mode: Mode,
    /// The registry.
    pub client: &'a RegistryClient,
    /// Its URL, for messages and for `publish = […]`.
    pub registry: &'a Url,
    /// The other ones that dependencies may be from.
    pub registries: &'a Registries,
    /// Whether changes may be published that are in no commit.
    pub changes: Changes,
    /// Whether each archive is unpacked and looked at first.
    pub verify: bool,
    /// How long a new version may take until the index shows it.
    pub visible_within: Duration,
}

/// How it ended for one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new in the registry.
    Published,
    /// The same module was there.
    AlreadyPublished,
    /// It would have been published, but for `--dry-run`.
    WouldPublish,
    /// The registry has taken it, but the index was not seen to show it.
    Accepted,
    /// It was being sent when all ended: the registry may have taken it.
    Unknown,
    /// Nothing of it was sent.
    NotPublished,
}

/// How far a publish has come, for when it ends before its time.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Vec<PublishedModule>>);

impl Progress {
    /// The modules in their order; none before the first is sent.
    pub fn modules(&self) -> Vec<PublishedModule> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, at: usize, outcome: Outcome) {
        if let Some(module) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
            module.outcome = outcome;
        }
    }
}

/// One module of the report.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PublishedModule {
    /// Type and name.
    pub id: ModuleId,
    /// Version.
    pub version: Version,
    /// The archive's digest.
    pub sha256: String,
    /// The archive's size.
    pub size: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Packs, checks and publishes. Nothing is sent while there is any problem with any of the modules. However it ends,
/// `progress` has what became of each.
pub async fn publish(
    options: &Options<'_>,
    progress: &Progress,
    reporter: &dyn Reporter,
) -> Result<Vec<PublishedModule>, PublishError> {
    let mut problems = Vec::new();
    let members = plan::select(options, reporter, &mut problems)?;
    let members = plan::order(&members, &mut problems);
    plan::check_dependencies(options, &members, &mut problems).await?;
    let folder = tempfile::tempdir()?;
    let mut modules = Vec::new();
    for member in members {
        let mut packed = match pack(options, member, folder.path(), reporter) {
            Err(PublishError::Package { id, error }) if matches!(*error, PackageError::Dirty(_)) => {
                problems.push(Problem::Dirty { id, error: error.to_string() });
                continue;
            }
            packed => packed?,
        };
        let outcome = known(options, &mut packed, &mut problems).await?;
        crash::point("publish.packed")?;
        modules.push((packed, outcome));
    }
    let new: Vec<&ModuleId> =
        modules.iter().filter(|(_, known)| known.is_none()).map(|(packed, _)| &packed.manifest.id).collect();
    if !new.is_empty() {
        check_rights(options, &new, &mut problems).await?;
    }
    if !problems.is_empty() {
        return Err(PublishError::Problems(problems));
    }
    crash::point("publish.checked")?;
    *progress.0.lock().unwrap_or_else(PoisonError::into_inner) = modules
        .iter()
        .map(|(Packed { sha256, size, manifest, .. }, known)| PublishedModule {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            sha256: sha256.clone(),
            size: *size,
            outcome: known.unwrap_or(Outcome::NotPublished),
        })
        .collect();
    let bar = reporter.progress("Publishing", Amount::Items(modules.len() as u64));
    for (at, (packed, known)) in modules.iter().enumerate() {
        match known {
            Some(_) => {
                let Manifest { id, version, .. } = &packed.manifest;
                reporter.step("Skipping", &format!("{id}@{version}: already published"));
            }
            None if options.mode == Mode::DryRun => progress.set(at, Outcome::WouldPublish),
            None => upload(options, packed, |outcome| progress.set(at, outcome), reporter).await?,
        }
        bar.advance(1);
    }
    Ok(progress.modules())
}

fn pack(
    options: &Options<'_>,
    member: &Project,
    folder: &std::path::Path,
    reporter: &dyn Reporter,
) -> Result<Packed, PublishError> {
    // Two members may have the same name and version, and differ in type only.
    let folder = folder.join(member.id().module_type.as_str());
    fs_err::create_dir_all(&folder)?;
    let packed = package::pack_with(member, &folder, options.changes, reporter).and_then(|packed| {
        if options.verify {
            package::verify(&packed, reporter)?;
        }
        Ok(packed)
    });
    packed.map_err(|error| PublishError::Package { id: member.id().clone(), error: Box::new(error) })
}

/// What the registry has of the version already: nothing, the same module, or (a problem) another one.
async fn known(
    options: &Options<'_>,
    packed: &mut Packed,
    problems: &mut Vec<Problem>,
) -> Result<Option<Outcome>, PublishError> {
    let (id, version) = (&packed.manifest.id, &packed.manifest.version);
    let entries = options.client.index(id.module_type.as_str(), id.name.as_str()).await?.unwrap_or_default();
    let Some(entry) = entries.into_iter().find(|entry| entry.version == *version) else { return Ok(None) };
    if entry.sha256 == packed.sha256 {
        return Ok(Some(Outcome::AlreadyPublished));
    }
    if is_same_module(options, packed, &entry).await? {
        (packed.sha256, packed.size) = (entry.sha256, entry.size);
    } else {
        problems.push(Problem::Conflict {
            id: id.clone(),
            version: version.clone(),
            ours: packed.sha256.clone(),
            theirs: entry.sha256,
            published: entry.published,
        });
    }
    Ok(Some(Outcome::AlreadyPublished))
}

/// Whether the published archive holds the same files: another commit may be recorded in it, as when it was packed
/// before the first one, or from a shallow clone.
async fn is_same_module(options: &Options<'_>, packed: &Packed, entry: &IndexEntry) -> Result<bool, PublishError> {
    let id = &packed.manifest.id;
    let theirs = packed.path.with_extension("published");
    let (module_type, name) = (id.module_type.as_str(), id.name.as_str());
    options.client.download(module_type, name, &entry.version, &entry.sha256, &theirs).await?;
    let limits = Limits::default();
    let content = |path| package::content_digest(path, &limits);
    let failed = |error| PublishError::Package { id: id.clone(), error: Box::new(PackageError::Refused(error)) };
    let ours = content(&packed.path).map_err(failed)?;
    // One that this version of napt cannot read is at any rate not the same.
    Ok(content(&theirs).is_ok_and(|theirs| theirs == ours))
}

/// Whether the registry would let the user publish these modules: what it would refuse only after others are published.
async fn check_rights(
    options: &Options<'_>,
    modules: &[&ModuleId],
    problems: &mut Vec<Problem>,
) -> Result<(), PublishError> {
    let me = match options.client.me().await {
        Ok(me) => me,
        Err(ClientError::Status { status: 401, .. }) => {
            problems.push(Problem::NotSignedIn(options.registry.to_string()));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for id in modules {
        if !me.token.verbs.contains(&Verb::Publish) || !me.token.covers(&id.to_string()) {
            problems.push(Problem::Scope((*id).clone()));
            continue;
        }
        let known = options.client.module(id.module_type.as_str(), id.name.as_str()).await?;
        if known.is_some_and(|known| !known.owners.contains(&me.user)) {
            problems.push(Problem::NotOwner((*id).clone()));
        }
    }
    Ok(())
}

async fn upload(
    options: &Options<'_>,
    packed: &Packed,
    outcome: impl Fn(Outcome),
    reporter: &dyn Reporter,
) -> Result<(), PublishError> {
    let (id, version) = (&packed.manifest.id, &packed.manifest.version);
    let (module_type, name) = (id.module_type.as_str(), id.name.as_str());
    let size = bytesize::ByteSize::b(packed.size);
    reporter.step("Uploading", &format!("{id}@{version} ({size}) to {}", options.registry));
    let bar = reporter.progress("Uploading", Amount::Bytes(Some(packed.size)));
    let client = options.client.clone().watched(bar.watch());
    outcome(Outcome::Unknown);
    let published = client.publish(module_type, name, version, &packed.path, &packed.sha256).await;
    let published = published.inspect_err(|error| {
        // What the registry refuses it has not taken.
        if matches!(error, ClientError::Status { status: 400..=499, .. }) {
            outcome(Outcome::NotPublished);
        }
    })?;
    drop(client);
    crash::point("publish.answered")?;
    outcome(Outcome::Accepted);
    let waited = options.visible_within;
    if tokio::time::timeout(waited, visible(options, packed, reporter)).await.is_err() {
        return Err(PublishError::NotVisible { id: id.clone(), version: version.clone(), waited });
    }
    crash::point("publish.seen")?;
    reporter.step("Published", &format!("{id}@{version}"));
    outcome(match published.status {
        PublishStatus::Created => Outcome::Published,
        PublishStatus::AlreadyPublished => Outcome::AlreadyPublished,
    });
    Ok(())
}

/// Ends when the index shows the version. A registry that cannot be asked now may show it later.
async fn visible(options: &Options<'_>, packed: &Packed, reporter: &dyn Reporter) {
    let Manifest { id, version, .. } = &packed.manifest;
    let mut wait = Duration::from_millis(50);
    let mut known = None;
    loop {
        let answer = options.client.index_if_changed(id.module_type.as_str(), id.name.as_str(), known.as_deref()).await;
        match answer {
            Ok(IndexAnswer::Found { entries, etag, .. }) => {
                if entries.iter().any(|entry| entry.version == *version && entry.sha256 == packed.sha256) {
                    return;
                }
                known = etag;
            }
            Ok(IndexAnswer::NotModified | IndexAnswer::Missing) => {}
            Err(error) => reporter.detail(&error.to_string()),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}
