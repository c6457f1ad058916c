"""What passes through a host's data path: rates, drops and cycles from counters read twice.

The switch counts everything itself, so a measurement is two readings and a subtraction. Packets are
read from the datapath, since the database has counters of some seconds ago; what a card missed is
only there, so the second reading is repeated until the database has caught up. Where the packets
come from (a generator, or real traffic) does not matter to it. The generator is iperf3 and
the latency is ping's: both are in every distribution. What they can show is bounded by the kernel
they run on; line rate needs a hardware or DPDK generator (TRex, MoonGen) in front of the host, and
this module then only reads.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.facts.host import ovs
from isthmus.facts.script import render_functions

_THREAD = re.compile(r"^pmd thread numa_id (\d+) core_id (\d+):")
_COUNTER = re.compile(r"^\s+([a-z][a-z .]+[a-z]):\s+([\d.]+)")
_PING = re.compile(r"time=([\d.]+) ms")
_PORT = re.compile(r"^\s+port \d+: (\S+)")
_PACKETS = re.compile(r"^\s+(RX|TX) packets:(\d+|\?) errors:\S+ dropped:(\d+|\?)")
DROPS = ("rx_dropped", "tx_dropped")
MISSED = "rx_missed_errors"
SMALLEST = 64  #: bytes of UDP payload are not bytes on the wire; said where it is reported


@dataclass(frozen=True, slots=True)
class PortRate:
    """One port between two readings."""

    name: str
    rx_pps: float
    tx_pps: float
    dropped_pps: float


@dataclass(frozen=True, slots=True)
class PmdRate:
    """One PMD thread between two readings."""

    cpu: int
    numa: int
    packets_pps: float
    cycles_per_packet: float | None  #: None where nothing passed
    busy_pct: float | None


@dataclass(frozen=True, slots=True)
class Generated:
    """What the generator saw."""

    sent_pps: float
    received_pps: float
    lost_pct: float
    latency_p50_us: float | None
    latency_p99_us: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """The data path between two readings."""

    seconds: float
    ports: tuple[PortRate, ...]
    pmds: tuple[PmdRate, ...]
    generated: Generated | None = None


def render_reading() -> str:
    """Write the script that reads the counters once, with the time at which it did."""
    # $X is what runs a command of Open vSwitch's where that is in a container.
    live = "$X ovs-appctl --timeout=10 dpctl/show -s"
    stats = "$X ovs-appctl --timeout=5 dpif-netdev/pmd-stats-show"
    rows = "$X ovs-vsctl --timeout=10 --format=json --columns=name,type,statistics list Interface"
    lines = [render_functions(), "find_layout", "cut -d' ' -f1 /proc/uptime"]
    for command in (live, stats, rows):
        lines += [f"{command} || exit 3", "echo '# next'"]
    return "\n".join(lines) + "\n"


def render_generator(address: str, *, seconds: int, port: int, payload: int = SMALLEST) -> str:
    """Write the script that sends UDP to an iperf3 server and pings it meanwhile.

    Args:
        address: of the server.
        seconds: how long to send.
        port: of the server.
        payload: bytes in each datagram.
    """
    to = shlex.quote(address)
    return (
        "command -v iperf3 >/dev/null || { echo 'iperf3 is not installed' >&2; exit 3; }\n"
        "f=$(mktemp) || exit 3; trap 'rm -f \"$f\"' EXIT\n"
        f'ping -n -i 0.05 -c {seconds * 20} -w {seconds + 2} {to} >"$f" 2>&1 & p=$!\n'
        "iperf3 -J --connect-timeout 5000 "
        f"-u -b 0 -l {payload} -t {seconds} -p {port} -c {to} || {{ kill $p; exit 3; }}\n"
        "wait $p\necho '# ping'\ncat \"$f\"\n"
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment."""

    at_s: float
    ports: Mapping[str, Mapping[str, int]]  #: of the datapath, now
    pmds: Mapping[tuple[int, int], Mapping[str, float]]
    recorded: Mapping[str, Mapping[str, int]]  #: of the database, some seconds ago


