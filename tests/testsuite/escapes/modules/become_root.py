"""Gains privileges: ids, capabilities, programs with the set-user-id bit."""
import ctypes.util, glob, subprocess


def become(change, *ids):
    """An id that is not mapped is none at all."""
    try:
        change(*ids)
    except OSError as error:
        raise PermissionError(errno.EPERM, "not mapped") if error.errno == errno.EINVAL else error
    return "became"


def run(module_run):
    attempt("setuid", become, os.setuid, 0)
    attempt("setgid", become, os.setgid, 0)
    attempt("setresuid", become, os.setresuid, 0, 0, 0)
    attempt("setgroups", become, os.setgroups, [0])
    attempt("another run's", become, os.setresuid, 0x70000001, 0x70000001, 0x70000001)
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    for name in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"]:
        attempt(name, lambda: None if int(status[name], 16) == 0 else status[name])
    attempt("new privileges", lambda: None if status["NoNewPrivs"] == "1" else status["NoNewPrivs"])
    attempt("no filter", lambda: None if status["Seccomp"] == "2" else status["Seccomp"])
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    attempt("capset", lambda: syscall(126, 91, header, data) or "all")
    for path in glob.glob("/usr/bin/*") + glob.glob("/usr/sbin/*") + glob.glob("/bin/*"):
        try:
            if os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and not os.statvfs(path).f_flag & os.ST_NOSUID:
                escaped[path] = "its set-user-id bit counts"
        except OSError:
            pass
    for program in [["su", "-c", "id"], ["sudo", "-n", "id"], ["newgrp"], ["passwd", "-S"]]:
        try:
            ran = subprocess.run(program, capture_output=True, timeout=5, stdin=subprocess.DEVNULL)
            if b"uid=0(" in ran.stdout:
                escaped[program[0]] = ran.stdout[:100].decode()
        except (OSError, subprocess.TimeoutExpired):
            pass
    return told()
