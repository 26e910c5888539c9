//! Git repositories that modules are fetched from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::git;

/// A repository in a folder of its own.
pub struct Repository {
    pub folder: PathBuf,
}

/// Copies a folder with all in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

impl Repository {
    /// An empty one.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        fs::create_dir_all(&folder).expect("a folder");
        git(&folder, &["init", "--quiet"]);
        Repository { folder }
    }

    /// One of a project of `tests/fixtures/naptha`, with a tag.
    pub fn of_fixture(parent: &Path, name: &str, tag: &str) -> Self {
        let repository = Self::new(parent.join(name));
        copy(&super::naptha::folder(name), &repository.folder);
        repository.commit(name);
        repository.git(&["tag", tag]);
        repository
    }

    pub fn git(&self, arguments: &[&str]) {
        git(&self.folder, arguments);
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    /// Commits all there is, ignored or not; gives the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.head()
    }

    pub fn head(&self) -> String {
        let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&self.folder).output().expect("git");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// `file://…`
    pub fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }
}
