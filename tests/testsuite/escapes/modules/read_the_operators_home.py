"""Reads homes: the operator's SSH key, and whatever home the system knows."""


def run(module_run):
    home = module_run["inputs"]["home"]
    attempt("the operator's SSH key", read, f"{home}/.ssh/id_ed25519")
    attempt("the operator's home", os.listdir, home)
    for path in ["/root", "/home"]:
        attempt(f"list {path}", lambda: os.listdir(path) or None)
    return told()
