"""Makes calls in another architecture's way, which filters may not know."""
import mmap


def run(module_run):
    if ARM:
        refused["x32"] = "ENOSYS"
        return told()
    attempt("getpid as x32", lambda: f"gave {syscall(0x40000000 + 39, None)}")
    attempt("ptrace as x32", lambda: f"gave {syscall(0x40000000 + 521, None, 0, 0, 0, 0)}")
    # `int 0x80` with the number of i386's getpid; a process that is killed for it tells by its end.
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"

    def i386():
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            place = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            place.write(code)
            address = ctypes.addressof(ctypes.c_char.from_buffer(place))
            result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
            os.write(write_end, str(result).encode())
            os._exit(0)
        os.close(write_end)
        answer = os.read(read_end, 64)
        os.waitpid(pid, 0)
        return f"pid {int(answer)}" if answer and int(answer) > 0 else None

    attempt("getpid as i386", i386)
    return told()
