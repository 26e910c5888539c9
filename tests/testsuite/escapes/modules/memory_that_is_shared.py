"""Allocates where limits of a process's data do not look: shared mappings, memory files, pipes, sockets."""
import mmap


def run(module_run):
    kept = []

    def shared():
        for _ in range(48):
            place = mmap.mmap(-1, 32 << 20)
            for page in range(0, 32 << 20, 4096):
                place[page] = 1
            kept.append(place)
        return "1.5 GiB"

    def memory_file():
        number = os.memfd_create("bomb")
        for _ in range(96):
            os.write(number, b"x" * (16 << 20))
        return "1.5 GiB"

    def in_shm():
        with open("/dev/shm/bomb", "wb") as file:
            for _ in range(96):
                file.write(b"x" * (16 << 20))
        return "1.5 GiB"

    which = module_run["inputs"]["which"]
    attempt(which, {"shared": shared, "memory file": memory_file, "shm": in_shm}[which])
    return told()
