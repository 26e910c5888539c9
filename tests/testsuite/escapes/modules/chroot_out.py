"""Leaves its root by the old trick with `chroot`."""


def out():
    os.mkdir(f"{os.environ['HOME']}/cell")
    outside = os.open("/", os.O_RDONLY)
    os.chroot(f"{os.environ['HOME']}/cell")
    os.fchdir(outside)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return "out"


def run(module_run):
    attempt("chroot", out)
    for pid in others(module_run["inputs"]):
        attempt(f"/proc/{pid}/root", os.listdir, f"/proc/{pid}/root/")
        attempt(f"/proc/{pid}/cwd", os.listdir, f"/proc/{pid}/cwd/")
    attempt("root by ..", lambda: os.stat("/..").st_ino != os.stat("/").st_ino or None)
    return told()
