"""Dies in the middle, with a core dump if it can have one."""
import resource


def run(module_run):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass
    LIBC.prctl(4, 1, 0, 0, 0)
    os.chdir(os.environ["HOME"])
    ctypes.string_at(0)
