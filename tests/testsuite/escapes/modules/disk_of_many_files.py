"""Fills the disk by files that are each as small as they may be."""
import time


def run(module_run):
    home = os.environ["HOME"]
    for number in range(64):
        with open(f"{home}/{number}", "wb") as file:
            file.write(b"x" * (4 << 20))
    # The disk is looked at now and then.
    time.sleep(10)
    return {"escaped": {"files": "256 MiB"}, "refused": {}}
