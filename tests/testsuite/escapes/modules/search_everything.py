"""Goes through all that it can see, looking for what others hold dear."""
SYSTEM = ("/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib")


def canaries(path):
    with open(path, "rb") as file:
        return CANARY.findall(file.read(1 << 20))


def run(module_run):
    own = {os.environ["HOME"]}
    looked = 0
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(SYSTEM)]
        for name in files:
            path = os.path.join(folder, name)
            if path.startswith(sys.prefix) or path.startswith(sys.base_prefix):
                continue
            looked += 1
            try:
                if stat.S_ISREG(os.stat(path).st_mode) and canaries(path):
                    escaped[path] = "a canary"
            except OSError:
                pass
    refused["anything of others'"] = "nothing"
    return {**told(), "looked": looked}
