"""Changes the priority, processors and limits of other processes."""
import resource


def run(module_run):
    for pid in others(module_run["inputs"]):
        attempt(f"renice {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19) or "set")
        attempt(f"bind {pid}", lambda: os.sched_setaffinity(pid, {0}) or "set")
        attempt(f"schedule {pid}", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)) or "set")
        attempt(f"limit {pid}", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)) and "set")
        attempt(f"move the pages of {pid}", lambda: syscall(256, 238, pid, 1, ctypes.byref(ctypes.c_ulong(1)), ctypes.byref(ctypes.c_ulong(1))))
    attempt("go before others", lambda: os.nice(-5))
    attempt("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "set")
    return told()
