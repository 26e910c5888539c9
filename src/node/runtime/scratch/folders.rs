//! The scratch folders of one place. A folder whose run has left it as it was serves the next run of the same place: a file
//! system that makes and removes folders all the time spends longer looking for a free place each time.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, lchown},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{
        CWD, Dir, IFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, flistxattr, futimens, ioctl_getflags, openat,
    },
    io::Errno,
};

use super::{is_dots, open, remove};

/// The file with a run's delegate key.
const KEY: &str = "delegate.key";

/// Folders that wait for a run.
const IDLE: usize = 32;

/// What the names of those begin with.
const PREFIX: &str = ".idle-";

/// The scratch folders of a place.
#[derive(Debug)]
pub(in crate::node::runtime) struct Folders {
    parent: PathBuf,
    /// Whose they are, when root runs the node.
    owner: Option<u32>,
    idle: Mutex<Vec<PathBuf>>,
    /// Those that have waited, to name them.
    named: AtomicU64,
    /// A key's file, and a folder, that no run has had yet.
    fresh: OnceLock<[Fresh; 2]>,
}

/// What of a file or a folder stays when all that was put into it is gone.
#[derive(Debug, PartialEq, Eq)]
struct Fresh {
    mode: u32,
    owner: u32,
    links: u64,
    size: u64,
    /// What `chattr` sets; nothing on a file system without that.
    marks: Option<IFlags>,
}

/// A run's scratch folder. When dropped, another run may have it, or it is removed.
#[derive(Debug)]
pub(in crate::node) struct Scratch {
    folder: PathBuf,
    of: Arc<Folders>,
}

impl Folders {
    pub(in crate::node::runtime) fn new(parent: PathBuf, owner: Option<u32>) -> Self {
        Folders { parent, owner, idle: Mutex::default(), named: AtomicU64::new(0), fresh: OnceLock::new() }
    }

    /// Where they are.
    pub(in crate::node::runtime) fn parent(&self) -> &Path {
        &self.parent
    }

    /// A folder for a run, with its delegate key and nothing else. It is the run's own.
    pub(in crate::node::runtime) fn take(self: &Arc<Self>, run: &str, key: &str) -> io::Result<Scratch> {
        let folder = self.parent.join(run);
        let scratch = Scratch { folder: folder.clone(), of: self.clone() };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(idle) = idle {
            let renewed = renew(&idle, key).and_then(|()| fs_err::rename(&idle, &folder));
            if renewed.is_ok() {
                return Ok(scratch);
            }
            remove(&idle)?;
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        let path = folder.join(KEY);
        // It ends with the run, so nothing has to be synced.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all_at(key.as_bytes(), 0)?;
        if self.owner.is_some() {
            // From the inside out: until the folder itself is given away, nobody else can get at what is in it.
            lchown(path, self.owner, self.owner)?;
            lchown(&folder, self.owner, self.owner)?;
        }
        if self.fresh.get().is_none() {
            // Somebody else may have just set the same.
            let _ = self.fresh.set([Fresh::of(&file)?, Fresh::of(&opened(&open(CWD, &folder)?)?)?]);
        }
        Ok(scratch)
    }

    /// Whether a folder can serve another run, which it waits for then.
    fn keep(&self, folder: &Path) -> io::Result<bool> {
        if self.idle.lock().unwrap_or_else(PoisonError::into_inner).len() >= IDLE || !self.is_as_it_was(folder)? {
            return Ok(false);
        }
        let name = format!("{PREFIX}{}", self.named.fetch_add(1, Ordering::Relaxed));
        let waiting = folder.with_file_name(name);
        fs_err::rename(folder, &waiting)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        Ok(true)
    }

    /// Whether there is nothing in a folder that its run has left for the next one, also where one looks seldom.
    fn is_as_it_was(&self, folder: &Path) -> io::Result<bool> {
        let mut entries = open(CWD, folder)?;
        let mut names = Vec::new();
        while let Some(entry) = entries.read() {
            let entry = entry?;
            if !is_dots(entry.file_name()) {
                names.push(entry.file_name().to_owned());
            }
            if names.len() > 1 {
                return Ok(false);
            }
        }
        if names.first().is_none_or(|name| name.as_bytes() != KEY.as_bytes()) {
            return Ok(false);
        }
        let (key, folder) = (open_key(folder)?, opened(&entries)?);
        let is_short = key.metadata()?.blocks() <= 8;
        let Some([of_key, of_folder]) = self.fresh.get() else { return Ok(false) };
        let is_fresh = Fresh::of(&key)? == *of_key && Fresh::of(&folder)? == *of_folder;
        Ok(is_short && is_fresh && !has_attributes(&key) && !has_attributes(&folder))
    }
}

impl Fresh {
    fn of(file: &File) -> io::Result<Self> {
        let about = file.metadata()?;
        Ok(Fresh {
            mode: about.mode(),
            owner: about.uid(),
            links: about.nlink(),
            size: about.len(),
            marks: ioctl_getflags(file).ok(),
        })
    }
}

/// What is open there as a file.
fn opened(folder: &Dir) -> io::Result<File> {
    Ok(File::from(folder.fd()?.try_clone_to_owned()?))
}

fn has_attributes(file: &File) -> bool {
    !matches!(flistxattr(file, &mut [0_u8; 1]), Ok(0) | Err(Errno::OPNOTSUPP))
}

fn open_key(folder: &Path) -> io::Result<File> {
    // What is no file must not be waited for.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, folder.join(KEY), flags, Mode::empty())?))
}

/// Puts another key into a folder that is as it was, whose times say nothing of its last run then.
fn renew(folder: &Path, key: &str) -> io::Result<()> {
    let file = open_key(folder)?;
    file.write_all_at(key.as_bytes(), 0)?;
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let now = Timestamps { last_access: now, last_modification: now };
    futimens(&file, &now)?;
    Ok(futimens(open(CWD, folder)?.fd()?, &now)?)
}

impl Scratch {
    /// Where it is.
    pub(in crate::node) fn path(&self) -> &Path {
        &self.folder
    }

