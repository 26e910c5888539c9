"""Connects to sockets of the machine that are no network: abstract ones, and by path."""

def connected(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as door:
        door.settimeout(3)
        door.connect(address)
        return f"connected to {address}"



def run(module_run):
    inputs = module_run["inputs"]
    for path in [inputs["database_socket"], inputs["docker_socket"], "/var/run/docker.sock", "/run/docker.sock", "/run/systemd/private", "/run/dbus/system_bus_socket",
                 "/tmp/.s.PGSQL.5432", "/var/run/postgresql/.s.PGSQL.5432", "/run/containerd/containerd.sock"]:
        attempt(path, connected, socket.AF_UNIX, path)
    for name in [inputs["abstract"], "/tmp/.X11-unix/X0", "/containerd-shim"]:
        attempt(f"@{name}", connected, socket.AF_UNIX, "\0" + name)
        attempt(f"@{name} by datagram", connected, socket.AF_UNIX, "\0" + name, socket.SOCK_DGRAM)
    return told()
