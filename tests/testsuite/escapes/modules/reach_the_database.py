"""Reaches servers of the machine by its loopback addresses, in all the ways to write them."""

def connected(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as door:
        door.settimeout(3)
        door.connect(address)
        return f"connected to {address}"



def run(module_run):
    port = module_run["inputs"]["database"]
    for host in ["127.0.0.1", "127.0.0.2", "127.1", "0.0.0.0", "localhost", "2130706433", "0x7f000001", module_run["inputs"]["lan"]]:
        if host:
            attempt(f"{host}:{port}", connected, socket.AF_INET, (host, port))
    for host in ["::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "64:ff9b::7f00:1"]:
        attempt(f"[{host}]:{port}", connected, socket.AF_INET6, (host, port))
    for other in [22, 5432, 6379, 2375, 8080]:
        attempt(f"127.0.0.1:{other}", connected, socket.AF_INET, ("127.0.0.1", other))
    return told()
