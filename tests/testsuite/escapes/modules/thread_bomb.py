"""Starts threads until it is refused."""
import threading


def run(module_run):
    stop = threading.Event()
    for number in range(2000):
        try:
            threading.Thread(target=stop.wait, daemon=True).start()
        except RuntimeError:
            refused[f"after {number} threads"] = "EAGAIN"
            return told()
    return {"escaped": {"threads": 2000}, "refused": {}}
