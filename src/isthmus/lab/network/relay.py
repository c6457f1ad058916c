"""A slow wire in user space: packets go in at one end of a TUN device and come back later.

Run as `python -m isthmus.lab.network.relay DEVICE READY_FILE SUBNET=MS ...` in the WAN's namespace.
A packet waits for the delay of the subnet it comes from plus that of the subnet it goes to. Packets
of one pair stay in order, because the delay of a pair never changes while the relay runs.
"""

import fcntl
import heapq
import ipaddress
import itertools
import os
import select
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: ioctl TUNSETIFF and its flags (Source: linux/if_tun.h).
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MTU_BYTES = 65536
#: Packets that may wait at once: a full-size window of 200 ms at 1 Gbit/s and more.
_LIMIT = 20_000


@dataclass(slots=True)
class Queue:
    """Packets on their way; pure, so that it can be tested without a device."""

    delays: Mapping[ipaddress.IPv4Network, float]  #: seconds, one way
    _heap: list[tuple[float, int, bytes]] = field(default_factory=list)
    _counter: "itertools.count[int]" = field(default_factory=itertools.count)
    _known: dict[bytes, float] = field(default_factory=dict)

    def put(self, packet: bytes, now: float) -> None:
        """Queue a packet; over the limit it is dropped, as on a real link."""
        if len(self._heap) < _LIMIT:
            due = now + self.delay(packet)
            heapq.heappush(self._heap, (due, next(self._counter), packet))

    def due(self, now: float) -> bytes | None:
        """Pop the next packet that is due."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until a packet is due; None if none is queued."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def delay(self, packet: bytes) -> float:
        """Return a packet's delay, by its source and destination (bytes 12 to 20 of IPv4)."""
        ends = packet[12:20]
        if ends not in self._known:
            addresses = [ipaddress.IPv4Address(ends[:4]), ipaddress.IPv4Address(ends[4:])]
            self._known[ends] = sum(
                seconds
                for subnet, seconds in self.delays.items()
                for address in addresses
                if address in subnet
            )
        return self._known[ends]


def parse_delays(words: Sequence[str]) -> dict[ipaddress.IPv4Network, float]:
    """Read `SUBNET=MS` words; milliseconds one way become seconds."""
    pairs = (word.split("=") for word in words)
    return {ipaddress.IPv4Network(subnet): float(ms) / 1000 for subnet, ms in pairs}


def open_tun(name: str) -> int:
    """Make a TUN device that lives as long as this process."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return handle


def relay(handle: int, queue: Queue) -> None:
    """Carry packets until this process ends."""
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    while True:
        wait_s = queue.wait_s(time.monotonic())
        poller.poll(None if wait_s is None else wait_s * 1000)
        try:
            while True:
                queue.put(os.read(handle, _MTU_BYTES), time.monotonic())
                _send_due(handle, queue)
        except BlockingIOError:
            _send_due(handle, queue)


def _send_due(handle: int, queue: Queue) -> None:
    while packet := queue.due(time.monotonic()):
        try:
            os.write(handle, packet)
        except BlockingIOError:
            continue  # the device is full: the packet is lost, as on a real wire


def main(arguments: Sequence[str]) -> None:
    """Run as a command."""
    name, ready, *words = arguments
    handle = open_tun(name)
    queue = Queue(parse_delays(words))
    Path(ready).touch()
    relay(handle, queue)


if __name__ == "__main__":
    main(sys.argv[1:])
