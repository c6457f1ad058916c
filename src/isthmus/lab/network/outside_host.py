"""A host outside: answers HTTP with who is calling, so that what a packet's source became is seen.

Run as `python -m isthmus.lab.network.outside_host NAME` in an outside namespace. It listens on
port 80 of every address, of IPv4 and of IPv6.
"""

import http.server
import ipaddress
import socket
import sys

from typing_extensions import override

PORT = 80


def say(name: str, caller: str, port: int, called: str) -> str:
    """Write what a caller is answered.

    Args:
        name: of the outside.
        caller: address of the caller as it arrived.
        port: of the caller.
        called: address that was called.
    """
    return f"{name}: {_plain(caller)} port {port} called {_plain(called)}\n"


def _plain(address: str) -> str:
    """Return an IPv4 address that came through an IPv6 socket as IPv4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    name = ""

    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        address, port = self.client_address[:2]
        called = self.connection.getsockname()[0]
        body = say(self.server.name, address, port, called).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(name: str) -> None:
    """Serve until it is killed."""
    server = _Server(("::", PORT), _Handler)
    server.name = name
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
