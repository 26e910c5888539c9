//! A run's scratch folder as its module may have left it: deep, unreadable, full of links. None is followed.

mod folders;

use std::{
    collections::HashSet,
    io,
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmodat, fchmod, openat, renameat_with, statat,
        unlinkat,
    },
    io::Errno,
};

pub(super) use self::folders::Folders;
pub(in crate::node) use self::folders::Scratch;

/// What an entry takes at the least.
const ENTRY: u64 = 4096;

/// How many folders below each other are looked into, each of which takes a descriptor. A tree that is deeper is no honest one.
const DEPTH: usize = 64;

fn open(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Dir::new(openat(parent, name, flags, Mode::empty())?)
}

fn is_dots(name: &std::ffi::CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// What a folder takes of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    /// Files, folders and whatever else has a name.
    pub(super) entries: u64,
}

impl Usage {
    /// Of a tree that is too odd to be looked at.
    const TOO_MUCH: Usage = Usage { bytes: u64::MAX, entries: u64::MAX };
}

/// Bytes that a folder takes on the disk, or some number past `limit`.
pub(super) fn usage(folder: &Path, limit: u64) -> u64 {
    measure(folder, Usage { bytes: limit, entries: u64::MAX }).bytes
}

/// What a folder takes, or something past the `limit`. A file with several names counts once, and each of its names as an entry.
pub(super) fn measure(folder: &Path, limit: Usage) -> Usage {
    let mut used = Usage::default();
    let Ok(top) = open(CWD, folder) else { return used };
    let (mut linked, mut open_folders) = (HashSet::new(), vec![top]);
    while let Some(inside) = open_folders.last_mut() {
        let Some(entry) = inside.read() else {
            open_folders.pop();
            continue;
        };
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        // It may be gone by now.
        let Ok(found) = inside.fd().and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)) else { continue };
        let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let is_known = !is_folder && found.st_nlink > 1 && !linked.insert((found.st_dev, found.st_ino));
        let blocks = if is_known { 0 } else { u64::try_from(found.st_blocks).unwrap_or_default() };
        used.bytes = used.bytes.saturating_add(ENTRY.max(blocks.saturating_mul(512)));
        used.entries += 1;
        if is_folder {
            match inside.fd().and_then(|fd| open(fd, name)) {
                Ok(_) if open_folders.len() == DEPTH => return Usage::TOO_MUCH,
                Ok(next) => open_folders.push(next),
                // Gone, or something else by now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(_) => return Usage::TOO_MUCH,
            }
        }
        if used.bytes > limit.bytes || used.entries > limit.entries {
            return used;
        }
    }
    used
}

/// Bytes of files in the same file system as `folder` that processes have open and that are in no folder any more.
pub(super) fn unlinked(pids: impl IntoIterator<Item = u32>, folder: &Path) -> u64 {
    let Ok(device) = fs_err::metadata(folder).map(|found| found.dev()) else { return 0 };
    let open = pids.into_iter().flat_map(|pid| fs_err::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten());
    let files = open.flatten().filter_map(|fd| fs_err::metadata(fd.path()).ok());
    let gone = files.filter(|file| file.is_file() && file.nlink() == 0 && file.dev() == device);
    // What is open several times is there once.
    let mut seen = HashSet::new();
    gone.filter(|file| seen.insert(file.ino())).map(|file| file.blocks() * 512).sum()
}

/// Removes a folder that strangers have written to, however deep it is, once no process of theirs is left.
pub(in crate::node::runtime) fn remove(folder: &Path) -> io::Result<()> {
    match open(CWD, folder) {
        Err(Errno::NOENT) => return Ok(()),
        // A link or a file, in its place.
        Err(Errno::NOTDIR | Errno::LOOP) => return fs_err::remove_file(folder),
        top => empty(top?.fd()?, None, 0)?,
    }
    fs_err::remove_dir(folder)
}

/// The same beside what else goes on.
pub(in crate::node::runtime) async fn removed(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || remove(&folder)).await.map_err(io::Error::other)?
}

