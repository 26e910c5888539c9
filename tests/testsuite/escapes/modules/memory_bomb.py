"""Allocates until it is refused."""


def run(module_run):
    kept = []
    for _ in range(96):
        kept.append(b"x" * (16 << 20))
    return {"escaped": {"memory": "1.5 GiB"}, "refused": {}}
