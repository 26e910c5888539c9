"""Makes so many empty files and folders that there is no room for others'."""
import time


def run(module_run):
    home = os.environ["HOME"]
    for folder in range(60):
        os.mkdir(f"{home}/{folder}")
        for number in range(1000):
            os.mknod(f"{home}/{folder}/{number}")
    time.sleep(10)
    return {"escaped": {"files": "60,000"}, "refused": {}}
