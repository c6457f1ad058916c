"""Sends packets, or looks out for them, where it runs, and says in JSON what came of it.

One file without anything of ours, so that a bare host can run it: `python3 packets.py KIND JSON`.
What it sends changes nothing: ARP, echo requests, an opened connection, DHCPDISCOVER (which offers
and binds nothing), a GET. It ends itself: by its deadline, or a second later by SIGALRM, whatever
has become of the one who started it.
"""

import contextlib
import errno
import fcntl
import http.client
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: What marks our packets, so that they are known again behind a translation or in a tunnel.
MARK = b"isthmus-"
_ETH_ALL = 0x0003
_ETH_ARP = 0x0806
_ETH_IP = {4: 0x0800, 6: 0x86DD}
_OUTGOING = 4  # PACKET_OUTGOING (linux/if_packet.h)
_TUNNELS = {6081: 8, 4789: 8}  # Geneve, VXLAN: port and length of the header without options
_PROTOCOLS = {6: "tcp", 17: "udp"}
#: How often a packet is sent anew; seconds.
_AGAIN_S = 0.5
#: How long further DHCP servers are listened for behind the first offer; seconds.
_OTHERS_S = 1.0

Words = Mapping[str, Any]


def address_info(address: str, port: int = 0) -> tuple[int, Any]:
    """Return the family of sockets of an address, and what they call it."""
    if ":" in address:
        return socket.AF_INET6, (address, port, 0, 0)
    return socket.AF_INET, (address, port)


def find_link(words: Words) -> tuple[str, bytes, str]:
    """Return the link that leads to an address: its name, its MAC, and our address on it."""
    family, target = address_info(words["target"], 9)
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        if words.get("source"):
            one.bind(address_info(words["source"])[1])
        one.connect(target)
        own = str(one.getsockname()[0])
    for _, name in socket.if_nameindex():
        if own in _addresses(name):
            return name, mac_of(name), own
    raise OSError(errno.ENODEV, f"no link has {own}")


