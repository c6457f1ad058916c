"""Packets of `why_flows`, in one namespace: a listener on some ports, or a sender of many flows.

It stands alone: `ip netns exec NAME python why_packets.py listen 80,443` answers until its standard
input is closed; `... send` reads flows as JSON and says of each whether it was answered.
"""

import errno
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

#: How long an answer is waited for, and after which time a datagram is sent anew; seconds.
LAST_S, AGAIN_S = 4.0, 0.8
_PKTINFO = 8  #: IP_PKTINFO, which Python names from 3.12 on
_MANY = 512


def listen(ports: list[int]) -> None:
    """Take connections and send datagrams back, from the address that they were sent to.

    Ports that somebody else has are said behind the word that it is ready.
    """
    poll, busy = selectors.DefaultSelector(), list[int]()
    for port in ports:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(("0.0.0.0", port))
        except OSError:  # somebody answers there already
            busy.append(port)
            tcp.close()
            continue
        tcp.listen(_MANY)
        poll.register(tcp, selectors.EVENT_READ, _accept)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        try:
            udp.bind(("0.0.0.0", port))
        except OSError:
            busy.append(port)
            udp.close()
            continue
        poll.register(udp, selectors.EVENT_READ, _echo)
    poll.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", *busy, flush=True)
    while True:
        for key, _ in poll.select():
            if key.data is None:
                if not os.read(0, 4096):
                    return
            else:
                key.data(key.fileobj)


def _accept(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.close()


def _echo(server: socket.socket) -> None:
    data, more, _, sender = server.recvmsg(2048, 256)
    for level, kind, info in more:
        if (level, kind) == (socket.IPPROTO_IP, _PKTINFO):
            # The interface is left to the routes; the source is where it was sent to.
            source = struct.pack("@i4s4s", 0, info[8:12], b"\0" * 4)
            try:
                server.sendmsg([data], [(level, kind, source)], 0, sender)
            except OSError:
                return


class Sender:
    """Sends flows at the same time, and notes which are answered."""

    def __init__(self, flows: list[dict[str, Any]]) -> None:
        self._poll = selectors.DefaultSelector()
        self._open: dict[int, Callable[[], None]] = {}  #: what is sent anew, by flow
        self.answers: dict[int, str] = {}
        self._raw: dict[str, socket.socket] = {}
        self._marks: dict[bytes, int] = {}
        for flow in flows:
            {"icmp": self._ping, "tcp": self._connect, "udp": self._send}[flow["protocol"]](flow)

    def go(self) -> None:
        """Send, wait and send anew until all are answered or the time is over."""
        end, again = time.monotonic() + LAST_S, 0.0
        while (now := time.monotonic()) < end and self._poll.get_map():
            if now >= again:
                for number, one in [*self._open.items()]:
                    if number not in self.answers:
                        one()
                again = now + AGAIN_S
            for key, _ in self._poll.select(max(0.0, min(again, end) - now)):
                key.data()

    def _ping(self, flow: dict[str, Any]) -> None:
        source = flow.get("source") or ""
        raw = self._raw.get(source)
        if raw is None:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            raw.setblocking(False)
            if source:
                raw.bind((source, 0))
            self._raw[source] = raw
            self._poll.register(raw, selectors.EVENT_READ, lambda: self._replies(raw))
        mark = os.urandom(12)
        self._marks[mark] = flow["id"]
        ident = flow["id"] % 65536
        bare = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + mark
        packet = bare[:2] + struct.pack("!H", _checksum(bare)) + bare[4:]
        self._open[flow["id"]] = lambda: _quietly(lambda: raw.sendto(packet, (flow["target"], 0)))

    def _replies(self, raw: socket.socket) -> None:
        try:
            data = raw.recv(2048)
        except OSError:
            return
        at = (data[0] & 15) * 4
        if data[at] == 0 and data[at + 8 : at + 20] in self._marks:
            self.answers[self._marks[data[at + 8 : at + 20]]] = "answered"

    def _connect(self, flow: dict[str, Any]) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.setblocking(False)
        if flow.get("source"):
            one.bind((flow["source"], 0))

        def came() -> None:
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code in (0, errno.ECONNREFUSED):
                self.answers[flow["id"]] = "answered" if code == 0 else "refused"
            self._poll.unregister(one)
            one.close()

        if one.connect_ex((flow["target"], flow["port"])) in (0, errno.EINPROGRESS):
            self._poll.register(one, selectors.EVENT_WRITE, came)

    def _send(self, flow: dict[str, Any]) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setblocking(False)
        one.bind((flow.get("source") or "0.0.0.0", 0))

        def came() -> None:
            try:
                if one.recv(2048):
                    self.answers[flow["id"]] = "answered"
            except ConnectionRefusedError:
                self.answers[flow["id"]] = "refused"
            except OSError:
                return

        if one.connect_ex((flow["target"], flow["port"])) == 0:
            self._poll.register(one, selectors.EVENT_READ, came)
            self._open[flow["id"]] = lambda: _quietly(lambda: one.send(b"flow"))


def _quietly(send: Callable[[], object]) -> None:
    try:
        send()
    except OSError:  # nobody is there: it was not answered
        return


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def run() -> None:
    """Listen, or send."""
    if sys.argv[1] == "listen":
        listen([int(one) for one in sys.argv[2].split(",")])
        return
    sender = Sender(json.load(sys.stdin))
    sender.go()
    json.dump(sender.answers, sys.stdout)


if __name__ == "__main__":
    run()
