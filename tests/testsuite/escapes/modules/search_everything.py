"""Goes through all that it can see, looking for what others hold dear."""


def canaries(path):
    with open(path, "rb") as file:
        return CANARY.findall(file.read(1 << 20))


def above(path):
    while path != "/":
        yield path
        path = os.path.dirname(path)


def run(module_run):
    inputs = module_run["inputs"]
    known = [os.environ["HOME"], os.path.abspath(__file__), inputs["sibling"]["scratch"], inputs["stranger"]["scratch"],
             inputs["stranger"]["root"], inputs["data"], inputs["home"], inputs["cache"]]
    # A folder that cannot be listed may have some below it that can.
    tops = {"/", "/var", "/root", "/home", "/run", "/mnt", "/opt", "/srv"} | {top for path in known for top in above(path)}
    looked = set()
    for top in sorted(tops):
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev", "/usr", sys.prefix)]
            for path in (os.path.join(folder, name) for name in files):
                if path in looked:
                    continue
                looked.add(path)
                try:
                    if stat.S_ISREG(os.stat(path).st_mode) and canaries(path):
                        escaped[path] = "a canary"
                except OSError:
                    pass
    # It does see its own code.
    attempt("eyes shut", lambda: None if os.path.abspath(__file__) in looked else "it has not looked")
    return told()
