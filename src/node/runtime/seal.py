"""What shuts the process of one run in, before anything of its module is there: a user namespace, Landlock, a filter of
system calls, control groups, limits. Standard library only.

The parent is told when it is started what holds for all of its children:

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
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

SECCOMP_MODE_FILTER = 2
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522

# These numbers are the same on all architectures.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
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

    kind = "seal"

    def __str__(self):
        step, reason = self.args
        return f"cannot seal the run: {step}: {reason}"


def control(option, argument=0):
    """Linux's `prctl`; nothing where there is no ctypes."""
    return libc.prctl(option, argument, 0, 0, 0) if libc else -1


# What was made ready for the child: its rules of Landlock, and why it cannot be sealed.
rules = None
failure = None


def prepare(groups):
    """All that is the same for every run. A child that waits for its run has done it by then. `groups` are files of control
    groups, in which this process is to be: the kernel can take milliseconds to move it."""
    global failure
    bound(resource.RLIMIT_CORE, 0)
    try:
        in_steps(("control groups", lambda: join(groups)))
        if POLICY is not None:
            in_steps(
                ("ctypes", need_ctypes),
                ("no new privileges", lambda: check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))),
                ("user namespace", own_users),
                ("capabilities", drop_capabilities),
                ("Landlock", common_rules),
                ("system calls", filter_calls),
            )
    except Unsealed as error:
        failure = error


def enter(run):
    """The rest."""
    if failure:
        raise failure
    in_steps(
        # After the namespace, in which processes are counted anew.
        ("limits", lambda: limit(run["limits"])),
        ("Landlock", lambda: landlock(run)),
    )


def in_steps(*steps):
    for name, step in steps:
        try:
            step()
        except (OSError, ValueError) as error:
            raise Unsealed(name, getattr(error, "strerror", None) or error) from error


def need_ctypes():
    if libc is None:
        raise OSError("Python was built without it")


def join(groups):
    for group in groups:
        os.write(group, b"0")
        os.close(group)


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
        file = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        os.write(file, text.encode())
        os.close(file)
    # A change of credentials may have undone it.
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(70)


def drop_capabilities():
    """Those that a process has in a user namespace of its own, and all that it could get back there."""
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, bytes(24)))


def common_rules():
    global rules
    version = POLICY["landlock"]
    if not version:
        return
    handled = [of_file_system(version)]
    if version >= 4:
        handled.append(BIND_TCP | CONNECT_TCP)
    if version >= 6:
        handled.append(SCOPES)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    rules = check(libc.syscall(LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    for path in (*POLICY["read"], "/etc", "/proc/self"):
        allow(path, READ)
    for path in ABOUT_THE_MACHINE:
        allow(path, READ & ~EXECUTE)
    for path in DEVICES:
        allow(path, (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV) & handled[0])
    for port in POLICY["ports"] if version >= 4 else ():
        rule = struct.pack("=QQ", CONNECT_TCP, port)
        check(libc.syscall(LANDLOCK_ADD_RULE, rules, RULE_NET_PORT, rule, 0))


def of_file_system(version):
    """All that this version knows of files."""
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    return (1 << bits) - 1


def landlock(run):
    if rules is None:
        return
    allow(run["root"], READ)
    allow(run["scratch"], of_file_system(POLICY["landlock"]) & ~IOCTL_DEV)
    check(libc.syscall(LANDLOCK_RESTRICT_SELF, rules, 0))
    os.close(rules)


def allow(path, access):
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return  # what is not there for this process needs no rule
    try:
        if not os.path.isdir(place):
            access &= OF_FILES
        rule = struct.pack("=Qi", access, place)
        check(libc.syscall(LANDLOCK_ADD_RULE, rules, RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def filter_calls():
    program = bytes.fromhex(POLICY["filter"])
    if not program:
        return
    # Of instructions of eight bytes.
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(fprog, len(fprog))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(buffer), 0, 0))


# --- limits


# Bytes that may be allocated.
memory = 0


def limit_memory(size):
    """Private writable memory: what a module allocates, not what it maps."""
    global memory
    memory = size
    bound(resource.RLIMIT_DATA, size)


def limit(limits):
    limit_memory(limits["memory"])
    bound(resource.RLIMIT_NOFILE, limits["files"])
    bound(resource.RLIMIT_FSIZE, limits["file_size"])
    # Whoever ignores the signal at the first is killed at the second.
    bound(resource.RLIMIT_CPU, limits["cpu"], 1)
    # Elsewhere than in a namespace of its own, all that the node's user runs would count.
    if POLICY is not None and limits["processes"] is not None:
        bound(resource.RLIMIT_NPROC, limits["processes"])


def bound(what, value, more=0):
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value, more = min(value, hard), min(more, hard - min(value, hard))
    resource.setrlimit(what, (value, value + more))


NUMBERS = {errno.ENOMEM: "memory", errno.EMFILE: "files", errno.EFBIG: "file-size"}
SIGNALS = {-signal.SIGXCPU: "cpu", -signal.SIGXFSZ: "file-size"}


def reached(error):
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
        if type(error).__name__ == "CalledProcessError" and getattr(error, "returncode", 0) in SIGNALS:
            return SIGNALS[error.returncode]
        if is_refused_thread(error):
            return "memory" if data_size() + (16 << 20) > memory else "processes"
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
