"""Reads and changes Python environments that are not its own."""


def run(module_run):
    inputs = module_run["inputs"]
    folder = os.path.dirname(sys.prefix)
    own = os.path.basename(sys.prefix)

    def beside():
        return [name for name in os.listdir(folder) if name != own] or None

    attempt("environments beside", beside)
    attempt("the cache", lambda: [n for n in os.listdir(inputs["cache"]) if not sys.prefix.startswith(inputs["cache"])] or None)
    attempt("make one", os.mkdir, f"{folder}/0123456789abcdef0123456789abcdef")
    attempt("the installer", opened, f"{folder}/installer.lock", os.O_RDWR)
    attempt("another's lock", opened, f"{sys.prefix}.lock", os.O_RDWR)
    return told()
