"""A guest behind a VLAN of its server's port, where the kernel has no VLAN devices: raw frames.

`python tagged.py DEVICE TAG MAC ADDRESS` answers ARP requests for the address and echo requests to
it, tagged as they came, until it is ended. Nothing but the standard library.
"""

import socket
import struct
import sys

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_TAGGED = 0x8100
_ARP = 0x0806
_IP = 0x0800
_VALID = 1 << 4  # TP_STATUS_VLAN_VALID: the kernel has taken the tag out of the frame


def checksum(data: bytes) -> int:
    """Give the sum of RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(kind: int, frame: bytes, mac: bytes, address: bytes) -> bytes | None:
    """Give the payload that answers a frame, if it is for this guest."""
    body = frame[14:]
    if kind == _ARP and body[6:8] == b"\0\1" and body[24:28] == address:
        return body[:6] + b"\0\2" + mac + address + body[8:18]
    if kind == _IP and body[9] == 1 and body[16:20] == address:
        head = (body[0] & 15) * 4
        (length,) = struct.unpack("!H", body[2:4])
        echo = body[head:length]
        if echo[0] == 8:
            reply = b"\0\0\0\0" + echo[4:]
            reply = b"\0\0" + struct.pack("!H", checksum(reply)) + reply[4:]
            return body[:12] + address + body[12:16] + body[20:head] + reply
    return None


def serve(device: str, tag: int, mac: bytes, address: bytes) -> None:
    """Answer until the process is ended."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as wire:
        wire.bind((device, 0))
        wire.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            frame, aux, _, _ = wire.recvmsg(65535, socket.CMSG_SPACE(20))
            found = None
            for level, name, data in aux:
                if (level, name) == (_SOL_PACKET, _PACKET_AUXDATA):
                    status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
                    found = tci & 0xFFF if status & _VALID else None
            (kind,) = struct.unpack("!H", frame[12:14])
            if kind == _TAGGED:
                tci, kind = struct.unpack("!HH", frame[14:18])
                found, frame = tci & 0xFFF, frame[:12] + frame[16:]
            if found != tag:
                continue
            payload = answer(kind, frame, mac, address)
            if payload is not None:
                head = frame[6:12] + mac + struct.pack("!HHH", _TAGGED, tag, kind)
                wire.send(head + payload)


if __name__ == "__main__":
    serve(
        sys.argv[1],
        int(sys.argv[2]),
        bytes.fromhex(sys.argv[3].replace(":", "")),
        socket.inet_aton(sys.argv[4]),
    )
