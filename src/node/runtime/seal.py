"""What shuts the process of one run in, before anything of its module is there: control groups, limits, a user namespace,
Landlock, a filter of system calls. Standard library only.

The module's process is sealed once it has its `run` frame, by what the parent was told when it was started:

    read       paths that may be read and executed, besides the run's own
    ports      of TCP on this machine that may be reached
    landlock   its version, as the node found it; 0 where there is none
    filter     of system calls: the bytes of a BPF program in hex, or nothing

Without that there are limits only. Where a step fails the run ends: nothing runs unsealed.
"""

import errno
import os
import resource
import signal
import struct
import subprocess

try:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
except (ImportError, OSError, AttributeError):  # Python was built without it
    libc = None

# Set by the parent's `start` frame.
POLICY = None

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

SECCOMP_MODE_FILTER = 2
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522

# These numbers are the same on all architectures.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
RULE_NET_PORT = 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPES = 0b11  # abstract Unix sockets, signals

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

# What interpreters and libraries look at of the machine. The processes of others are not there.
ABOUT_THE_MACHINE = (
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
)


class Unsealed(Exception):
    """A step that failed, and why."""

    def __str__(self):
        step, reason = self.args
        return f"cannot seal the run: {step}: {reason}"


def control(option, argument=0):
    """Linux's `prctl`; nothing where there is no ctypes."""
    return libc.prctl(option, argument, 0, 0, 0) if libc else -1


def enter(run, groups):
    """All of it. `groups` are files of control groups, in which this process is to be."""
    step = "control groups"
    try:
        for group in groups:
            os.write(group, b"0")
            os.close(group)
        if POLICY is None:
            limit(run["limits"])
            return
        if libc is None:
            raise OSError("Python was built without ctypes")
        step = "no new privileges"
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        step = "user namespace"
        own_users()
        step = "limits"
        # After the namespace, in which processes are counted anew.
        limit(run["limits"])
        if POLICY["landlock"]:
            step = "Landlock"
            landlock(run)
        step = "capabilities"
        header, none = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)
        check(libc.capset(header, none))
        if POLICY["filter"]:
            step = "system calls"
            filter_calls(bytes.fromhex(POLICY["filter"]))
    except OSError as error:
        raise Unsealed(step, error.strerror or error) from error


def check(status):
    if status < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return status


def own_users():
    """A user namespace: processes of the run are counted in it and recognised by it. Users are as before."""
    user, group, parent = os.getuid(), os.getgid(), os.getppid()
    check(libc.unshare(CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "wb", buffering=0) as file:
            file.write(text.encode())
    # A change of credentials may have undone it.
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(70)


def landlock(run):
    version = check(libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION))
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    files = (1 << bits) - 1
    handled = [files]
    if version >= 4:
        handled.append(BIND_TCP | CONNECT_TCP)
    if version >= 6:
        handled.append(SCOPES)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    ruleset = check(libc.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        everything = files & ~IOCTL_DEV
        allow(ruleset, run["scratch"], everything)
        for path in (*POLICY["read"], "/etc", run["root"], "/proc/self"):
            allow(ruleset, path, READ)
        for path in ABOUT_THE_MACHINE:
            allow(ruleset, path, READ & ~EXECUTE)
        for path in DEVICES:
            allow(ruleset, path, (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV) & files)
        for port in POLICY["ports"] if version >= 4 else ():
            rule = struct.pack("=QQ", CONNECT_TCP, port)
            check(libc.syscall(LANDLOCK_ADD_RULE, ruleset, RULE_NET_PORT, rule, 0))
        check(libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def allow(ruleset, path, access):
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return  # what is not there for this process needs no rule
    try:
        if not os.path.isdir(place):
            access &= OF_FILES
        rule = struct.pack("=Qi", access, place)
        check(libc.syscall(LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def filter_calls(program):
    """`program`: instructions of eight bytes."""
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(fprog, len(fprog))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(buffer), 0, 0))


# --- limits


def limit(limits):
    bound(resource.RLIMIT_CORE, 0)
    # Private writable memory: what a module allocates, not what it maps.
    bound(resource.RLIMIT_DATA, limits["memory"])
    bound(resource.RLIMIT_NOFILE, limits["files"])
    bound(resource.RLIMIT_FSIZE, limits["file_size"])
    # Whoever ignores the signal at the first is killed at the second.
    bound(resource.RLIMIT_CPU, limits["cpu"], 1)
    if limits["processes"] is not None:
        bound(resource.RLIMIT_NPROC, limits["processes"])


def bound(what, value, more=0):
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value, more = min(value, hard), min(more, hard - min(value, hard))
    resource.setrlimit(what, (value, value + more))


NUMBERS = {errno.ENOMEM: "memory", errno.EMFILE: "files", errno.EFBIG: "file-size"}
SIGNALS = {-signal.SIGXCPU: "cpu", -signal.SIGXFSZ: "file-size"}


def reached(error, limits):
    """The limit that is behind an exception, also where the module has put another one before it."""
    waiting, seen = [error], set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen or len(seen) > 1000:
            continue
        seen.add(id(error))
        if isinstance(error, MemoryError):
            return "memory"
        if isinstance(error, OSError) and error.errno in NUMBERS:
            return NUMBERS[error.errno]
        if isinstance(error, subprocess.CalledProcessError) and error.returncode in SIGNALS:
            return SIGNALS[error.returncode]
        if is_refused_thread(error):
            return "memory" if data_size() + (16 << 20) > limits["memory"] else "processes"
        if is_refused_fork(error):
            return "processes"
        waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
    return None


def is_refused_thread(error):
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def is_refused_fork(error):
    """Of a call that makes a process; sockets that do not wait answer with the same number."""
    if not isinstance(error, BlockingIOError) or error.errno != errno.EAGAIN:
        return False
    try:
        pid = os.fork()
    except OSError:
        return True
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return False


def data_size():
    """Bytes that count against `RLIMIT_DATA`."""
    try:
        with open("/proc/self/status") as file:
            sizes = [line.split()[1] for line in file if line.startswith("VmData:")]
        return int(sizes[0]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
