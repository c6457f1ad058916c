"""TCP throughput and round trip over a router: to another site, and out by another site's exit.

Named peers, in the same lab and in turns: two hypervisors of a site over the same router, and the
local exit of the site that has it. Both paths of a pair have as many hypervisors on the way.
"""

import argparse
import contextlib

from bench.ground import open_lab, say_machine
from bench.router import Side, four
from bench.throughput import TARGET_RATIO, Path, compare, open_group, serving
from isthmus.clients.machine import shell

TOPOLOGY = """
sites:
- {name: site1, hosts: 2, gateways: 1}
- {name: site2, hosts: 1, gateways: 0}
"""
NEAR, FAR = "routed within the site, other hypervisor", "routed to the other site"
LOCAL, TRANSIT = "out by the site's own exit", "out by the exit of the other site"
#: What is measured, and its named peer.
PAIRS = {FAR: NEAR, TRANSIT: LOCAL}


def prepare(side: Side) -> dict[str, Path]:
    """Make a router with two networks and an exit at site1, and servers; wait for packets."""
    side.router = side.make("router", name="bench")
    group = open_group(side.lab)
    networks = {}
    for number, name in enumerate(("asks", "answers")):
        networks[name], subnet = side.network(name, f"10.{61 + number}.0.0/24")
        side.interface("add", subnet)
    side.leave("site1", ["site1"])
    places = {
        "one": ("asks", "site1", "h1"),
        "beside": ("answers", "site1", "h2"),
        "far": ("answers", "site2", "h1"),
    }
    rows = {
        name: side.lab.create_server(
            name=name, site=site, network=networks[network], host=host, security_groups=(group,)
        )
        for name, (network, site, host) in places.items()
    }
    outside = side.lab.outside.get("site1").netns
    host = next(
        address
        for row in side.lab.outside.list_rows()
        if row["site"] == "site1" and row["type"] == "flat"
        for address in row["hosts"]
        if ":" not in address
    )
    paths = {
        NEAR: Path(rows["one"]["netns"], rows["beside"]["netns"], four(rows["beside"])),
        FAR: Path(rows["one"]["netns"], rows["far"]["netns"], four(rows["far"])),
        LOCAL: Path(rows["beside"]["netns"], outside, host),
        TRANSIT: Path(rows["far"]["netns"], outside, host),
    }
    for path in paths.values():
        words = ["ping", "-n", "-c", "1", "-w", "60", path.address]
        shell.run(words, netns=path.client, timeout_s=90)
    return paths


def tell(found: dict[str, tuple[float, float]]) -> None:
    """Print what was measured, and each path over its peer."""
    for name, (speed, delay) in found.items():
        print(f"{name + ':':42} {speed:8.0f} Mbit/s, {delay:.3f} ms")
    for name, peer in PAIRS.items():
        speed, delay = found[name][0] / found[peer][0], found[peer][1] / found[name][1]
        print(f"{name} over {peer}: throughput {speed:.3f}, round trip {delay:.3f} as quick")
    print(f"target of the first: at least {TARGET_RATIO} in both")


def main() -> int:
    parser = argparse.ArgumentParser(description="Routed throughput and round trip.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="a stream")
    parser.add_argument("--name", default="benchrd", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(open_lab(options.name, TOPOLOGY))
        paths = prepare(Side(lab, "central"))
        for path in {path.server: path for path in paths.values()}.values():
            stack.enter_context(serving(path))
        tell(compare(paths, rounds=options.rounds, seconds=options.seconds))
    say_machine("after")
    return 0
