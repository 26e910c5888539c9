"""Says that a frame of four gigabytes comes, and sends as much of it as is taken."""

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
    os.write(number, b"\xff\xff\xff\xff")
    for _ in range(4096):
        os.write(number, b"x" * (1 << 20))
    return {"escaped": {"taken": "4 GiB"}, "refused": {}}
