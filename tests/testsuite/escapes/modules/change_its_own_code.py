"""Changes what later runs go by: its module, its environment, the interpreter, the system."""
import importlib, shutil


def run(module_run):
    here = os.path.abspath(__file__)
    package = os.path.dirname(here)
    site = next((path for path in sys.path if path.endswith("-packages")), sys.prefix)
    stdlib = os.path.dirname(json.__file__)
    attempt("write its code", write, here, b"# hostile")
    for folder in [package, os.path.dirname(package), site, stdlib, sys.prefix, os.path.join(sys.prefix, "bin"), "/usr/lib", "/usr/local", "/etc", "/"]:
        attempt(f"add to {folder}", write, f"{folder}/sitecustomize.py", b"import os; os.environ['NAPT_LEFT'] = 'hostile'\n")
        attempt(f"make a folder in {folder}", os.mkdir, f"{folder}/hostile")
    for path in [here, sys.executable, os.path.realpath(sys.executable), json.__file__, f"{sys.prefix}/pyvenv.cfg", "/etc/passwd", "/etc/hosts"]:
        attempt(f"open {path}", opened, path, os.O_WRONLY)
        attempt(f"open up {path}", os.chmod, path, 0o777)
        attempt(f"age {path}", os.utime, path, (0, 0))
    return told()
