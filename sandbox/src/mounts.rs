//! The file system that a program sees: an empty one, with the system's folders and what its policy names mounted on it.

#![expect(clippy::disallowed_methods, reason = "what failed, and where, is told by `at`")]

use std::{
    fs, io,
    os::unix::{ffi::OsStringExt, fs::symlink},
    path::{Component, Path, PathBuf},
};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount,
        unmount,
    },
    process::{chdir, pivot_root},
};

use crate::Policy;

/// Programs and libraries.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// What of `/etc` is the same for everybody and nobody's secret: certificates, where libraries and programs are, the time.
const ETC: [&str; 12] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

pub(crate) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Files of `/etc` that are made up.
const MADE_UP: [(&str, &str); 4] = [
    ("etc/passwd", "module:x:1000:1000::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"),
    ("etc/group", "module:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

/// Where the new root may be put together, best first: a folder that every system has and no policy names.
const PLACES: [&str; 6] = ["/sys", "/mnt", "/media", "/srv", "/opt", "/boot"];

/// See [`crate::system_paths`].
pub(crate) fn system_paths() -> Vec<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}

/// Something that is mounted, at the same place inside and outside.
#[derive(Debug)]
struct Bind {
    path: PathBuf,
    writable: bool,
    device: bool,
}

/// A new root in the making.
#[derive(Debug)]
pub(crate) struct Root {
    place: PathBuf,
    binds: Vec<Bind>,
}

fn at<T>(what: &str, path: &Path, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("cannot {what} `{}`: {error}", path.display()))
}

impl Root {
    /// Mounts it all in this process's mount namespace, which nobody else has.
    pub(crate) fn build(policy: &Policy) -> Result<Self, String> {
        let top = Path::new("/");
        at("keep mounts to itself at", top, private(top))?;
        let mut root = Root { place: place(policy)?, binds: Vec::new() };
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let mounted = mount("tmpfs", &root.place, "tmpfs", flags, c"mode=755,size=4m");
        at("mount an empty folder at", &root.place, mounted.map_err(io::Error::from))?;
        for folder in ["dev", "etc", "proc"] {
            at("make", Path::new(folder), fs::create_dir(root.place.join(folder)))?;
        }
        for (path, text) in MADE_UP {
            at("write", Path::new(path), fs::write(root.place.join(path), text))?;
        }
        for (link, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
            at("make", Path::new(link), symlink(target, root.place.join("dev").join(link)))?;
        }
        for path in SYSTEM.iter().map(Path::new) {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_symlink() => {
                    let target = at("read", path, fs::read_link(path))?;
                    at("make", path, symlink(target, root.inside(path)))?;
                }
                Ok(_) => root.bind(path, false, false)?,
                Err(_) => {}
            }
        }
        for path in ETC.iter().map(Path::new).filter(|path| path.exists()) {
            root.bind(path, false, false)?;
        }
        for path in DEVICES.iter().map(Path::new).filter(|path| path.exists()) {
            root.bind(path, false, true)?;
        }
        for (path, writable) in given(policy)? {
            root.bind(&path, writable, false)?;
        }
        root.restrict()?;
        Ok(root)
    }

    /// Where something is while the new root is not the root yet.
    fn inside(&self, path: &Path) -> PathBuf {
        self.place.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The innermost mount that a path is below of.
    fn around(&self, path: &Path) -> Option<&Bind> {
        let around = self.binds.iter().filter(|bind| path.starts_with(&bind.path));
        around.max_by_key(|bind| bind.path.components().count())
    }

    fn bind(&mut self, path: &Path, writable: bool, device: bool) -> Result<(), String> {
        let target = self.inside(path);
        // The system's folders may be links to each other.
        let is_system = SYSTEM.iter().any(|system| path.starts_with(system)) && target.exists();
        match self.around(path) {
            // Seen already.
            Some(around) if around.writable == writable => return Ok(()),
            None if is_system && !writable => return Ok(()),
            // There is a place for it already, which must stay as it is.
            Some(_) => {}
            None if is_system => {}
            None => at("make a place for", path, make_place(path, &target))?,
        }
        at("mount", path, mount_bind_recursive(path, &target).map_err(io::Error::from))?;
        self.binds.push(Bind { path: path.to_owned(), writable, device });
        Ok(())
    }

    /// Takes from every mount what its bind does not give. Flags stay that are there: some could not be taken off.
    fn restrict(&self) -> Result<(), String> {
        let list = Path::new("/proc/self/mountinfo");
        for (point, mut flags) in mounts(&at("read", list, fs::read(list))?) {
            let Ok(inside) = point.strip_prefix(&self.place) else { continue };
            let Some(bind) = self.around(&Path::new("/").join(inside)) else { continue };
            flags |= MountFlags::NOSUID | MountFlags::BIND;
            if !bind.device {
                flags |= MountFlags::NODEV;
            }
            if !bind.writable {
                flags |= MountFlags::RDONLY;
            }
            at("restrict", &point, mount_remount(&point, flags, c"").map_err(io::Error::from))?;
        }
        Ok(())
    }

    /// Makes it the root of this process, which is the first of its PID namespace. Nothing else is left mounted.
    pub(crate) fn enter(self) -> Result<(), String> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let proc = self.place.join("proc");
        at("mount", &proc, mount("proc", &proc, "proc", flags, None).map_err(io::Error::from))?;
        // A copy of it, on itself: what came from another user's namespace cannot become a root.
        at("mount", &self.place, mount_bind_recursive(&self.place, &self.place).map_err(io::Error::from))?;
        let entered = (|| {
            chdir(&self.place)?;
            pivot_root(".", ".")?;
            unmount(".", UnmountFlags::DETACH)?;
            chdir("/")?;
            let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            mount_remount("/", flags, c"")
        })();
        at("make a root of", &self.place, entered.map_err(io::Error::from))
    }
}

