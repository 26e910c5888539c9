"""Every process of it forks, for as long as it lives."""
import time


def run(module_run):
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
    return {"escaped": {}, "refused": {"more than it may": "EAGAIN"}}
