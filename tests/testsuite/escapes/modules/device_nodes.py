"""Makes device nodes, and opens the devices of the machine."""


def run(module_run):
    home = os.environ["HOME"]
    for name, kind, device in [("mem", stat.S_IFCHR, (1, 1)), ("kmsg", stat.S_IFCHR, (1, 11)), ("disk", stat.S_IFBLK, (254, 0)),
                               ("disk2", stat.S_IFBLK, (8, 0)), ("fuse", stat.S_IFCHR, (10, 229))]:
        attempt(f"make {name}", os.mknod, f"{home}/{name}", kind | 0o600, os.makedev(*device))
    for name in ["mem", "kmem", "port", "kmsg", "kvm", "fuse", "vda", "sda", "tty", "console", "ptmx", "net/tun", "vsock",
                 "vhost-vsock", "loop-control", "mapper/control", "userfaultfd", "cpu_dma_latency", "rtc0", "tty0", "hpet"]:
        attempt(f"open /dev/{name}", opened, f"/dev/{name}", os.O_RDWR)
    return told()
