"""Makes namespaces, in which it would be somebody else, and enters those of others."""
NEW = {"user": 1 << 28, "mount": 1 << 17, "pid": 1 << 29, "net": 1 << 30, "ipc": 1 << 27, "uts": 1 << 26, "cgroup": 1 << 25, "time": 1 << 7}


def run(module_run):
    for name, flag in NEW.items():
        attempt(f"unshare {name}", lambda: syscall(272, 97, flag) or "unshared")
        attempt(f"unshare user and {name}", lambda: syscall(272, 97, flag | 1 << 28) or "unshared")

        def clone():
            pid = syscall(56, 220, flag | 17, 0, 0, 0, 0)
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            return "cloned"

        if name != "time":  # which `clone` takes for a signal
            attempt(f"clone {name}", clone)
    # `clone3` hides its flags from filters, so it must not be there at all.
    arguments = (ctypes.c_uint64 * 11)(1 << 28, 0, 0, 0, 17)

    def clone3():
        pid = syscall(435, 435, arguments, 88)
        if pid == 0:
            os._exit(0)
        return "cloned"

    attempt("clone3 user", clone3)
    for pid in others(module_run["inputs"]):
        for kind in ["user", "mnt", "net", "pid"]:
            def enter():
                place = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                return syscall(308, 268, place, 0) or "entered"
            attempt(f"enter {kind} of {pid}", enter)
    return told()
