"""Stops itself and its group, so that it never ends."""
import signal


def run(module_run):
    os.killpg(0, signal.SIGSTOP)
    return {"escaped": {}, "refused": {"went on": "nothing"}}
