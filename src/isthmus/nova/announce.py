"""Say on a link where its owner is now, as QEMU does when a machine has arrived.

Run as `python -m isthmus.nova.announce LINK MAC` in the namespace of the guest. It is a request of
reverse ARP (RFC 903): OVN holds a port's packets back at a second hypervisor until it hears one.
"""

import socket
import struct
import sys

_REVERSE_ARP = 0x8035
_REQUEST = 3
_SHORTEST = 60


def render_request(mac: str) -> bytes:
    """Write the frame."""
    own = bytes.fromhex(mac.replace(":", ""))
    nobody = bytes(4)
    fixed = struct.pack("!HHBBH", 1, 0x0800, len(own), len(nobody), _REQUEST)
    frame = b"\xff" * 6 + own + struct.pack("!H", _REVERSE_ARP) + fixed
    return (frame + own + nobody + own + nobody).ljust(_SHORTEST, b"\0")


def run() -> None:
    """Run as a command."""
    link, mac = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((link, 0))
        out.send(render_request(mac))


if __name__ == "__main__":
    run()
