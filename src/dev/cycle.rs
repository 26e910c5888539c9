//! One turn of the loop: check what has changed, deploy it the usual way, tell how it went.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{
    Audience, Event,
    made::Made,
    plan::{Part, parts},
    snapshot::{Fingerprint, Snapshot},
};
use crate::{
    check::{self, Level, Report},
    client::{Archives, DeployOptions, NodeClient, What, deploy, undeploy},
    module::{ModuleId, Project, Workspace},
    registries::Registries,
    report::{Failure, Fault, Reporter},
    wire::DeploymentView,
};

/// Steps that are told at once, since they may take long; the others are details.
const SLOW: [&str; 2] = ["Building", "Fetching"];

/// What answers for a deployment.
#[derive(Debug)]
struct Live {
    revision: u64,
    /// What it was made of.
    modules: BTreeMap<ModuleId, Fingerprint>,
    /// Unless files were written while they were packed.
    is_sure: bool,
}

/// What a turn needs, and what the last one has left.
#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) root: PathBuf,
    node: NodeClient,
    registries: Registries,
    archives: Archives,
    checks: check::Options,
    /// By the deployment's name.
    live: BTreeMap<String, Live>,
    /// Those that there are, whenever they were made.
    made: Made,
    /// What is wrong, as it was told.
    problems: BTreeSet<String>,
    /// Warnings that were told.
    warned: Mutex<BTreeSet<String>>,
    /// The workspace's modules.
    modules: BTreeSet<ModuleId>,
}

impl Cycle {
    pub(super) fn new(
        root: PathBuf,
        node: NodeClient,
        registries: Registries,
        checks: check::Options,
        made: Made,
    ) -> std::io::Result<Self> {
        Ok(Cycle {
            root,
            node,
            registries,
            archives: Archives::new()?,
            checks,
            live: BTreeMap::new(),
            made,
            problems: BTreeSet::new(),
            warned: Mutex::default(),
            modules: BTreeSet::new(),
        })
    }

    /// Brings the deployments up to `now`. False when it has to be done again, since `is_stale` tells that files
    /// were written meanwhile.
    pub(super) async fn turn(
        &mut self,
        now: &Snapshot,
        start: Instant,
        audience: &dyn Audience,
        is_stale: &(dyn Fn() -> bool + Sync),
    ) -> bool {
        self.archives.made_of(now.modules.clone());
        let mut problems = Vec::new();
        let mut kept = Vec::new();
        let mut reloaded = BTreeSet::new();
        let steps = Steps { audience, start, warned: &self.warned };
        let report = match check::check(&self.root, &self.checks) {
            Ok(mut report) => {
                report.diagnostics.retain(|diagnostic| diagnostic.level == Level::Error);
                Some(report)
            }
            Err(error) => {
                problems.push(Problem::Undeployed(error.into()));
                None
            }
        };
        steps.lap("Checked");
        match (&now.layout.workspace, &report) {
            (_, None) => {}
            // The check says it better.
            (Err(_), Some(report)) if report.errors() > 0 => {}
            (Err(error), Some(_)) => {
                let failure = Failure::new(error.kind(), error.to_string());
                problems.push(Problem::Undeployed(error.hint().into_iter().fold(failure, Failure::hinted)));
            }
            (Ok((workspace, projects)), Some(report)) => {
                self.registries.refresh();
                for module in self.modules.iter().filter(|id| !projects.contains_key(id)) {
                    audience.event(&Event::Removed { module });
                }
                self.modules = projects.keys().cloned().collect();
                let broken = broken(projects, report);
                let parts = parts(projects);
                let gone: Vec<String> =
                    self.made.names().filter(|name| !parts.iter().any(|part| part.name == **name)).cloned().collect();
                for part in parts {
                    let made_of: BTreeMap<ModuleId, Fingerprint> =
                        part.modules.iter().filter_map(|id| Some((id.clone(), now.modules.get(id)?.clone()))).collect();
                    let live = self.live.get(&part.name);
                    if live.is_some_and(|live| live.is_sure && live.modules == made_of) {
                        continue;
                    }
                    kept.extend(live.map(|live| (part.name.clone(), live.revision)));
                    if !part.modules.is_disjoint(&broken) {
                        continue;
                    }
                    if let Err(error) = self.made.add(&part.name) {
                        problems.push(Problem::Undeployed(error.into()));
                        continue;
                    }
                    let view = match self.deploy(workspace, &part, &steps).await {
                        Ok(view) => view,
                        // What was deployed is half of an older state and half of a newer one.
                        Err(_) if is_stale() => {
                            self.archives.forget();
                            return false;
                        }
                        Err(failure) => {
                            problems.push(Problem::Undeployed(failure));
                            continue;
                        }
                    };
                    match live {
                        None => audience.event(&Event::Deployed {
                            module: &part.root,
                            name: &part.name,
                            revision: view.revision,
                        }),
                        Some(live) => {
                            let is_new =
                                |(id, digest): &(&ModuleId, &Fingerprint)| live.modules.get(id) != Some(digest);
                            reloaded.extend(made_of.iter().filter(is_new).map(|(id, _)| id.clone()));
                            kept.pop();
                        }
                    }
                    self.live.insert(part.name, Live { revision: view.revision, modules: made_of, is_sure: true });
                }
                // What such a one held may be in another by now, or else is still wanted.
                if problems.is_empty() && broken.is_empty() {
                    for name in gone {
                        match retire(&self.node, &name, &steps).await {
                            Ok(was_there) => {
                                self.live.remove(&name);
                                if was_there {
                                    audience.event(&Event::Retired { name: &name });
                                }
                                if let Err(error) = self.made.remove(&name) {
                                    problems.push(Problem::Undeployed(error.into()));
                                }
                            }
                            Err(failure) => problems.push(Problem::Undeployed(failure)),
                        }
                    }
                }
            }
        }
        problems.extend(report.filter(|report| report.errors() > 0).map(Problem::Unchecked));
        self.tell(&problems, &kept, audience);
        if !reloaded.is_empty() {
            let modules: Vec<ModuleId> = reloaded.into_iter().collect();
            audience.event(&Event::Reloaded { modules: &modules, took: start.elapsed() });
        }
        // What is packed may not be what was looked at.
        if is_stale() {
            self.archives.forget();
            for live in self.live.values_mut() {
                live.is_sure = false;
            }
            return false;
        }
        true
    }

