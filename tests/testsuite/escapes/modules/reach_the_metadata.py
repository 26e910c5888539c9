"""Reaches private, link-local and metadata addresses, and the world, without the proxy."""

def connected(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as door:
        door.settimeout(3)
        door.connect(address)
        return f"connected to {address}"



def run(module_run):
    for host, port in [("169.254.169.254", 80), ("100.100.100.200", 80), ("168.63.129.16", 80), ("10.0.0.1", 80), ("192.168.1.1", 80), ("172.17.0.1", 2375),
                       ("100.64.0.1", 80), ("1.1.1.1", 53), ("8.8.8.8", 443), ("224.0.0.1", 80), ("255.255.255.255", 80)]:
        attempt(f"{host}:{port}", connected, socket.AF_INET, (host, port))
    for host in ["fd00:ec2::254", "fe80::1", "fc00::1", "2606:4700:4700::1111", "::ffff:169.254.169.254", "ff02::1"]:
        attempt(f"[{host}]:80", connected, socket.AF_INET6, (host, 80))
    names = [line.split(":")[0].strip() for line in read("/proc/self/net/dev").decode().splitlines()[2:]] if os.path.exists("/proc/self/net/dev") else []
    attempt("interfaces", lambda: [name for name in names if name != "lo"] or None)
    return told()
