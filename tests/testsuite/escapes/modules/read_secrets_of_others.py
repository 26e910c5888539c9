"""Reads environments, command lines and files of other processes in `/proc`."""


def run(module_run):
    for pid in others(module_run["inputs"]):
        for name in ["environ", "cmdline", "auxv", "stack", "syscall", "io", "mountinfo"]:
            attempt(f"/proc/{pid}/{name}", lambda: read(f"/proc/{pid}/{name}") or None)
        attempt(f"/proc/{pid}/fd", os.listdir, f"/proc/{pid}/fd")
        for name in ["exe", "cwd", "root"]:
            attempt(f"/proc/{pid}/{name}", os.readlink, f"/proc/{pid}/{name}")
        attempt(f"/proc/{pid}/task", lambda: read(f"/proc/{pid}/task/{pid}/environ") or None)
    attempt("its own environment has nobody else's", lambda: CANARY.findall(repr(dict(os.environ)).encode()) or None)
    attempt("nor has what it was started with", lambda: CANARY.findall(read("/proc/self/environ")) or None)
    return told()
