"""TCP throughput and round trip between two sites, against two hypervisors of one site.

The named peer is the path between two hypervisors of the same site, in the same lab: same Open
vSwitch, same tunnels, no WAN. Rounds are taken in turns.
"""

import argparse
import json
import re
import statistics
from dataclasses import dataclass

from bench.ground import make_network, open_lab, say_machine
from isthmus import errors
from isthmus.clients import process, shell
from isthmus.wiring.lab import OpenLab

TOPOLOGY = """
sites:
- {name: site1, hosts: 2}
- {name: site2, hosts: 1}
"""
TARGET_RATIO = 0.9
_IPERF_PORT = 5301
_PINGS = 100


@dataclass(frozen=True, slots=True)
class End:
    """A server that is spoken to."""

    netns: str
    address: str


def ping_ms(client: str, server: End) -> float:
    """Measure the average round trip, after one that warms the flows."""
    for count in ("3", str(_PINGS)):
        words = ["ping", "-n", "-q", "-i", "0.01", "-c", count, server.address]
        said = shell.run(words, netns=client).stdout
    found = re.search(r"= [\d.]+/([\d.]+)/", said)
    if found is None:
        raise errors.StepFailed(f"ping of {server.address} said: {said}")
    return float(found.group(1))


def mbits(client: str, server: End, seconds: int) -> float:
    """Measure what one TCP stream carries, at its receiver."""
    words = ["iperf3", "-J", "-c", server.address, "-p", str(_IPERF_PORT), "-t", str(seconds)]
    said = json.loads(shell.run(words, netns=client, timeout_s=seconds + 30).stdout)
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e6


def compare(
    client: str, paths: dict[str, End], *, rounds: int, seconds: int
) -> dict[str, tuple[float, float]]:
    """Measure every path in turns; gives medians of Mbit/s and of the round trip in ms."""
    speed: dict[str, list[float]] = {name: [] for name in paths}
    delay: dict[str, list[float]] = {name: [] for name in paths}
    names = list(paths)
    for number in range(rounds):
        for name in names if number % 2 else reversed(names):
            delay[name].append(ping_ms(client, paths[name]))
            speed[name].append(mbits(client, paths[name], seconds))
    return {
        name: (statistics.median(speed[name]), statistics.median(delay[name])) for name in paths
    }


def serve(lab: OpenLab, netns: str) -> None:
    """Start an iperf3 server; its process ends with its namespace's lab."""
    log = lab.plan.log_dir / f"{netns}.iperf3.log"
    words = ["iperf3", "-s", "-p", str(_IPERF_PORT)]
    process.spawn(words, netns=netns, log=log, env={"ISTHMUS_LAB": str(lab.plan.folder)})


def main() -> int:
    parser = argparse.ArgumentParser(description="Cross-site against same-site cross-host.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="a stream")
    parser.add_argument("--name", default="benchtp", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        network = make_network(lab, "central", "bench")
        rows = {
            name: lab.create_server(name=name, site=site, network=network, host=host)
            for name, site, host in (
                ("one", "site1", "h1"),
                ("beside", "site1", "h2"),
                ("far", "site2", "h1"),
            )
        }
        client = rows["one"]["netns"]
        ends = {
            name: End(rows[name]["netns"], rows[name]["addresses"][0]) for name in ("beside", "far")
        }
        lab.tools.run(
            ["ping", "-n", "-c", "1", "-w", "60", ends["far"].address], netns=client, timeout_s=90
        )
        # Both ends take rules of the default group: replies pass, and so does what one begins.
        for end in ends.values():
            serve(lab, end.netns)
        found = compare(client, ends, rounds=options.rounds, seconds=options.seconds)
    near, far = found["beside"], found["far"]
    print(f"same site, other host: {near[0]:.0f} Mbit/s, {near[1]:.3f} ms")
    print(f"other site:            {far[0]:.0f} Mbit/s, {far[1]:.3f} ms")
    print(f"ratio of throughput: {far[0] / near[0]:.3f} (target >= {TARGET_RATIO})")
    print(f"ratio of round trips (same site over other site): {near[1] / far[1]:.3f} (same target)")
    say_machine("after")
    return 0
