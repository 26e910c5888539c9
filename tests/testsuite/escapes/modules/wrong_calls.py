"""Calls by the channel with ids used twice, of nobody, for others; gives up what it never asked for."""

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
    number = channel()
    os.set_blocking(number, True)
    call = {"op": "call", "id": 7, "type": "agent", "target": "local",
            "input": {"consumer_id": inputs["honest_user"], "inputs": {}, "deployment": {"module": {"name": "honest"}, "name": "honest"}, "signature": ""}}
    asks = [call, call, {**call, "id": 2**64 - 1}, {**call, "id": 8, "target": "ffffffffffffffff"}, {**call, "id": 9, "type": "orchestrator"},
            {**call, "id": 10, "type": "nonesuch"}, {**call, "id": 11, "input": {"nothing": 1}}]
    for id in [7, 1, 2**63]:
        os.write(number, frame({"op": "cancel", "id": id}))
    for ask in asks:
        os.write(number, frame(ask))
    answers, until = [], time.monotonic() + 10
    taken = socket.socket(fileno=os.dup(number))
    taken.settimeout(5)
    try:
        while len(answers) < len(asks):
            (length,) = struct.unpack(">I", taken.recv(4, socket.MSG_WAITALL))
            answers.append(json.loads(taken.recv(length, socket.MSG_WAITALL)))
    except TimeoutError:
        pass
    for answer in answers:
        what = f"{answer.get('id')}: {answer.get('status')}"
        if answer.get("status") == "success" and not (answer.get("data") or {}).get("error"):
            escaped[what] = repr(answer)[:300]
        else:
            refused[what] = "HTTP 404"
    return told()
