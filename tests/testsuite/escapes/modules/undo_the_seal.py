"""Takes off what it is shut in with: filters, Landlock, limits, no_new_privs; adds filters that allow all."""
import resource


def run(module_run):
    # BPF: return SECCOMP_RET_ALLOW.
    program = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    allow = Program(1, ctypes.addressof(program))
    # May succeed; it must not help.
    LIBC.syscall(ctypes.c_long(277 if ARM else 317), 1, 0, ctypes.byref(allow))
    attempt("ptrace after another filter", syscall, 101, 117, 0, 0, 0, 0)
    attributes = (ctypes.c_uint64 * 3)(0, 0, 0)
    attributes[0] = 1
    made = LIBC.syscall(ctypes.c_long(444), attributes, ctypes.c_long(8), ctypes.c_long(0))
    if made >= 0:
        LIBC.syscall(ctypes.c_long(446), ctypes.c_long(made), ctypes.c_long(0))
    attempt("read after another ruleset", read, module_run["inputs"]["sibling"]["scratch"] + "/diary.txt")
    for name in ["RLIMIT_CORE", "RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE"]:
        kind = getattr(resource, name)
        soft, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            escaped[name] = "has no bound"
            continue

        def raised():
            try:
                resource.setrlimit(kind, (hard + 1, hard + 1))
            except ValueError as error:
                raise PermissionError(errno.EPERM, str(error)) from error
            return "raised"

        attempt(name, raised)
    return told()
