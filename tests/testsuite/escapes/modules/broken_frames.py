"""Sends what is no frame: no JSON, deep JSON, unknown words, wrong types."""

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
    which = module_run["inputs"]["which"]
    os.write(number, {
        "no json": frame(b"\x00\xff{"),
        "deep": frame(b"[" * 60000),
        "deep call": frame(b'{"op":"call","id":1,"type":"agent","target":"local","input":' + b'{"a":' * 30000 + b"1" + b"}" * 30000 + b"}"),
        "unknown": frame({"op": "explode", "run": module_run["inputs"]["stranger"]["run"]}),
        "wrong types": frame({"op": "result", "ok": "yes", "result": 7}),
        "negative id": frame({"op": "call", "id": -1, "type": "agent", "target": "local", "input": {}}),
        "empty": frame(b""),
    }[which])
    time.sleep(20)
    return {"escaped": {which: "taken"}, "refused": {}}
