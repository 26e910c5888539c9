//! `napt package`, and the reader that every archive goes through.

mod command;
mod environments;
mod properties;
mod reader;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use napt::{
    module::Project,
    package::{self, PackageError, Packed},
    report::Silent,
};

const MODULE: &str = "[module]\ntype = \"agent\"\nname = \"chat\"\nversion = \"0.1.0\"\nruntime = \"python\"\n";

/// Every file below `root` with its content; folders end in `/`.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            if path.is_dir() {
                found.insert(format!("{name}/"), Vec::new());
                folders.push(path);
            } else {
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
}

/// Packages the project in `root` into a folder beside it.
fn pack(root: &Path) -> Result<Packed, PackageError> {
    let project = Project::load(root).expect("a project");
    package::pack(&project, &out(root), &Silent)
}

fn out(root: &Path) -> PathBuf {
    let name = root.file_name().expect("a name").to_str().expect("UTF-8");
    root.with_file_name(format!("{name}-out"))
}

fn paths(packed: &Packed) -> Vec<&str> {
    packed.files.iter().map(|file| file.path.as_str()).collect()
}
