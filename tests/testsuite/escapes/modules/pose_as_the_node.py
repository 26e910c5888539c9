"""Listens where other runs would look for their node, or where others can find it."""


def run(module_run):
    port = node_port()

    def listened(family, address):
        with socket.socket(family) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            door.bind(address)
            door.listen()
            return f"listens at {address}"

    for host, number in [("127.0.0.1", port), ("127.0.0.1", 3128), ("127.0.0.1", 3129), ("0.0.0.0", 0), ("127.0.0.1", 0), ("127.0.0.2", port)]:
        attempt(f"{host}:{number}", listened, socket.AF_INET, (host, number))
    # Whoever listens without a port is given one; nobody may connect to it.
    def found():
        with socket.socket() as door, socket.socket() as visitor:
            door.listen()
            visitor.connect(("127.0.0.1", door.getsockname()[1]))
            return "found"

    attempt("be found at any port", found)
    attempt("[::1]", listened, socket.AF_INET6, ("::1", port))
    return told()
