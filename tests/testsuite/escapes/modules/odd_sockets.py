"""Makes sockets of kinds that reach the machine, its kernel or the wire."""


def run(module_run):
    for name, family, kind, protocol in [
        ("packet", 17, socket.SOCK_RAW, 0x300), ("packet datagram", 17, socket.SOCK_DGRAM, 0x300), ("raw ICMP", 2, socket.SOCK_RAW, 1), ("raw", 2, socket.SOCK_RAW, 255),
        ("ping", 2, socket.SOCK_DGRAM, 1), ("raw IPv6", 10, socket.SOCK_RAW, 58), ("netlink route", 16, socket.SOCK_RAW, 0), ("netlink netfilter", 16, socket.SOCK_RAW, 12),
        ("netlink audit", 16, socket.SOCK_RAW, 9), ("netlink events", 16, socket.SOCK_DGRAM, 15), ("vsock", 40, socket.SOCK_STREAM, 0), ("kernel crypto", 38, socket.SOCK_SEQPACKET, 0),
        ("bluetooth", 31, socket.SOCK_RAW, 1), ("CAN", 29, socket.SOCK_RAW, 1), ("TIPC", 30, socket.SOCK_RDM, 0), ("XDP", 44, socket.SOCK_RAW, 0), ("RDS", 21, socket.SOCK_SEQPACKET, 0),
        ("X.25", 9, socket.SOCK_SEQPACKET, 0), ("key management", 15, socket.SOCK_RAW, 2), ("SMC", 43, socket.SOCK_STREAM, 0), ("KCM", 41, socket.SOCK_DGRAM, 0), ("MPTCP by a datagram", 2, socket.SOCK_DGRAM, 262),
        ("SCTP", 2, socket.SOCK_SEQPACKET, 132), ("UDP lite", 2, socket.SOCK_DGRAM, 136), ("DCCP", 2, 6, 33),
    ]:
        attempt(name, lambda: socket.socket(family, kind, protocol).close() or "made")
    return told()
