"""Looks for what a run before it has left behind."""
import builtins, gc, signal


def run(module_run):
    found = {
        "builtins": hasattr(builtins, "NAPT_LEFT") or builtins.open.__module__ not in ("io", "_io"),
        "fork": type(os.fork).__name__ != "builtin_function_or_method",
        "json": json.loads.__module__ != "json" or json.dumps.__module__ != "json",
        "modules": "napt_left" in sys.modules,
        "sockets": socket.socket.send is None,
        "finders": any(type(finder).__name__ == "Finder" for finder in sys.meta_path),
        "path": "/nonesuch/hostile" in sys.path,
        "hooks": sys.excepthook is sys.audit,
        "collector": not gc.isenabled(),
        "environment": sorted({"NAPT_LEFT", "LD_PRELOAD"} & set(os.environ)),
        "umask": os.umask(0o022) == 0o077,
        "folder": os.getcwd() == "/",
        "signals": signal.getsignal(signal.SIGTERM) == signal.SIG_IGN or signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN,
        "files": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE)[0] == 64,
        "priority": os.getpriority(os.PRIO_PROCESS, 0) != os.getpriority(os.PRIO_PROCESS, os.getppid()),
        "site": any(os.path.lexists(f"{folder}/sitecustomize.py") and "site-packages" in folder for folder in sys.path),
        "left": [folder for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue", os.path.dirname(os.environ["HOME"])]
                 if os.path.lexists(f"{folder}/napt-left")],
        "scratch": sorted(set(os.listdir(os.environ["HOME"])) - {"delegate.key"}),
        "shared memory": LIBC.syscall(ctypes.c_long(194 if ARM else 29), ctypes.c_long(0x6E617074), ctypes.c_long(0), ctypes.c_long(0)) >= 0,
        "queues": LIBC.syscall(ctypes.c_long(186 if ARM else 68), ctypes.c_long(0x6E617074), ctypes.c_long(0)) >= 0,
    }
    escaped.update({what: repr(value) for what, value in found.items() if value})
    refused.update({what: "nothing" for what, value in found.items() if not value})
    return told()