def _addresses(name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("256s", name.encode()[:15])
        try:
            answer = fcntl.ioctl(one.fileno(), 0x8915, request)  # SIOCGIFADDR
        except OSError:
            return []
    return [socket.inet_ntoa(answer[20:24])]


def mac_of(name: str) -> bytes:
    """Return the MAC address of a link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("256s", name.encode()[:15])
        return fcntl.ioctl(one.fileno(), 0x8927, request)[18:24]  # SIOCGIFHWADDR


def repeat(send: Callable[[int], None], one: socket.socket, until: float) -> Iterator[Any]:
    """Send again and again until the deadline; gives what comes in meanwhile."""
    number, after = 0, 0.0
    while (now := time.monotonic()) < until:
        if now >= after:
            send(number)
            number, after = number + 1, now + _AGAIN_S
        ready, _, _ = select.select([one], [], [], max(0.0, min(after, until) - now))
        if ready:
            yield one.recvfrom(65535)


def probe_arp(words: Words, until: float) -> dict[str, Any]:
    """Ask who has an IPv4 address on the link."""
    link, mac, own = find_link(words)
    sender, target = socket.inet_aton(own), socket.inet_aton(words["target"])
    head = b"\xff" * 6 + mac + struct.pack("!H", _ETH_ARP)
    frame = head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + sender + b"\0" * 6 + target
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ARP)) as one:
        one.bind((link, _ETH_ARP))
        for data, _ in repeat(lambda _: _ignore(one.send(frame)), one, until):
            if data[20:22] == b"\0\2" and data[28:32] == target:
                return {
                    "state": "answered",
                    "said": f"{words['target']} is at {data[22:28].hex(':')}",
                }
    return {"state": "silent", "said": f"nobody says who has {words['target']} on {link}"}


def _ignore(_: object) -> None:
    """Drop a result."""


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def render_echo(family: int, ident: int, number: int, payload: bytes) -> bytes:
    """Write an echo request; the kernel fills in the checksum of ICMPv6.

    Args:
        family: version of IP.
        ident: by which answers are known.
        number: of the request.
        payload: what is to come back.
    """
    kind = 8 if family == 4 else 128
    bare = struct.pack("!BBHHH", kind, 0, 0, ident, number & 0xFFFF) + payload
    value = checksum(bare) if family == 4 else 0
    return bare[:2] + struct.pack("!H", value) + bare[4:]


def probe_ping(words: Words, until: float) -> dict[str, Any]:
    """Send echo requests until one is answered; of a certain size, and whole, if that is asked."""
    family, target = address_info(words["target"])
    version = 6 if family == socket.AF_INET6 else 4
    payload = MARK + str(words["token"]).encode()
    size = int(words.get("size") or 0)
    payload += b"\0" * max(0, size - len(payload) - (28 if version == 4 else 48))
    ident = os.getpid() & 0xFFFF
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    sent: dict[int, float] = {}
    with socket.socket(family, socket.SOCK_RAW, protocol) as one:
        if words.get("source"):
            one.bind(address_info(words["source"])[1])
        if size:
            level, name = (0, 10) if version == 4 else (41, 23)  # IP_MTU_DISCOVER, IPV6_...
            one.setsockopt(level, name, 3)  # IP_PMTUDISC_PROBE: whole, whatever the kernel knows

        def send(number: int) -> None:
            sent[number] = time.monotonic()
            _ignore(one.sendto(render_echo(version, ident, number, payload), target))

        for data, who in repeat(send, one, until):
            icmp = data[(data[0] & 15) * 4 :] if version == 4 else data
            if found := _read_icmp(version, icmp, payload, ident, str(who[0])):
                number = int(found.pop("number", 0))
                if found["state"] == "answered":
                    found["said"] += f" in {(time.monotonic() - sent[number]) * 1000:.1f} ms"
                return {**found, "sent": len(sent)}
    return {"state": "silent", "said": f"no answer to {len(sent)} requests", "sent": len(sent)}


def _read_icmp(
    version: int, icmp: bytes, payload: bytes, ident: int, who: str
) -> dict[str, Any] | None:
    kind, code = icmp[0], icmp[1]
    if kind == (0 if version == 4 else 129) and icmp[8:] == payload:
        number = struct.unpack("!H", icmp[6:8])[0]
        return {"state": "answered", "said": f"{who} answers", "number": number}
    ours = struct.pack("!H", ident)
    quoted = icmp[8:] if version == 4 else icmp[8 + 40 :]
    inner = quoted[(quoted[0] & 15) * 4 :] if version == 4 and quoted else quoted
    if len(inner) < 8 or inner[0] != (8 if version == 4 else 128) or inner[4:6] != ours:
        return None
    if (version, kind, code) == (4, 3, 4) or (version, kind) == (6, 2):
        return {"state": "too large", "said": f"{who} says that the packet is too large"}
    if kind in ((3, 11) if version == 4 else (1, 3)):
        return {"state": "unreachable", "said": f"{who} says: unreachable (type {kind}/{code})"}
    return None


def probe_tcp(words: Words, until: float) -> dict[str, Any]:
    """Open a connection, and close it."""
    family, target = address_info(words["target"], int(words["port"]))
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own = words.get("source") or ("::" if family == socket.AF_INET6 else "")
        one.bind(address_info(own, int(words.get("source_port") or 0))[1])
        one.settimeout(max(0.1, until - time.monotonic()))
        try:
            one.connect(target)
        except TimeoutError:
            return {"state": "silent", "said": "no answer to SYN"}
        except ConnectionRefusedError:
            return {"state": "refused", "said": "it was refused (RST)"}
    return {"state": "answered", "said": "the connection was opened"}


def probe_udp(words: Words, until: float) -> dict[str, Any]:
    """Send datagrams until there is an answer; of one that need not answer, none says nothing."""
    family, target = address_info(words["target"], int(words["port"]))
    payload = MARK + str(words["token"]).encode()
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        if words.get("source"):
            one.bind(address_info(words["source"])[1])
        one.connect(target)
        try:
            for _ in repeat(lambda _: _ignore(one.send(payload)), one, until):
                return {"state": "answered", "said": "it answers"}
        except ConnectionRefusedError:
            return {"state": "refused", "said": "nothing listens (port unreachable)"}
    return {"state": "silent", "said": "no answer; a service of UDP need not give one"}


def probe_dhcp(words: Words, until: float) -> dict[str, Any]:
    """Ask for an offer of an IPv4 address, and take none."""
    link, mac, _ = find_link(words)
    number = os.urandom(4)
    body = struct.pack("!BBBB4sHH", 1, 1, 6, 0, number, 0, 0x8000) + b"\0" * 16 + mac + b"\0" * 202
    body += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x03\x01\x03\x06" + b"\xff"
    datagram = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0,
                       b"\0" * 4, b"\xff" * 4)  # fmt: skip
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    frame = b"\xff" * 6 + mac + struct.pack("!H", _ETH_IP[4]) + head + datagram
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_IP[4])) as one:
        one.bind((link, _ETH_IP[4]))
        offers: dict[str, str] = {}  # by server
        for data, _ in repeat(lambda _: _ignore(one.send(frame)), one, until):
            if found := read_offer(data, number):
                offers[read_server(data)] = found
                break
        more = min(until, time.monotonic() + _OTHERS_S) if offers else 0.0
        for data, _ in repeat(lambda _: _ignore(one.send(frame)), one, more):
            if found := read_offer(data, number):
                offers[read_server(data)] = found
    if not offers:
        return {"state": "silent", "said": f"no offer on {link}"}
    if len(offers) == 1:
        return {"state": "answered", "said": f"offers {next(iter(offers.values()))}"}
    said = ", and ".join(f"{server} offers {address}" for server, address in offers.items())
    return {"state": "twice", "said": said}


def read_offer(frame: bytes, number: bytes) -> str:
    """Return the address that a frame offers to the transaction; empty if it offers none."""
    start = 14 + (frame[14] & 15) * 4 + 8 if len(frame) > 14 else 0
    body = frame[start:]
    offers = len(body) > 240 and body[0] == 2 and body[4:8] == number and frame[23] == 17
    return socket.inet_ntoa(body[16:20]) if offers else ""


def read_server(frame: bytes) -> str:
    """Return the address by which the server of an offer calls itself (RFC 2132, 9.7)."""
    options = frame[14 + (frame[14] & 15) * 4 + 8 + 240 :]
    while len(options) >= 2 and options[0] != 255:
        if options[0] == 0:
            options = options[1:]
            continue
        kind, size = options[0], options[1]
        if kind == 54 and size == 4 and len(options) >= 6:
            return socket.inet_ntoa(options[2:6])
        options = options[2 + size :]
    return "nobody"


def probe_metadata(words: Words, until: float) -> dict[str, Any]:
    """Ask the metadata service which versions it has."""
    host = str(words["target"])
    timeout = max(0.1, until - time.monotonic())
    one = http.client.HTTPConnection(host, 80, timeout=timeout)
    with contextlib.closing(one):
        try:
            one.request("GET", "/")
            answer = one.getresponse()
        except TimeoutError:
            return {"state": "silent", "said": "no answer"}
        except ConnectionRefusedError:
            return {"state": "refused", "said": "the connection was refused"}
    return {"state": "answered", "said": f"HTTP {answer.status}"}


def watch(words: Words, until: float) -> dict[str, Any]:
    """Look out on all links of the place for packets of one probe; say first that it does."""
    seen: dict[tuple[str, str, str, str, str], int] = {}
    token = MARK + str(words["token"]).encode()
    ports = {int(words["source_port"])} if words.get("source_port") else set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ALL)) as one:
        say("ready")
        stop = False
        while not stop and (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([one, sys.stdin], [], [], left)
            stop = sys.stdin in ready  # whoever started it says so, or is gone
            while one in select.select([one], [], [], 0)[0]:
                frame, (name, _, kind, *_) = one.recvfrom(65535)
                way = "out" if kind == _OUTGOING else "in"
                if known := recognise(frame, token, ports):
                    key = (name, way, *known, frame[:6].hex(":"))
                    seen[key] = seen.get(key, 0) + 1
                if time.monotonic() > until:
                    break
    rows = [dict(zip(("link", "way", "wrap", "kind", "to"), key, strict=True), count=count)
            for key, count in seen.items()]  # fmt: skip
    return {"state": "seen" if rows else "not seen", "seen": rows}


def recognise(frame: bytes, token: bytes, ports: set[int]) -> tuple[str, str] | None:
    """Tell whether a frame is a request or a reply of ours, and whether it is in a tunnel.

    Args:
        frame: an Ethernet frame.
        token: what is in the payload of our packets.
        ports: of TCP, from which we ask.
    """
    wrap, packet = "", _ip(frame)
    if packet and packet[0] == "udp" and packet[2] in _TUNNELS:
        head = packet[3][8:]
        options = (head[0] & 63) * 4 if packet[2] == 6081 and head else 0
        inner = _ip(head[_TUNNELS[packet[2]] + options :])
        wrap, packet = "tunnel", inner
    if packet is None:
        return None
    protocol, source, target, data = packet
    if protocol == "tcp" and ports & {source, target}:
        return wrap, "request" if source in ports else "reply"
    at = data.find(token)
    if at < 8 or protocol not in {"icmp", "udp"}:
        return None
    if protocol == "udp":
        return wrap, "request"
    if data[0] in {8, 128} and at == 8:
        return wrap, "request"
    return (wrap, "reply") if data[0] in {0, 129} and at == 8 else (wrap, "error")


def _ip(frame: bytes) -> tuple[str, int, int, bytes] | None:
    """Return protocol, ports and payload of an Ethernet frame; None where it is no IP."""
    kind, start = frame[12:14], 14
    while kind == b"\x81\x00":
        kind, start = frame[start + 2 : start + 4], start + 4
    packet = frame[start:]
    if kind == b"\x08\x00" and len(packet) >= 20:
        number, data = packet[9], packet[(packet[0] & 15) * 4 :]
    elif kind == b"\x86\xdd" and len(packet) >= 40:
        number, data = packet[6], packet[40:]
    else:
        return None
    if number in {1, 58} and len(data) >= 8:
        return "icmp", 0, 0, data
    if number not in _PROTOCOLS or len(data) < 8:
        return None
    source, target = struct.unpack("!HH", data[:4])
    return _PROTOCOLS[number], source, target, data


KINDS: Mapping[str, Callable[[Words, float], dict[str, Any]]] = {
    "arp": probe_arp,
    "ping": probe_ping,
    "tcp": probe_tcp,
    "udp": probe_udp,
    "dhcp": probe_dhcp,
    "metadata": probe_metadata,
    "watch": watch,
}


def say(line: str) -> None:
    """Write a line for whoever started this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(kind: str, text: str) -> None:
    """Do one thing and say what came of it."""
    words = json.loads(text)
    limit = float(words["limit_s"])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limit + 1)
    try:
        found = KINDS[kind](words, time.monotonic() + limit)
    except OSError as error:
        too_large = error.errno == errno.EMSGSIZE
        gone = error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}
        state = "too large" if too_large else "unreachable" if gone else "failed"
        found = {"state": state, "said": error.strerror or str(error)}
    say(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:3])