/// Empties a folder. What is deep in it is moved to the `top`, where its turn comes later: so this needs few descriptors.
fn empty(folder: BorrowedFd<'_>, top: Option<BorrowedFd<'_>>, depth: usize) -> Result<(), Errno> {
    // Its run may have forbidden it to itself.
    let _ = fchmod(folder, Mode::RWXU);
    let top = top.unwrap_or(folder);
    let mut is_empty = false;
    while !is_empty {
        is_empty = true;
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            is_empty = false;
            match unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) if depth == DEPTH => move_to(top, folder, name)?,
                Err(Errno::ISDIR | Errno::PERM) => {
                    let inside = match open(folder, name) {
                        Err(Errno::ACCESS) => {
                            chmodat(folder, name, Mode::RWXU, AtFlags::empty())?;
                            open(folder, name)?
                        }
                        opened => opened?,
                    };
                    empty(inside.fd()?, Some(top), depth + 1)?;
                    unlinkat(folder, name, AtFlags::REMOVEDIR)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Under a name that is free there.
fn move_to(top: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<(), Errno> {
    let mut number = 0_u64;
    loop {
        match renameat_with(folder, name, top, number.to_string(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => number += 1,
            moved => return moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn deep(folder: &Path, levels: usize) {
        let mut at = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("a folder");
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("a folder");
            at = openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("a folder");
        }
    }

    #[test]
    fn whatever_is_left_is_removed_and_no_link_is_followed() {
        let outside = tempfile::tempdir().expect("a folder");
        fs_err::write(outside.path().join("stays"), "x").expect("a file");
        let around = tempfile::tempdir().expect("a folder");
        let folder = around.path().join("scratch");
        fs_err::create_dir_all(folder.join("a/b")).expect("folders");
        symlink(outside.path(), folder.join("link")).expect("a link");
        symlink(outside.path(), folder.join("a/b/link")).expect("a link");
        fs_err::create_dir(folder.join("0")).expect("a folder");
        fs_err::write(folder.join("1"), "").expect("a file");
        deep(&folder, 5000);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        fs_err::set_permissions(folder.join("a"), mode).expect("a mode");
        remove(&folder).expect("removed");
        assert!(!folder.exists() && outside.path().join("stays").exists());
        remove(&folder).expect("nothing to do");
    }

    #[test]
    fn usage_counts_blocks_and_entries_and_follows_no_link() {
        let outside = tempfile::tempdir().expect("a folder");
        fs_err::write(outside.path().join("large"), vec![1; 4 << 20]).expect("a file");
        let folder = tempfile::tempdir().expect("a folder");
        symlink(outside.path(), folder.path().join("link")).expect("a link");
        fs_err::create_dir(folder.path().join("a")).expect("a folder");
        fs_err::write(folder.path().join("a/file"), vec![1; 1 << 20]).expect("a file");
        let used = usage(folder.path(), u64::MAX);
        assert!((1 << 20..2 << 20).contains(&used), "{used}");
        assert!(usage(folder.path(), 1000) > 1000);
        let open = fs_err::File::open(folder.path().join("a/file")).expect("a file");
        let own = [std::process::id()];
        assert_eq!(unlinked(own, folder.path()), 0);
        fs_err::hard_link(open.path(), folder.path().join("again")).expect("a link");
        let again = measure(folder.path(), Usage { bytes: u64::MAX, entries: u64::MAX });
        assert_eq!(again, Usage { bytes: used + ENTRY, entries: 4 }, "one file with two names");
        assert_eq!(measure(folder.path(), Usage { bytes: u64::MAX, entries: 1 }).entries, 2);
        for name in ["a/file", "again"] {
            fs_err::remove_file(folder.path().join(name)).expect("removed");
        }
        let _also = open.file().try_clone().expect("another descriptor");
        assert!((1 << 20..2 << 20).contains(&unlinked(own, folder.path())));
        deep(folder.path(), 200);
        assert_eq!(usage(folder.path(), u64::MAX), u64::MAX);
    }
}
