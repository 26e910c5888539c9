"""Sends datagrams: to the machine, to name servers, to everybody."""

def connected(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as door:
        door.settimeout(3)
        door.connect(address)
        return f"connected to {address}"



def sent(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as door:
        door.sendto(b"canary?", address)
        return f"sent to {address}"


def run(module_run):
    port = module_run["inputs"]["datagrams"]
    for host in ["127.0.0.1", "0.0.0.0", "8.8.8.8", "169.254.169.254", "10.0.0.1", "255.255.255.255", "224.0.0.251"]:
        attempt(f"{host}:{port}", sent, socket.AF_INET, (host, port))
        attempt(f"{host}:53", sent, socket.AF_INET, (host, 53))
    attempt("[::1]", sent, socket.AF_INET6, ("::1", port))
    for name in ["example.com", "localhost.localdomain", "metadata.google.internal"]:
        attempt(f"look {name} up", lambda: socket.getaddrinfo(name, 80) and name)
    return told()
