"""Changes what belongs to the machine: clock, names, modules, swap, quotas, settings."""
import fcntl, time


def run(module_run):
    now = (ctypes.c_long * 2)(int(time.time()), 0)
    attempt("clock_settime", lambda: syscall(227, 112, 0, now) or "set")
    attempt("settimeofday", lambda: syscall(164, 170, now, None) or "set")
    adjust = ctypes.create_string_buffer(256)
    ctypes.memmove(adjust, (0x4000).to_bytes(4, "little"), 4)  # ADJ_TICK
    ctypes.cast(adjust, ctypes.POINTER(ctypes.c_long))[12] = 10000
    attempt("adjtimex", lambda: f"gave {syscall(159, 171, adjust)}")
    name = socket.gethostname().encode()
    attempt("sethostname", lambda: syscall(170, 161, name, len(name)) or "set")
    attempt("setdomainname", lambda: syscall(171, 162, name, len(name)) or "set")
    for what, x86, arm, arguments in [
        ("init_module", 175, 105, (None, 0, b"")), ("finit_module", 313, 273, (-1, b"", 0)), ("delete_module", 176, 106, (b"hostile", 0)),
        ("kexec_load", 246, 104, (0, 0, None, 0)), ("reboot", 169, 142, (0, 0, 0, None)), ("swapon", 167, 224, (b"/nonesuch", 0)),
        ("swapoff", 168, 225, (b"/nonesuch",)), ("acct", 163, 89, (b"/nonesuch",)), ("syslog", 103, 116, (3, ctypes.create_string_buffer(64), 64)),
        ("quotactl", 179, 60, (0x80000100, b"/nonesuch", 0, None)), ("iopl", 172, None, (3,)), ("ioperm", 173, None, (0x70, 1, 1)),
        ("vhangup", 153, 58, ()),
    ]:
        if what == "vhangup" and os.isatty(0):
            continue
        attempt(what, lambda: f"gave {syscall(x86, arm, *arguments)}")
    for path in ["kernel/core_pattern", "kernel/hostname", "kernel/modprobe", "kernel/pid_max", "kernel/yama/ptrace_scope",
                 "kernel/unprivileged_bpf_disabled", "vm/overcommit_memory", "vm/drop_caches", "net/ipv4/ip_forward", "fs/suid_dumpable",
                 "user/max_user_namespaces"]:
        attempt(f"open {path}", opened, f"/proc/sys/{path}", os.O_WRONLY)
    for path in ["/proc/sysrq-trigger", "/proc/self/uid_map", "/proc/self/setgroups", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled"]:
        attempt(f"open {path}", opened, path, os.O_WRONLY)
    attempt("less likely to be killed", lambda: write("/proc/self/oom_score_adj", b"-1000"))
    return told()
