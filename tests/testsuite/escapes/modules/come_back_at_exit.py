"""Starts processes while its own ends: at exit, in threads, from finalizers, faster than they are killed."""
import atexit, threading, time, weakref


def leave(mark):
    if os.fork() == 0:
        os.setsid()
        # Forks on and on, so that whoever kills one meets the next.
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            time.sleep(0.001)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time\nwhile True: time.sleep(1)", mark])


class Last:
    pass


def run(module_run):
    mark = module_run["inputs"]["mark"]
    atexit.register(leave, mark)
    sys.last = Last()
    weakref.finalize(sys.last, leave, mark)
    leave(mark)

    def later():
        time.sleep(0.05)
        leave(mark)

    threading.Thread(target=later, daemon=True).start()
    refused["left behind"] = "nothing"
    return told()
