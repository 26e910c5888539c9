"""Goes to the node with a credential that is not its own, or is over."""


def run(module_run):
    inputs = module_run["inputs"]
    own_id, own_secret = os.environ["NAPT_RUN_TOKEN"].split(":")
    stranger, sibling = inputs["stranger"]["run"], inputs["sibling"]["run"]
    for what, credential in [
        ("one that has ended", inputs["ended"]), ("another's with the own secret", f"{stranger}.local:{own_secret}"),
        ("a sibling's with the own secret", f"{sibling}.local:{own_secret}"), ("guessed", f"{stranger}.local:{'0' * len(own_secret)}"),
        ("empty", f"{stranger}.local:"), ("cut", f"{own_id}:{own_secret[:-1]}"), ("longer", f"{own_id}:{own_secret}0"),
        ("upper case", f"{own_id}:{own_secret.upper()}"), ("another user's token", "napt_" + "0" * 48 + ":x"), ("nobody's", ":"),
        ("another target", f"{own_id.split('.')[0]}.ffffffffffffffff:{own_secret}"),
    ]:
        asked(f"{what}: its run", "GET", f"/v1/runs/{stranger}", credential=credential)
        asked(f"{what}: a run", "POST", "/v1/runs", {"module": "agent:honest", "inputs": {}}, credential=credential)
        if what != "another target":
            asked(f"{what}: models", "GET", "/inference/models", credential=credential)
    return told()
