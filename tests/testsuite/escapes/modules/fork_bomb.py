"""Forks until it is refused; far more than it may is an escape."""
import time


def run(module_run):
    for number in range(400):
        try:
            pid = os.fork()
        except OSError as error:
            refused[f"after {number} processes"] = errno.errorcode[error.errno]
            return told()
        if pid == 0:
            time.sleep(30)
            os._exit(0)
    return {"escaped": {"processes": 400}, "refused": {}}
