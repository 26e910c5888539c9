"""Sends signals to other processes."""
import signal


def run(module_run):
    for pid in others(module_run["inputs"]):
        # 0 asks whether it may.
        attempt(f"signal {pid}", lambda: os.kill(pid, 0) or "may")
        if pid > 1:  # the group 1 is everybody
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
    # "Everybody" has no answer that tells; whoever is killed by it is missed. Never the whole machine.
    if os.readlink("/proc/self/ns/pid") == module_run["inputs"]["pid_namespace"]:
        escaped["everybody"] = "it sees all processes of the machine"
    else:
        os.kill(-1, signal.SIGKILL)
    return told()
