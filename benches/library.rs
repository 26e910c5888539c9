//! What commands do without a server: making a project, checking it, packing it, reading an archive.
//!
//! `cargo bench --bench library`

#![allow(missing_docs, reason = "no other crate can reach a bench")]

use std::path::PathBuf;

use divan::Bencher;
use napt::{
    check,
    module::Project,
    package,
    report::Silent,
    scaffold::{self, Defaults, NewOptions},
};
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// A scaffolded orchestrator workspace.
fn workspace(folder: &TempDir) -> PathBuf {
    let options = NewOptions {
        module_type: "orchestrator".to_owned(),
        name: "debate".to_owned(),
        parent: folder.path().to_owned(),
        ..NewOptions::default()
    };
    scaffold::new_project(&options, &Defaults, &Silent).expect("a project").path
}

#[divan::bench]
fn new_orchestrator(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| TempDir::new().expect("a folder")).bench_local_refs(|folder| workspace(folder));
}

#[divan::bench]
fn check_workspace_of_3(bencher: Bencher<'_, '_>) {
    let folder = TempDir::new().expect("a folder");
    let root = workspace(&folder);
    bencher.bench_local(|| check::check(&root, &check::Options::default()).expect("a report"));
}

#[divan::bench]
fn pack_and_verify(bencher: Bencher<'_, '_>) {
    let folder = TempDir::new().expect("a folder");
    let project = Project::load(&workspace(&folder).join("modules/debate")).expect("a project");
    let into = TempDir::new().expect("a folder");
    bencher.bench_local(|| package::pack(&project, into.path(), &Silent).expect("an archive"));
}

#[divan::bench]
fn inspect_archive(bencher: Bencher<'_, '_>) {
    let folder = TempDir::new().expect("a folder");
    let project = Project::load(&workspace(&folder).join("modules/debate")).expect("a project");
    let packed = package::pack(&project, folder.path(), &Silent).expect("an archive");
    bencher.bench_local(|| package::inspect(&packed.path, &package::Limits::default()).expect("contents"));
}