    /// The file with the delegate key.
    pub(in crate::node) fn key(&self) -> PathBuf {
        self.folder.join(KEY)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be looked at is removed.
        if self.of.keep(&self.folder).unwrap_or_default() {
            return;
        }
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(%error, "a scratch folder is left; the node's next start removes it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(parent).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_folder_that_is_as_it_was_serves_another_run() {
        let parent = tempfile::tempdir().expect("a folder");
        let folders = Arc::new(Folders::new(parent.path().to_owned(), None));
        let first = folders.take("first", ONE).expect("a folder");
        let inode = fs_err::metadata(first.path()).expect("a folder").ino();
        drop(first);
        assert_eq!(names(parent.path()), [".idle-0"]);
        let second = folders.take("second", TWO).expect("a folder");
        assert_eq!(fs_err::metadata(second.path()).expect("a folder").ino(), inode);
        assert_eq!(fs_err::read_to_string(second.key()).expect("a key"), TWO);
        assert_eq!(names(parent.path()), ["second"]);
    }

    #[test]
    fn whatever_a_run_leaves_ends_its_folder() {
        let parent = tempfile::tempdir().expect("a folder");
        let folders = Arc::new(Folders::new(parent.path().to_owned(), None));
        let mode = |path: &Path, mode| fs_err::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
        type Leave<'a> = &'a dyn Fn(&Scratch);
        let leavings: [(&str, Leave<'_>); 9] = [
            ("a file", &|run| fs_err::write(run.path().join("left"), "").expect("a file")),
            ("no key", &|run| fs_err::remove_file(run.key()).expect("removed")),
            ("a longer key", &|run| fs_err::write(run.key(), [ONE, TWO].concat()).expect("a file")),
            ("a key with another name", &|run| fs_err::hard_link(run.key(), parent.path().join("k")).expect("a link")),
            ("a folder as key", &|run| {
                fs_err::remove_file(run.key()).expect("removed");
                fs_err::create_dir(run.key()).expect("a folder");
            }),
            ("a link as key", &|run| {
                fs_err::remove_file(run.key()).expect("removed");
                std::os::unix::fs::symlink("/etc/passwd", run.key()).expect("a link");
            }),
            ("a folder that has grown", &|run| {
                let names = (0..500).map(|number| run.path().join(format!("{number:0200}")));
                names.clone().for_each(|name| fs_err::write(name, "").expect("a file"));
                names.for_each(|name| fs_err::remove_file(name).expect("removed"));
            }),
            ("a mode", &|run| mode(run.path(), 0o750)),
            ("a key's mode", &|run| mode(&run.key(), 0o640)),
        ];
        for (what, leave) in leavings {
            let run = folders.take("run", ONE).expect("a folder");
            leave(&run);
            drop(run);
            let left: Vec<String> = names(parent.path()).into_iter().filter(|name| name != "k").collect();
            assert!(left.is_empty(), "{what}: {left:?}");
        }
        let run = folders.take("run", ONE).expect("a folder");
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(run.key(), "user.left", b"x", flags).is_ok() {
            drop(run);
            assert_eq!(names(parent.path()).len(), 1, "only the link");
        }
    }

    #[test]
    fn times_of_a_run_are_not_seen_by_the_next() {
        let parent = tempfile::tempdir().expect("a folder");
        let folders = Arc::new(Folders::new(parent.path().to_owned(), None));
        let first = folders.take("first", ONE).expect("a folder");
        let told = Timespec { tv_sec: 42, tv_nsec: 0 };
        for path in [first.path().to_owned(), first.key()] {
            let file = File::open(path).expect("a file");
            futimens(file, &Timestamps { last_access: told, last_modification: told }).expect("times");
        }
        drop(first);
        let second = folders.take("second", TWO).expect("a folder");
        for path in [second.path().to_owned(), second.key()] {
            let about = fs_err::metadata(path).expect("a file");
            assert!(about.mtime() > 42 && about.atime() > 42);
        }
    }
}
