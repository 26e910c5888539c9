"""Says for others that their runs have ended, on everything that it can write to."""

import struct, time


def channel():
    """The own connection to the node, found among what is open."""
    for number in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                return number
        except OSError:
            pass


def frame(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body



def run(module_run):
    inputs = module_run["inputs"]
    for who in ["sibling", "stranger"]:
        run = inputs[who]["run"]
        for op in [{"op": "exited", "run": run, "status": 0}, {"op": "refused", "run": run, "reason": "forged"}, {"op": "forked", "run": run, "pid": 1},
                   {"op": "result", "ok": True, "result": "forged", "run": run}]:
            for number in range(256):
                try:
                    if number != channel() and number not in (1, 2):
                        os.write(number, frame(op))
                        escaped[f"descriptor {number}"] = os.readlink(f"/proc/self/fd/{number}")
                except OSError:
                    pass
    for number in (1, 2):
        os.write(number, frame({"op": "result", "ok": True, "result": "forged"}) + b"\n")
    refused["forged"] = "nothing"
    return told()
