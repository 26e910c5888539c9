"""Writes one file that fills the disk."""


def run(module_run):
    with open(os.environ["HOME"] + "/big", "wb", buffering=0) as file:
        for _ in range(64):
            file.write(b"x" * (4 << 20))
    return {"escaped": {"a file": "256 MiB"}, "refused": {}}
