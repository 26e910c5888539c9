"""Reads and writes the memory of other processes."""


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def run(module_run):
    room = ctypes.create_string_buffer(64)
    local, remote = Vector(ctypes.addressof(room), 64), Vector(id(None), 64)
    for pid in others(module_run["inputs"]):
        attempt(f"read {pid}", lambda: f"{syscall(310, 270, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)} bytes")
        attempt(f"write {pid}", lambda: f"{syscall(311, 271, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)} bytes")
        attempt(f"/proc/{pid}/mem", opened, f"/proc/{pid}/mem", os.O_RDWR)
        attempt(f"/proc/{pid}/maps", read, f"/proc/{pid}/maps")
    return told()
