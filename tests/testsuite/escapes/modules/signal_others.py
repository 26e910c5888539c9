"""Sends signals to other processes."""
import signal


def run(module_run):
    for pid in others(module_run["inputs"]):
        # 0 asks whether it may.
        attempt(f"signal {pid}", lambda: os.kill(pid, 0) or "may")
        attempt(f"group {pid}", lambda: os.killpg(pid, 0) or "may")

        def by_handle():
            handle = syscall(434, 434, pid, 0)
            return syscall(424, 424, handle, 0, None, 0) or "may"

        attempt(f"signal {pid} by a handle", by_handle)
        attempt(f"queue to {pid}", lambda: syscall(129, 138, pid, 0, ctypes.create_string_buffer(128)) or "may")
    # Those whose numbers are known for sure: another's, and a sibling's.
    for who in ["stranger", "sibling"]:
        for pid in {module_run["inputs"][who]["pid"], module_run["inputs"][who]["inner_pid"]} - {os.getpid()}:
            attempt(f"stop {who} {pid}", lambda: os.kill(pid, signal.SIGSTOP) or "stopped")
    attempt("everybody", lambda: os.kill(-1, 0) or "may")
    return told()
