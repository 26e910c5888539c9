"""Calls parts of the kernel that programs do without, where most of its holes are."""


def run(module_run):
    none = None
    for name, x86, arm, arguments in [
        ("io_uring_setup", 425, 425, (8, ctypes.create_string_buffer(120))),
        ("io_uring_enter", 426, 426, (-1, 0, 0, 0, none, 0)),
        ("io_uring_register", 427, 427, (-1, 0, none, 0)),
        ("bpf", 321, 280, (0, ctypes.create_string_buffer(128), 128)),
        ("userfaultfd", 323, 282, (1,)),
        ("perf_event_open", 298, 241, (ctypes.create_string_buffer(b"\0\0\0\0\x78", 120), 0, -1, -1, 0)),
        ("keyctl", 250, 219, (0, -3, 1)),
        ("add_key", 248, 217, (b"user", b"hostile", b"x", 1, -2)),
        ("request_key", 249, 218, (b"user", b"hostile", none, 0)),
        ("kcmp", 312, 272, (os.getpid(), os.getppid(), 0, 0, 0)),
        ("fanotify_init", 300, 262, (0, 0)),
        ("name_to_handle_at", 303, 264, (-100, b"/", ctypes.create_string_buffer(b"\x80", 256), ctypes.create_string_buffer(8), 0)),
        ("open_by_handle_at", 304, 265, (-100, ctypes.create_string_buffer(256), 0)),
        ("memfd_secret", 447, None, (0,)),
        ("personality", 135, 92, (0x0040000,)),
        ("process_vm_readv", 310, 270, (os.getppid(), none, 0, none, 0, 0)),
        ("process_vm_writev", 311, 271, (os.getppid(), none, 0, none, 0, 0)),
    ]:
        attempt(name, lambda: f"gave {syscall(x86, arm, *arguments)}")
    # No such call: what a filter does not know.
    attempt("a number of the far future", lambda: f"gave {syscall(900, 900)}")
    return told()
