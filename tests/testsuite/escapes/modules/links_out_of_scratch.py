"""Makes links out of its scratch folder and follows them; leaves some for whoever cleans up."""


def run(module_run):
    inputs, home = module_run["inputs"], os.environ["HOME"]
    targets = {
        "key": inputs["data"] + "/identity.key",
        "shadow": "/etc/shadow",
        "diary": inputs["stranger"]["scratch"] + "/diary.txt",
        "sibling": inputs["sibling"]["scratch"] + "/diary.txt",
    }
    for name, target in targets.items():
        os.symlink(target, f"{home}/{name}")
        attempt(f"read {target} by a symbolic link", read, f"{home}/{name}")
        attempt(f"write {target} by a symbolic link", write, f"{home}/{name}")
        attempt(f"link {target}", os.link, target, f"{home}/{name}.hard")
    attempt("link the interpreter", os.link, os.path.realpath(sys.executable), f"{home}/python")
    attempt("link the own code", os.link, os.path.abspath(__file__), f"{home}/run.py")
    for name in ["scratch", "modules", "storage"]:
        os.symlink(inputs["data"] + "/" + name, f"{home}/{name}")
    os.symlink("/", f"{home}/everything")
    os.symlink(inputs["stranger"]["scratch"], f"{home}/folder")
    return told()
