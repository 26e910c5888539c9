"""Reads the keys of the node and of its operator."""


def run(module_run):
    inputs = module_run["inputs"]
    for path in [inputs["data"] + "/identity.key", inputs["home"] + "/napt/config/identity.key"]:
        attempt(f"read {path}", read, path)
    for path in [inputs["data"], inputs["data"] + "/secrets", inputs["home"] + "/napt/config"]:
        attempt(f"list {path}", lambda: os.listdir(path) and path)
    return told()
