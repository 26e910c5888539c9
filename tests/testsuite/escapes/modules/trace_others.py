"""Traces other processes."""
ATTACH, SEIZE = 16, 0x4206


def run(module_run):
    for pid in others(module_run["inputs"]):
        for what, request in [("attach to", ATTACH), ("seize", SEIZE)]:
            attempt(f"{what} {pid}", lambda: syscall(101, 117, request, pid, 0, 0) or "traced")
    attempt("be traced", lambda: syscall(101, 117, 0, 0, 0, 0) or "traced")
    return told()