def parse_reading(text: str) -> Reading:
    """Read what `render_reading`'s script wrote.

    Raises:
        ProtocolError: it is something else.
    """
    head, _, rest = text.partition("\n")
    parts = rest.split("# next\n")
    try:
        at_s = float(head)
        live, stats, interfaces = parts[0], parts[1], ovs.parse_interfaces(parts[2])
    except (ValueError, IndexError) as exc:
        raise errors.ProtocolError("this is no reading of counters") from exc
    pmds: dict[tuple[int, int], dict[str, float]] = {}
    current: dict[str, float] = {}
    for line in stats.splitlines():
        if match := _THREAD.match(line):
            current = pmds.setdefault((int(match[2]), int(match[1])), {})
        elif line and not line[0].isspace():
            current = {}  # the main thread, which is no PMD
        elif counter := _COUNTER.match(line):
            current[counter[1]] = float(counter[2])
    recorded = {one.name: one.statistics for one in interfaces}
    return Reading(at_s, _parse_ports(live), pmds, recorded)


def _parse_ports(text: str) -> dict[str, dict[str, int]]:
    """Read `dpctl/show -s`; what a port does not count is a question mark there."""
    found: dict[str, dict[str, int]] = {}
    current: dict[str, int] = {}
    for line in text.splitlines():
        if match := _PORT.match(line):
            current = found.setdefault(match[1], {})
        elif match := _PACKETS.match(line):
            way = match[1].lower()
            for key, value in ((f"{way}_packets", match[2]), (f"{way}_dropped", match[3])):
                current[key] = int(value) if value != "?" else 0
    return found


def has_caught_up(reading: Reading, later: Reading) -> bool:
    """Tell whether the database of a later reading has what the datapath had counted before."""
    return all(
        later.recorded[name].get("rx_packets", 0) >= counters.get("rx_packets", 0)
        for name, counters in reading.ports.items()
        if name in later.recorded
    )


def compare(before: Reading, after: Reading) -> Measurement:
    """Make rates of two readings.

    Raises:
        Inconsistent: the second is not after the first: the host was booted in between.
    """
    seconds = after.at_s - before.at_s
    if seconds <= 0:
        raise errors.Inconsistent("the host was booted while it was measured")
    ports = [
        PortRate(
            name,
            _rate(before.ports.get(name, {}), counters, ("rx_packets",), seconds),
            _rate(before.ports.get(name, {}), counters, ("tx_packets",), seconds),
            _rate(before.ports.get(name, {}), counters, DROPS, seconds)
            + _rate(
                before.recorded.get(name, {}), after.recorded.get(name, {}), (MISSED,), seconds
            ),
        )
        for name, counters in sorted(after.ports.items())
    ]
    pmds = [
        _pmd(key, before.pmds.get(key, {}), now, seconds) for key, now in sorted(after.pmds.items())
    ]
    return Measurement(seconds, tuple(ports), tuple(pmds))


def _rate(
    before: Mapping[str, int], after: Mapping[str, int], names: Sequence[str], seconds: float
) -> float:
    return sum(max(0, after.get(name, 0) - before.get(name, 0)) for name in names) / seconds


def _pmd(
    key: tuple[int, int], before: Mapping[str, float], after: Mapping[str, float], seconds: float
) -> PmdRate:
    def grown(name: str) -> float:
        return max(0.0, after.get(name, 0.0) - before.get(name, 0.0))

    packets = grown("packets received")
    busy, idle = grown("processing cycles"), grown("idle cycles")
    return PmdRate(
        cpu=key[0],
        numa=key[1],
        packets_pps=packets / seconds,
        cycles_per_packet=busy / packets if packets else None,
        busy_pct=100 * busy / (busy + idle) if busy + idle else None,
    )


def parse_generated(text: str) -> Generated:
    """Read what the generator's script wrote.

    Raises:
        ProtocolError: iperf3 gave no result.
    """
    report, _, pings = text.partition("# ping\n")
    body: Any = {}
    try:
        body = json.loads(report)
        end = body["end"]
        total = end["sum"]
        sent = float(end.get("sum_sent", total)["packets"])
        seconds = float(total["seconds"]) or 1.0
        lost = float(total["lost_percent"])
    except (ValueError, KeyError, TypeError) as exc:
        said = body.get("error", "") if isinstance(body, dict) else ""
        raise errors.ProtocolError(f"iperf3 gave no result{': ' if said else ''}{said}") from exc
    times = sorted(float(one) * 1000 for one in _PING.findall(pings))
    return Generated(
        sent_pps=sent / seconds,
        received_pps=sent / seconds * (1 - lost / 100),
        lost_pct=lost,
        latency_p50_us=_percentile(times, 50),
        latency_p99_us=_percentile(times, 99),
    )


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None
