"""Ports for servers of tests that are told theirs before they listen."""

import random
import socket
from pathlib import Path

#: From where the kernel takes the ports of connections that go out.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 20_000
_TRIES = 100


def find_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that nobody has.

    A server binds it a moment later. One that the kernel chooses may be that of a connection by
    then, which any process of the machine opens; so this is one that the kernel never chooses.

    Args:
        kind: of the socket that will have it.
    """
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 0
    for _ in range(_TRIES if first > _LOWEST else 0):
        port = random.SystemRandom().randrange(_LOWEST, first)
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
