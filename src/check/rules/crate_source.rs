use std::path::{Component, Path};

use super::{
    Example, Findings, Module, Part, Rule, Run,
    cargo::{LOCK, MAIN, NO_PYTHON},
};
use crate::{
    check::source::{Document, Member, Node},
    module::LintLevel,
};

pub(super) static RULE: Rule = Rule {
    name: "crate-source",
    level: LintLevel::Deny,
    summary: "a Rust package needs what is neither on crates.io nor in the module",
    docs: "A node has the archive, and takes crates from crates.io. A workspace around the module, folders outside of it, git repositories and
other registries are not there when it builds.",
    fix: None,
    example: Example {
        bad: &[
            NO_PYTHON,
            Part::File(
                "Cargo.toml",
                r#"[package]
name = "debate"
version = "0.1.0"
edition = "2021"

[dependencies]
voices = { path = "../voices" }"#,
            ),
            MAIN,
            LOCK,
        ],
        good: &[
            NO_PYTHON,
            Part::File(
                "Cargo.toml",
                r#"[package]
name = "debate"
version = "0.1.0"
edition = "2021"

[dependencies]
voices = { path = "voices" }"#,
            ),
            MAIN,
            LOCK,
        ],
    },
    run: Run::Cargo(run),
};

/// The tables of dependencies, also below `[target.….]`.
const DEPENDENCIES: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

fn run(_: &Module, document: &Document, findings: &mut Findings<'_>) {
    for key in document.get(&["package"]).map(Node::members).unwrap_or_default() {
        if is_inherited(key) {
            findings
                .report(document.at(&key.key_span), format!("`{}` is inherited from a workspace", key.key))
                .help("write it here: the archive holds the module alone");
        }
    }
    let Some(root) = &document.root else { return };
    let targets = root.get("target").map(Node::members).unwrap_or_default();
    for table in std::iter::once(root).chain(targets.iter().map(|target| &target.node)) {
        for dependency in DEPENDENCIES.iter().filter_map(|key| table.get(key)).flat_map(Node::members) {
            one(document, dependency, findings);
        }
    }
}

fn is_inherited(member: &Member) -> bool {
    member.node.get("workspace").is_some()
}

fn one(document: &Document, dependency: &Member, findings: &mut Findings<'_>) {
    let name = &dependency.key;
    let outside =
        |path: &str| Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    let path = dependency.node.text("path").filter(|(path, _)| outside(path));
    let reason = if is_inherited(dependency) {
        "is inherited from a workspace"
    } else if path.is_some() {
        "is in a folder outside of the module"
    } else if dependency.node.get("git").is_some() {
        "is from a git repository"
    } else if dependency.node.get("registry").is_some() {
        "is from another registry than crates.io"
    } else {
        return;
    };
    findings
        .report(document.at(&dependency.key_span), format!("the crate `{name}` {reason}"))
        .note("nodes take crates from crates.io and from the module's own folders");
}
