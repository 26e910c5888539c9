"""Calls modules that it was not deployed with, and has others installed."""


def run(module_run):
    inputs = module_run["inputs"]
    for module in ["agent:honest", "agent:nonesuch", "orchestrator:house"]:
        asked(f"run {module}", "POST", "/v1/runs", {"module": module, "inputs": {}})
        for deployment in ["house", {"name": "house"}]:
            asked(f"run {module} of {deployment}", "POST", "/v1/runs", {"module": module, "inputs": {}, "deployment": deployment})
        kind, name = module.split(":")
        call = {"consumer_id": inputs["honest_user"], "inputs": {}, "deployment": {"module": {"name": name}, "name": name}, "signature": "00"}
        asked(f"Naptha's run of {module}", "POST", f"/{kind}/run", call)
        asked(f"create {module}", "POST", f"/{kind}/create", {"module": {"name": name, "module_url": "https://example.com/x.git"}, "name": name})
    return told()
