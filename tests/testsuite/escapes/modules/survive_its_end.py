"""Leaves processes behind: a group of their own, detached twice, signals ignored, nobody's child."""
import signal, time


def detach(mark):
    if os.fork():
        return
    os.setsid()
    LIBC.prctl(36, 0, 0, 0, 0)  # no subreaper
    LIBC.prctl(1, 0, 0, 0, 0)  # no signal when the parent dies
    if os.fork():
        os._exit(0)
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    for descriptor in range(64):
        try:
            os.close(descriptor)
        except OSError:
            pass
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time\nwhile True: time.sleep(1)", mark])


def run(module_run):
    LIBC.prctl(36, 0, 0, 0, 0)
    for number in range(3):
        detach(module_run["inputs"]["mark"])
    time.sleep(0.2)
    refused["left behind"] = "nothing"
    return told()
