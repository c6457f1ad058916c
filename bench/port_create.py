"""Port create at a site, on a network stretched over two sites.

The named peer is a stock ML2/OVN server of the same version, in the same lab, on the same machine:
the same call, taken in turns with ours. Calls from the site to central are read off the wire where
they arrive, by path: reports are sent afterwards by a thread of their own, and so is the question
for the next block of addresses or keys, long before the last one is full (a create that found its
block full would ask by itself, and with a slow WAN be seen as the slowest); anything else would be
a call that a port create waits for. Then all is measured again with a slow WAN. With `--routers`
and `--floating` both have as many routers and floating IPs around the network.
"""

import argparse
import contextlib
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

from bench.ground import (
    Spread,
    api,
    await_shown,
    make_network,
    make_port,
    open_lab,
    say_machine,
)
from bench.router import Side
from bench.surroundings import surround
from isthmus.clients.machine import shell
from isthmus.lab.opened import OpenLab
from isthmus.lab.plan import KEYSTONE_PORT, NEUTRON_PORT

TOPOLOGY = """
sites:
- {name: site1, hosts: 1}
- {name: site2, hosts: 1}
- {name: stock, hosts: 1, flavour: stock}
"""
TARGET_RATIO = 1.15
WARM_UP = 10
_REQUEST = re.compile(r"(?:GET|POST|PUT|DELETE) (/\S*) HTTP")
#: What a site sends to central from threads of its own, so that nobody waits for it.
_BESIDE = {
    "/v2.0/site-reports": "reports",
    "/v2.0/site-lease-requests": "refills of leases",
    "/v2.0/site-registrations": "registrations",
    "/v2.0/extensions/isthmus": "looks whether central answers",
}


@contextlib.contextmanager
def watching_central(lab: OpenLab) -> Iterator[Counter[str]]:
    """Count by path what site1 asks of central's APIs; whole once the block has ended."""
    site, counted = lab.plan.get_site("site1"), Counter[str]()
    wanted = f"src net {site.subnet} and tcp and (dst port {KEYSTONE_PORT} or {NEUTRON_PORT})"
    words = ["tcpdump", "-i", "any", "-l", "-n", "-A", "-s", "200", wanted]
    one = subprocess.Popen(
        shell.inside(lab.plan.central.netns, words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert one.stderr is not None
    for line in one.stderr:  # it says so when it listens
        if "listening on" in line:
            break
    try:
        yield counted
    finally:
        one.terminate()
        said, _ = one.communicate()
        counted.update(path.split("?")[0] for path in _REQUEST.findall(said))


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


def tell(title: str, found: dict[str, Spread], calls: Counter[str]) -> None:
    ratio = found["site1"].median / found["stock"].median
    print(f"## {title}")
    print(f"site1 (ours, stretched): {found['site1']}")
    print(f"stock ML2/OVN:           {found['stock']}")
    print(f"ratio of medians: {ratio:.3f} (target <= {TARGET_RATIO})")
    beside = {name: calls.pop(path, 0) for path, name in _BESIDE.items()}
    print(
        f"calls to central that a create waits for: {calls.total()} {dict(calls) or ''} (target 0)"
    )
    sent = ", ".join(f"{count} {name}" for name, count in beside.items())
    print(f"sent beside, by threads of their own: {sent}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Port create, ours against stock.")
    parser.add_argument("--ports", type=int, default=100, help="a round and a server")
    parser.add_argument("--routers", type=int, default=0, help="around it, at either")
    parser.add_argument("--floating", type=int, default=0, help="IPs at those routers")
    parser.add_argument("--name", default="benchpc", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        stretched = make_network(lab, "central", "bench")
        networks = {"site1": stretched, "stock": make_network(lab, "stock", "bench")}
        for site in ("site1", "site2"):
            port = make_port(lab, site, stretched)
        await_shown(lab, "central", f"/v2.0/ports/{port['id']}")
        if options.routers:
            for cloud, site in (("central", "site1"), ("stock", "stock")):
                network = networks[site]
                surround(Side(lab, cloud), site, network, options.routers, options.floating)
            print(f"# around it: {options.routers} routers, {options.floating} floating IPs")
        round_of(lab, networks, WARM_UP)
        measured = {}
        for title, rtt_ms in (("WAN as it is", 0), ("WAN with 100 ms round trip", 100)):
            lab.wan.delay(lab.plan.get_site("site1"), rtt_ms)
            with watching_central(lab) as calls:
                measured[rtt_ms] = round_of(lab, networks, options.ports)
            tell(title, measured[rtt_ms], calls)
        slow = measured[100]["site1"].median / measured[0]["site1"].median
        peer = measured[100]["stock"].median / measured[0]["stock"].median
        print(f"## slow WAN over quick WAN: ours {slow:.3f}, stock {peer:.3f} (target: the same)")
        count = len(api(lab, "site1").get_all("port", network_id=stretched))
        print(f"# ports on the stretched network at the end: {count}")
    say_machine("after")
    return 0