    async fn deploy(&self, workspace: &Workspace, part: &Part, steps: &Steps<'_>) -> Result<DeploymentView, Failure> {
        let options = DeployOptions {
            what: What::Project { workspace, root: &part.root, locked: false },
            name: Some(part.name.clone()),
            deployment: None,
            registries: &self.registries,
            archives: Some(&self.archives),
            dry_run: false,
        };
        deploy(&self.node, options, steps).await.map(|deployed| deployed.view)
    }

    /// Tells of problems that are new, or that there are none any more.
    fn tell(&mut self, problems: &[Problem], kept: &[(String, u64)], audience: &dyn Audience) {
        let texts: BTreeSet<String> = problems.iter().map(Problem::text).collect();
        for problem in problems.iter().filter(|problem| !self.problems.contains(&problem.text())) {
            audience.event(&match problem {
                Problem::Unchecked(report) => Event::Unchecked(report),
                Problem::Undeployed(failure) => Event::Undeployed(failure),
            });
        }
        if !texts.is_subset(&self.problems) {
            for (name, revision) in kept {
                audience.event(&Event::Keeping { name, revision: *revision });
            }
        }
        if texts.is_empty() && !self.problems.is_empty() {
            audience.event(&Event::Mended);
        }
        self.problems = texts;
    }
}

/// Removes a deployment; false when somebody else has, or it never came to be.
async fn retire(node: &NodeClient, name: &str, steps: &Steps<'_>) -> Result<bool, Failure> {
    let is_there = node.deployments().await?.iter().any(|deployed| deployed.deployment.name == name);
    if is_there {
        undeploy(node, name, steps).await?;
    }
    Ok(is_there)
}

/// Why something is not live.
#[derive(Debug)]
enum Problem {
    Unchecked(Report),
    Undeployed(Failure),
}

impl Problem {
    /// Two problems with the same text are the same.
    fn text(&self) -> String {
        match self {
            Problem::Unchecked(report) => check::render::json(report, &report.root).to_string(),
            Problem::Undeployed(failure) => failure.messages().join("\n"),
        }
    }
}

/// The modules that have errors; all of them when it is not a module's file that has one.
fn broken(projects: &BTreeMap<ModuleId, Project>, report: &Report) -> BTreeSet<ModuleId> {
    let mut broken = BTreeSet::new();
    for diagnostic in &report.diagnostics {
        let owners = projects.iter().filter(|(_, project)| diagnostic.place.file.path.starts_with(&project.root));
        // A module's folder may have another one's in it.
        match owners.max_by_key(|(_, project)| project.root.components().count()) {
            Some((id, _)) => drop(broken.insert(id.clone())),
            None => return projects.keys().cloned().collect(),
        }
    }
    broken
}

/// Tells of steps with the time since the change; each warning once.
struct Steps<'a> {
    audience: &'a dyn Audience,
    start: Instant,
    warned: &'a Mutex<BTreeSet<String>>,
}

impl Steps<'_> {
    fn lap(&self, what: &str) {
        self.audience.detail(&format!("{:>5} ms  {what}", self.start.elapsed().as_millis()));
    }
}

impl Reporter for Steps<'_> {
    fn step(&self, verb: &str, what: &str) {
        if SLOW.contains(&verb) { self.audience.step(verb, what) } else { self.lap(&format!("{verb} {what}")) }
    }

    fn warn(&self, message: &str) {
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(message.to_owned()) {
            self.audience.warn(message);
        }
    }

    fn detail(&self, _message: &str) {}

    fn is_interrupted(&self) -> bool {
        self.audience.is_interrupted()
    }
}