fn private(path: &Path) -> io::Result<()> {
    Ok(mount_change(path, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// The first place that hides nothing that is named.
fn place(policy: &Policy) -> Result<PathBuf, String> {
    let is_free =
        |place: &&Path| place.is_dir() && !policy.read.iter().chain(&policy.write).any(|path| path.starts_with(place));
    let found = PLACES.iter().map(Path::new).find(is_free);
    found.map(Path::to_owned).ok_or_else(|| format!("none of {} is a folder", PLACES.join(", ")))
}

/// What a policy names, outermost first; where a name goes through a link, also what it means.
fn given(policy: &Policy) -> Result<Vec<(PathBuf, bool)>, String> {
    let mut given = Vec::new();
    let read = policy.read.iter().map(|path| (path, false));
    for (path, writable) in read.chain(policy.write.iter().map(|path| (path, true))) {
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !is_plain || path.parent().is_none() {
            return Err(format!("`{}` is not a whole path", path.display()));
        }
        let meant = at("find", path, path.canonicalize())?;
        if meant != *path {
            given.push((meant, writable));
        }
        given.push((path.clone(), writable));
    }
    // What is written goes over what is only read.
    given.sort_by_key(|(path, writable)| (path.components().count(), *writable));
    Ok(given)
}

/// An empty folder or file to mount on.
fn make_place(path: &Path, target: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::create_dir_all(target);
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create(target).map(|_| ())
}

/// The mount points of `/proc/self/mountinfo` with the flags that they have.
fn mounts(list: &[u8]) -> Vec<(PathBuf, MountFlags)> {
    let lines = list.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ').skip(4);
            let (point, options) = (fields.next()?, fields.next()?);
            let flags = options.split(|byte| *byte == b',').map(|option| match option {
                b"ro" => MountFlags::RDONLY,
                b"nosuid" => MountFlags::NOSUID,
                b"nodev" => MountFlags::NODEV,
                b"noexec" => MountFlags::NOEXEC,
                // How times of access are kept stays as it is when nothing is said of it.
                _ => MountFlags::empty(),
            });
            Some((PathBuf::from(std::ffi::OsString::from_vec(unescaped(point))), flags.collect()))
        })
        .collect()
}

/// Blanks and the like are written as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_flags() {
        let list = b"36 35 98:0 /mnt1 /a\\040b rw,noatime,nosuid master:1 - ext3 /dev/root rw\n\
            37 35 98:0 / /c ro,nodev,noexec - tmpfs none rw\n";
        let found = mounts(list);
        assert_eq!(found[0], (PathBuf::from("/a b"), MountFlags::NOSUID));
        assert_eq!(found[1], (PathBuf::from("/c"), MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOEXEC));
    }

    #[test]
    fn only_whole_paths_are_given() {
        for path in ["relative", "/", "/usr/../root", ""] {
            let policy = Policy { read: vec![PathBuf::from(path)], ..Policy::default() };
            assert!(given(&policy).is_err(), "{path}");
        }
    }
}
