"""Reads the code of modules that are not its own, of its own user and of others."""


def run(module_run):
    inputs = module_run["inputs"]
    for who in ["sibling", "stranger"]:
        root = inputs[who]["root"]
        name = os.path.basename(inputs[who]["entry"])
        for path in [inputs[who]["entry"], root]:
            attempt(f"{who}: {path}", lambda: read(path) if path.endswith(".py") else os.listdir(path))
    # Beside its own, and above it.
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folder = own
    while folder != "/":
        folder = os.path.dirname(folder)
        def beside():
            seen = [os.path.join(folder, name) for name in os.listdir(folder)]
            strange = [path for path in seen if not __file__.startswith(path) and not sys.prefix.startswith(path)]
            found = []
            for path in strange:
                for place, _, names in os.walk(path):
                    found += [os.path.join(place, name) for name in names if name == "run.py" and read(os.path.join(place, name))]
            return found or None
        if folder not in ("/", "/usr"):
            attempt(f"beside {folder}", beside)
    return told()
