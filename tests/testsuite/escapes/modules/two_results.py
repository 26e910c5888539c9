"""Sends two results, then another after its end."""

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
    number = channel()
    os.write(number, frame({"op": "result", "ok": True, "result": "first"}))
    os.write(number, frame({"op": "result", "ok": True, "result": "second"}))
    os.write(number, frame({"op": "result", "ok": False, "kind": "memory", "message": "third"}))
    return "fourth"
