"""Reads what belongs to the system's administrator."""


def run(module_run):
    for path in ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/hostname",
                 "/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem"]:
        attempt(f"read {path}", read, path)
    for path in ["/var/log", "/var/lib", "/etc/ssh", "/boot", "/srv", "/run", "/sys/kernel"]:
        attempt(f"list {path}", lambda: os.listdir(path) or None)
    return told()
