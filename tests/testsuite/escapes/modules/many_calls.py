"""Calls the node without end, and reads no answer."""


def run(module_run):
    kept = []
    host, port = "127.0.0.1", node_port()
    token = base64.b64encode(os.environ["NAPT_RUN_TOKEN"].encode()).decode()
    for _ in range(600):
        try:
            door = socket.create_connection((host, port), timeout=10)
            door.sendall(f"GET /v1/runs/{os.environ['NAPT_RUN_ID']} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Basic {token}\r\nX: ".encode() + b"y" * 1000)
            kept.append(door)
        except OSError as error:
            refused[f"after {len(kept)}"] = errno.errorcode.get(error.errno, repr(error))
            break
    for _ in range(200):
        try:
            ask("GET", f"/v1/runs/{os.environ['NAPT_RUN_ID']}")
        except TimeoutError:
            # It has taken all places that runs of its own interpreter have.
            refused["further ones"] = "nothing"
            break
    refused.setdefault("all were harmless", "nothing")
    return told()
