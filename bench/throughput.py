"""TCP throughput and round trip between two sites, against two hypervisors of one site.

Two named peers: the path between two hypervisors of the same site, in the same lab (same Open
vSwitch, same tunnels, no WAN), and an OVN-IC transit switch (`bench.transit`). Rounds are taken in
turns.
"""

import argparse
import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from bench.ground import api, make_network, open_lab, say_machine
from bench.transit import guest_address, guest_netns, open_transit
from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.lab.opened import OpenLab

TOPOLOGY = """
sites:
- {name: site1, hosts: 2}
- {name: site2, hosts: 1}
"""
TARGET_RATIO = 0.9
NEAR, FAR, PEER = "same site, other host", "cross-site", "OVN-IC transit switch"
_IPERF_PORT = 5301
_PINGS = 100


@dataclass(frozen=True, slots=True)
class Path:
    """Two ends of one stream."""

    client: str  #: namespace
    server: str  #: namespace
    address: str  #: of the server


def ping_ms(path: Path) -> float:
    """Measure the average round trip, after one that warms the flows."""
    for count in ("3", str(_PINGS)):
        words = ["ping", "-n", "-q", "-i", "0.01", "-c", count, path.address]
        said = shell.run(words, netns=path.client).stdout
    found = re.search(r"= [\d.]+/([\d.]+)/", said)
    if found is None:
        raise errors.StepFailed(f"ping of {path.address} said: {said}")
    return float(found.group(1))


def mbits(path: Path, seconds: int) -> float:
    """Measure what one TCP stream carries, at its receiver."""
    words = ["iperf3", "-J", "-c", path.address, "-p", str(_IPERF_PORT), "-t", str(seconds)]
    said = json.loads(shell.run(words, netns=path.client, timeout_s=seconds + 30).stdout)
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e6


def compare(paths: dict[str, Path], *, rounds: int, seconds: int) -> dict[str, tuple[float, float]]:
    """Measure every path in turns; gives medians of Mbit/s and of the round trip in ms."""
    speed: dict[str, list[float]] = {name: [] for name in paths}
    delay: dict[str, list[float]] = {name: [] for name in paths}
    names = list(paths)
    for number in range(rounds):
        for name in names if number % 2 else reversed(names):
            delay[name].append(ping_ms(paths[name]))
            speed[name].append(mbits(paths[name], seconds))
    return {
        name: (statistics.median(speed[name]), statistics.median(delay[name])) for name in paths
    }


@contextlib.contextmanager
def serving(path: Path) -> Iterator[None]:
    """Run an iperf3 server at the far end."""
    words = ["iperf3", "-s", "-p", str(_IPERF_PORT)]
    quiet = subprocess.DEVNULL
    one = subprocess.Popen(shell.inside(path.server, words), stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        one.terminate()
        one.wait()


def plug_servers(lab: OpenLab) -> dict[str, Path]:
    """Make three servers of ours, and wait until packets pass from site to site."""
    network = make_network(lab, "central", "bench")
    places = (("one", "site1", "h1"), ("beside", "site1", "h2"), ("far", "site2", "h1"))
    group = open_group(lab)
    rows = {
        name: lab.create_server(
            name=name, site=site, network=network, host=host, security_groups=(group,)
        )
        for name, site, host in places
    }
    paths = {
        title: Path(rows["one"]["netns"], rows[name]["netns"], rows[name]["addresses"][0])
        for title, name in ((NEAR, "beside"), (FAR, "far"))
    }
    for path in paths.values():
        words = ["ping", "-n", "-c", "1", "-w", "60", path.address]
        shell.run(words, netns=path.client, timeout_s=90)
    return paths


def open_group(lab: OpenLab) -> str:
    """Make a security group that lets everything of IPv4 in; gives its id."""
    client = api(lab, "central")
    body = {"security_group": {"name": "bench"}}
    group = str(client.call("POST", "/v2.0/security-groups", body=body)["security_group"]["id"])
    rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4"}
    client.call("POST", "/v2.0/security-group-rules", body={"security_group_rule": rule})
    return group


def tell(found: dict[str, tuple[float, float]]) -> None:
    for name, (speed, delay) in found.items():
        print(f"{name + ':':42} {speed:8.0f} Mbit/s, {delay:.3f} ms")
    for peer in found:
        if peer != FAR:
            speed, delay = found[FAR][0] / found[peer][0], found[FAR][1] / found[peer][1]
            print(f"cross-site over {peer}: throughput {speed:.3f}, round trip {delay:.3f}")
    print(f"target: throughput at least {TARGET_RATIO} of the same site's; ahead of OVN-IC in both")


def main() -> int:
    parser = argparse.ArgumentParser(description="Cross-site throughput and round trip.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="a stream")
    parser.add_argument("--name", default="benchtp", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-bench-"))
        lab = stack.enter_context(open_lab(options.name, TOPOLOGY))
        stack.enter_context(open_transit(pathlib.Path(folder)))
        paths = plug_servers(lab)
        paths[PEER] = Path(guest_netns(1), guest_netns(2), guest_address(2))
        for path in paths.values():
            stack.enter_context(serving(path))
        tell(compare(paths, rounds=options.rounds, seconds=options.seconds))
    say_machine("after")
    return 0
