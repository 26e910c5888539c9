"""Mounts, binds, remounts and unmounts, with the old calls and the new."""


def run(module_run):
    home = os.environ["HOME"].encode()
    os.mkdir(home + b"/mnt")
    at, fdcwd = home + b"/mnt", -100
    MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18

    def mount(source, target, kind, flags):
        return syscall(165, 40, source, target, kind, flags, None) or "mounted"

    attempt("tmpfs", mount, b"none", at, b"tmpfs", 0)
    attempt("proc", mount, b"none", at, b"proc", 0)
    attempt("overlay", mount, b"none", at, b"overlay", 0)
    attempt("bind /", mount, b"/", at, None, MS_BIND | MS_REC)
    attempt("remount / writable", mount, None, b"/", None, MS_REMOUNT | MS_BIND)
    attempt("remount /usr writable", mount, None, b"/usr", None, MS_REMOUNT | MS_BIND)
    attempt("make / private", mount, None, b"/", None, MS_PRIVATE | MS_REC)
    attempt("unmount /proc", lambda: syscall(166, 39, b"/proc", 2) or "unmounted")
    attempt("pivot", lambda: syscall(155, 41, b".", b".") or "pivoted")
    attempt("open_tree", syscall, 428, 428, fdcwd, b"/", 1)
    attempt("fsopen", syscall, 430, 430, b"tmpfs", 0)
    attempt("fspick", syscall, 433, 433, fdcwd, b"/", 0)
    attempt("move_mount", lambda: syscall(429, 429, fdcwd, b"/proc", fdcwd, at, 0) or "moved")
    attempt("mount_setattr", lambda: syscall(442, 442, fdcwd, b"/", 0, b"\0" * 32, 32) or "set")
    return told()
