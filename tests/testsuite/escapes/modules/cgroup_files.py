"""Leaves its control group, or changes the limits that stand in it."""


def run(module_run):
    lines = read("/proc/self/cgroup").decode().splitlines() if os.path.exists("/proc/self/cgroup") else []
    folders = {"/sys/fs/cgroup"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for top in ["/sys/fs/cgroup", f"/sys/fs/cgroup/{controllers}"]:
            folders |= {top, top + path, os.path.dirname(top + path)}
    for folder in sorted(folders):
        for name in ["cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes", "pids.max", "cgroup.kill", "release_agent", "notify_on_release"]:
            attempt(f"{folder}/{name}", opened, f"{folder}/{name}", os.O_WRONLY)
        attempt(f"a group in {folder}", os.mkdir, f"{folder}/hostile")
    # What it inherited, if it did.
    for number in range(3, 64):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "cgroup" in path:
            escaped[f"descriptor {number}"] = path
    return told()
