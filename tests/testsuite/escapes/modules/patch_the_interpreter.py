"""Changes the interpreter while it is imported, and leaves behind all that could stay."""
import asyncio, builtins, gc, importlib.abc, random, resource, signal, threading

original_fork = os.fork
os.fork = lambda: (_ for _ in ()).throw(OSError("no more forks"))
builtins.open, builtins_open = (lambda *arguments, **named: builtins_open(*arguments, **named)), builtins.open
builtins.NAPT_LEFT = "hostile"
json.loads = lambda *_, **__: {"op": "hostile"}
sys.modules["napt_left"] = sys
socket.socket.send = None
random.seed(1)
gc.disable()


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        return None


sys.meta_path.insert(0, Finder())
sys.path.insert(0, "/nonesuch/hostile")
sys.excepthook = sys.displayhook = sys.audit


def run(module_run):
    os.environ["NAPT_LEFT"] = "hostile"
    os.environ["LD_PRELOAD"] = "/nonesuch/hostile.so"
    os.umask(0o077)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.nice(5)
    for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue", os.path.dirname(os.environ["HOME"])]:
        attempt(f"leave a file in {folder}", lambda: builtins_open(f"{folder}/napt-left", "w").close() or folder)
    # Of System V: they live as long as their namespace.
    attempt("shared memory is there later", lambda: None if syscall(29, 194, 0x6E617074, 4096, 0o1666) >= 0 else None)
    attempt("a queue is there later", lambda: None if syscall(68, 186, 0x6E617074, 0o1666) >= 0 else None)
    try:
        asyncio.get_event_loop_policy()._local.__dict__.clear()
    except AttributeError:
        pass
    threading.settrace(lambda *_: None)
    return {"escaped": escaped, "refused": refused}
