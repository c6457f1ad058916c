"""Port create at a site, on a network stretched over two sites.

The named peer is a stock ML2/OVN server of the same version, in the same lab, on the same machine:
the same call, taken in turns with ours. Calls from the site to central are counted where they
arrive, as TCP segments with data to the APIs' ports; then all is measured again with a slow WAN.
"""

import argparse
import re
import time

from bench.ground import (
    Spread,
    api,
    await_shown,
    make_network,
    make_port,
    open_lab,
    say_machine,
)
from isthmus.lab.plan import KEYSTONE_PORT, NEUTRON_PORT
from isthmus.wiring.lab import OpenLab

TOPOLOGY = """
sites:
- {name: site1, hosts: 1}
- {name: site2, hosts: 1}
- {name: stock, hosts: 1, flavour: stock}
"""
TARGET_RATIO = 1.15
WARM_UP = 10


def watch_central(lab: OpenLab) -> None:
    """Count what site1 asks of central from now on."""
    site = lab.plan.get_site("site1")
    ports = f"{{ {KEYSTONE_PORT}, {NEUTRON_PORT} }}"
    script = (
        "table ip benchcount\ndelete table ip benchcount\ntable ip benchcount {\n"
        " chain input { type filter hook input priority 0; policy accept;\n"
        f"  ip saddr {site.subnet} tcp dport {ports} tcp flags & psh == psh counter\n }}\n}}\n"
    )
    lab.tools.run(["nft", "-f", "-"], netns=lab.plan.central.netns, stdin=script)


def read_central(lab: OpenLab) -> int:
    """Say how many requests (segments with data) have come since."""
    words = ["nft", "list", "table", "ip", "benchcount"]
    said = lab.tools.run(words, netns=lab.plan.central.netns).stdout
    found = re.search(r"counter packets (\d+)", said)
    assert found, said
    return int(found.group(1))


def round_of(lab: OpenLab, networks: dict[str, str], count: int) -> dict[str, Spread]:
    """Create ports at ours and at the peer in turns; who begins changes each time."""
    took: dict[str, list[float]] = {cloud: [] for cloud in networks}
    clouds = list(networks)
    for number in range(count):
        for cloud in clouds if number % 2 else reversed(clouds):
            began = time.perf_counter()
            make_port(lab, cloud, networks[cloud])
            took[cloud].append(time.perf_counter() - began)
    return {cloud: Spread.of(values) for cloud, values in took.items()}


def tell(title: str, found: dict[str, Spread], calls: int) -> None:
    ratio = found["site1"].median / found["stock"].median
    print(f"## {title}")
    print(f"site1 (ours, stretched): {found['site1']}")
    print(f"stock ML2/OVN:           {found['stock']}")
    print(f"ratio of medians: {ratio:.3f} (target <= {TARGET_RATIO})")
    print(f"requests from site1 to central meanwhile: {calls}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Port create, ours against stock.")
    parser.add_argument("--ports", type=int, default=100, help="a round and a server")
    parser.add_argument("--name", default="benchpc", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        stretched = make_network(lab, "central", "bench")
        networks = {"site1": stretched, "stock": make_network(lab, "stock", "bench")}
        for site in ("site1", "site2"):
            port = make_port(lab, site, stretched)
        await_shown(lab, "central", f"/v2.0/ports/{port['id']}")
        round_of(lab, networks, WARM_UP)
        measured = {}
        for title, rtt_ms in (("WAN as it is", 0), ("WAN with 100 ms round trip", 100)):
            lab.wan.delay(lab.plan.get_site("site1"), rtt_ms)
            watch_central(lab)
            measured[rtt_ms] = round_of(lab, networks, options.ports)
            tell(title, measured[rtt_ms], read_central(lab))
        slow = measured[100]["site1"].median / measured[0]["site1"].median
        peer = measured[100]["stock"].median / measured[0]["stock"].median
        print(f"## slow WAN over quick WAN: ours {slow:.3f}, stock {peer:.3f} (target: the same)")
        count = len(api(lab, "site1").get_all("port", network_id=stretched))
        print(f"# ports on the stretched network at the end: {count}")
    say_machine("after")
    return 0
