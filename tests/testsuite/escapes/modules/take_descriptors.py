"""Takes descriptors out of other processes, and looks at which it has inherited."""


def run(module_run):
    for pid in others(module_run["inputs"]):
        def take():
            handle = syscall(434, 434, pid, 0)
            for number in range(16):
                try:
                    return f"descriptor {number}: {syscall(438, 438, handle, number, 0)}"
                except OSError as error:
                    if error.errno != errno.EBADF:
                        raise
        attempt(f"pidfd_getfd of {pid}", take)
        for number in [0, 3, 4, 5]:
            attempt(f"/proc/{pid}/fd/{number}", opened, f"/proc/{pid}/fd/{number}", os.O_RDWR)
    # Nothing but its streams and its own channel may be open, and sockets only to its node.
    kinds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            kinds[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    sockets = [number for number, kind in kinds.items() if kind.startswith("socket:")]
    if len(sockets) > 1:
        escaped["sockets"] = repr(kinds)
    for number, kind in kinds.items():
        if kind.startswith("/") and not kind.startswith(("/dev/null", "/proc/", os.environ["HOME"])):
            escaped[f"descriptor {number}"] = kind
    return told()
