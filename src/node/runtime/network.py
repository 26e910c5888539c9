"""Says why there is no network, where a module does not ask the node's proxy for it. Standard library only.

The node's proxy tells a run's log what it refuses. What goes past it (raw sockets, DNS, a library that does not look at
`HTTPS_PROXY`) just fails: this says so once for each place, with what to do about it.
"""

import errno
import functools
import socket
import sys

from napt_sdk import after_import

# How an attempt fails where there is no way.
NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL}

# Ports of a host that is named without one.
PORTS = (443, 80)

# Places that are told of.
MAX_TOLD = 100

# Gives the module and its hosts of the run that asks; none outside of runs.
rules_of_run = lambda: None  # noqa: E731 - it is replaced


def enter(rules):
    """From now on this process is a run of a module with these rules."""
    global rules_of_run
    rules_of_run = lambda: rules  # noqa: E731 - as above


def is_named(rules, host, port):
    for pattern in rules["hosts"]:
        name, _, own = pattern.partition(":")
        ports = (int(own),) if own else PORTS
        is_it = host.endswith(name[1:]) and len(host) >= len(name) if name.startswith("*.") else host == name
        if is_it and (port is None or port in ports):
            return True
    return False


def reason(rules, host, port):
    import ipaddress  # here, so that those who never fail do not pay for it

    place = host if port is None else f"{host}:{port}"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if is_named(rules, host, port):
            return f"`{place}` is reached through the proxy in `HTTPS_PROXY` only, which was not asked"
        entry = host if port in (None, *PORTS) else place
        return f'`{place}` is not in `[permissions] hosts` of {rules["module"]}: add `hosts = ["{entry}"]`'
    if address.is_loopback:
        return f"`{place}` is this machine, of which a module reaches its node only"
    return f"`{place}` is an address; a module reaches hosts by the names in its `[permissions] hosts`, through the proxy in `HTTPS_PROXY`"


def tell(host, port):
    try:
        host = host.decode() if isinstance(host, bytes) else str(host)
        host = host.lower().rstrip(".")
        port = int(port) if port else None
        rules = rules_of_run()
        if rules is None or not host:
            return
        told = rules.setdefault("told", set())
        if (host, port) in told or len(told) >= MAX_TOLD:
            return
        told.add((host, port))
        print(f"napt: {reason(rules, host, port)}", file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001 - the attempt's own error matters, not this
        pass


def explained(original):
    """A method of sockets that connects, with its failures told."""

    @functools.wraps(original)
    def method(self, *args):
        try:
            return original(self, *args)
        except OSError as error:
            address = args[-1] if args else None
            if error.errno in NO_WAY and isinstance(address, tuple) and len(address) >= 2:
                tell(*address[:2])
            raise

    return method


def install():
    """For all sockets of Python from now on."""
    look_up = socket.getaddrinfo

    @functools.wraps(look_up)
    def getaddrinfo(host, port, *args, **kwargs):
        try:
            return look_up(host, port, *args, **kwargs)
        except socket.gaierror:
            tell(host, port if isinstance(port, int) else None)
            raise

    socket.getaddrinfo = getaddrinfo
    socket.socket.connect = explained(socket.socket.connect)
    socket.socket.sendto = explained(socket.socket.sendto)


@after_import("aiohttp.client")
def ask_the_proxy(module):
    """aiohttp looks at `HTTPS_PROXY` only where it is told to."""
    original = module.ClientSession.__init__

    @functools.wraps(original)
    def __init__(self, *args, **kwargs):
        kwargs.setdefault("trust_env", True)
        original(self, *args, **kwargs)

    module.ClientSession.__init__ = __init__
