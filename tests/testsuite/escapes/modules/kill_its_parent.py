"""Kills and stops what it was forked from."""
import signal


def run(module_run):
    parent = os.getppid()
    for name in ["SIGSTOP", "SIGTERM", "SIGIO", "SIGSEGV", "SIGKILL"]:
        attempt(name, lambda: os.kill(parent, getattr(signal, name)) or "sent")
    return told()
