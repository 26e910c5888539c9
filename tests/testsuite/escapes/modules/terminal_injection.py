"""Types into the terminal that the node was started from."""
import fcntl


def run(module_run):
    TIOCSTI, TIOCLINUX, TIOCSCTTY = 0x5412, 0x541C, 0x540E
    for number in [0, 1, 2]:
        attempt(f"TIOCSTI on {number}", lambda: fcntl.ioctl(number, TIOCSTI, b"x") and "typed")
        # The upper half of the request is not looked at by the kernel.
        attempt(f"TIOCSTI by another number on {number}", lambda: syscall(16, 29, number, TIOCSTI | 1 << 32, b"x") or "typed")
        attempt(f"TIOCLINUX on {number}", lambda: fcntl.ioctl(number, TIOCLINUX, b"\x03") and "pasted")
    for path in ["/dev/tty", "/dev/console", "/dev/pts/0", "/dev/ptmx"]:
        attempt(f"open {path}", opened, path, os.O_RDWR)
    return told()
