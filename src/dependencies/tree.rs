//! Who needs whom, as it is locked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use semver::Version;

use super::{DependencyError, error::find};
use crate::{
    module::{GitSource, ModuleId, Workspace},
    registries::Registries,
    resolve::{Lock, Request, resolve},
};

/// What to show.
#[derive(Debug)]
pub struct TreeOptions<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Only what this module needs.
    pub module: Option<&'a str>,
    /// Who needs this module, instead.
    pub invert: Option<&'a str>,
    /// How many levels below the roots.
    pub depth: Option<usize>,
    /// Where versions are looked up when the lock does not fit.
    pub registries: &'a Registries,
}

/// Who needs whom.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(transparent)]
pub struct Tree(pub Vec<TreeNode>);

/// A module, and what it needs; in an inverted tree, what needs it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TreeNode {
    /// Which module.
    pub id: ModuleId,
    /// Which version of it.
    pub version: Version,
    /// The registry that knows it; nothing for modules of the workspace, and of git.
    pub registry: Option<String>,
    /// Where in git it is from, with the commit.
    pub git: Option<GitSource>,
    /// Whether it was shown before, with what it needs.
    pub repeated: bool,
    /// What is below it.
    pub modules: Vec<TreeNode>,
}

/// The graph of `napt.lock`, or of what it would be.
pub async fn tree(options: &TreeOptions<'_>) -> Result<Tree, DependencyError> {
    let workspace = options.workspace;
    let request = Request::of_workspace(workspace, Lock::read(&workspace.root)?, false)?;
    let lock = match request.satisfied(options.registries) {
        Some(lock) => lock,
        None => resolve(request, options.registries).await?,
    };
    let named = |name: &str| find(name, "used in this workspace", lock.modules.iter().map(|module| &module.id));
    let mut edges: BTreeMap<&ModuleId, Vec<&ModuleId>> = BTreeMap::new();
    for module in &lock.modules {
        for on in &module.dependencies {
            let (from, to) = if options.invert.is_some() { (on, &module.id) } else { (&module.id, on) };
            edges.entry(from).or_default().push(to);
        }
    }
    let roots: Vec<ModuleId> = match (options.invert.or(options.module), workspace.current()) {
        (Some(name), _) => vec![named(name)?],
        (None, Some(current)) => vec![current.id().clone()],
        (None, None) => workspace.members.iter().map(|member| member.id().clone()).collect(),
    };
    let mut walk = Walk { lock: &lock, edges, shown: BTreeSet::new() };
    let depth = options.depth.unwrap_or(usize::MAX);
    Ok(Tree(roots.iter().filter_map(|root| walk.node(root, depth)).collect()))
}

struct Walk<'a> {
    lock: &'a Lock,
    edges: BTreeMap<&'a ModuleId, Vec<&'a ModuleId>>,
    shown: BTreeSet<ModuleId>,
}

impl Walk<'_> {
    fn node(&mut self, id: &ModuleId, depth: usize) -> Option<TreeNode> {
        let module = self.lock.get(id)?;
        let below = self.edges.get(id).cloned().unwrap_or_default();
        // Marked before what is below it, so that a circle ends.
        let repeated = !self.shown.insert(id.clone()) && !below.is_empty();
        let modules = match repeated || depth == 0 {
            true => Vec::new(),
            false => below.into_iter().filter_map(|id| self.node(id, depth - 1)).collect(),
        };
        let (version, registry, git) = (module.version.clone(), module.registry.clone(), module.git.clone());
        Some(TreeNode { id: id.clone(), version, registry, git, repeated, modules })
    }
}

impl Tree {
    /// As it is drawn; modules of other registries than this one say where they are from.
    pub fn draw(&self, registry: &str) -> String {
        let mut text = String::new();
        for node in &self.0 {
            draw(node, "", "", registry, &mut text);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn draw(node: &TreeNode, first: &str, rest: &str, registry: &str, text: &mut String) {
    let from = match (&node.git, node.registry.as_deref()) {
        (Some(git), _) => format!(" ({})", git.short_commit().map_or(git.unpinned(), |commit| git.at(commit))),
        (None, Some(from)) if from != registry => format!(" ({from})"),
        _ => String::new(),
    };
    let mark = if node.repeated { " (*)" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{first}{} {}{from}{mark}", node.id, node.version);
    for (at, below) in node.modules.iter().enumerate() {
        let is_last = at + 1 == node.modules.len();
        let (branch, space) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        draw(below, &format!("{rest}{branch}"), &format!("{rest}{space}"), registry, text);
    }
}
