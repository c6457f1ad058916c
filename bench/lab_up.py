"""From the start of `lab up` to the first ping from site to site, and what the lab takes in memory.

The named peer is a lab of the same shape whose sites are plain ML2/OVN, each on its own, brought
up by the same code: the ratio says what being joined costs.
"""

import argparse
import os
import time

from bench.ground import Quiet, make_network, open_lab, say_machine
from isthmus.lab.topology import default_topology
from isthmus.wiring.lab import open_labs

TOPOLOGY = """
sites:
- {name: site1, hosts: 2}
- {name: site2, hosts: 2}
"""
TARGET_S = 60
TARGET_MIB = 3 * 1024


def measure_ours(name: str) -> tuple[float, float, float]:
    """Give seconds to `lab up`'s end, seconds to the first ping, and MiB then."""
    began = time.monotonic()
    with open_lab(name, TOPOLOGY) as lab:
        up = time.monotonic() - began
        network = make_network(lab, "central", "bench")
        lab.create_server(name="one", site="site1", network=network)
        other = lab.create_server(name="two", site="site2", network=network)
        code, said = lab.servers.run(
            "one", ["ping", "-n", "-c", "1", "-i", "0.2", "-w", "60", other["addresses"][0]], 90
        )
        assert code == 0, said
        return up, time.monotonic() - began, lab.summarise()["memory_mib"]


def measure_stock(name: str) -> tuple[float, float]:
    """Give seconds to the end of `lab up`, and MiB then."""
    labs = open_labs()
    began = time.monotonic()
    try:
        lab = labs.up(name, default_topology(2, 2), reporter=Quiet(), stock=True)
        return time.monotonic() - began, lab.summarise()["memory_mib"]
    finally:
        labs.down(name)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and memory of a lab.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="benchup", help="of the lab")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    say_machine("before")
    with open_lab(options.name, TOPOLOGY):
        pass  # templates of databases, made once per machine
    for number in range(options.rounds):
        up, ping, memory = measure_ours(options.name)
        stock_up, stock_memory = measure_stock(options.name)
        print(
            f"round {number + 1}: ours up {up:.1f} s, first ping {ping:.1f} s (target {TARGET_S}),"
            f" {memory:.0f} MiB (target {TARGET_MIB}); stock up {stock_up:.1f} s,"
            f" {stock_memory:.0f} MiB; ratio up {up / stock_up:.2f},"
            f" memory {memory / stock_memory:.2f}",
            flush=True,
        )
    say_machine("after")
    return 0
