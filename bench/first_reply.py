"""From a port being ACTIVE at one site to the first reply from a server at the other.

The named peer is the same port seen from the other hypervisor of its own site, by the same ping:
what is more is the road over central. Each port is plugged as a server's is, with its address set
by hand (DHCP would be measured too otherwise), and its server pings both until they answer.

A neighbour that does not answer is asked again after 50 ms, not after the kernel's second:
otherwise the kernel's clock would be what is measured.
"""

import argparse
import contextlib
import ipaddress
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from bench.ground import CIDR, PATIENCE_S, Spread, api, make_network, open_lab, say_machine
from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.lab.opened import OpenLab

TOPOLOGY = """
sites:
- {name: site1, hosts: 2}
- {name: site2, hosts: 1}
"""
TARGET_MEDIAN_S, TARGET_P99_S = 1.0, 3.0
NEIGHBOUR_MS = 50
_PING_S = 0.02
_REPLY = re.compile(rb"^\[(\d+\.\d+)\] \d+ bytes from", re.MULTILINE)


@contextlib.contextmanager
def plugged(lab: OpenLab, host_name: str, port: Any, netns: str) -> Iterator[None]:
    """Plug a port into a hypervisor with its address set, and take it out again."""
    host = lab.plan.get_hypervisor(host_name)
    tap, run = f"tap{port['id'][:11]}", shell.run
    vsctl = ["ovs-vsctl", f"--db=unix:{lab.plan.host_dir(host)}/db.sock", "--timeout=30"]
    length = ipaddress.ip_network(CIDR).prefixlen
    address = f"{port['fixed_ips'][0]['ip_address']}/{length}"
    run(["ip", "netns", "add", netns])
    try:
        run(
            ["ip", "-batch", "-"],
            stdin=f"link add eth0 address {port['mac_address']} mtu 1400 netns {netns} type veth "
            f"peer name {tap} netns {host.netns}",
        )
        inside = f"link set lo up\nlink set eth0 up\naddr add {address} dev eth0\n"
        run(["ip", "-batch", "-"], netns=netns, stdin=inside)
        run(["ethtool", "-K", "eth0", "tx", "off"], netns=netns)
        hurry(netns)
        run(["ip", "link", "set", tap, "up"], netns=host.netns)
        ids = [f"external_ids:iface-id={port['id']}", "external_ids:iface-status=active"]
        mac = f'external_ids:attached-mac="{port["mac_address"]}"'
        run([*vsctl, "add-port", "br-int", tap, "--", "set", "Interface", tap, *ids, mac])
        yield
    finally:
        run([*vsctl, "--if-exists", "del-port", "br-int", tap], check=False)
        run(["ip", "netns", "delete", netns])


def hurry(netns: str) -> None:
    """Ask silent neighbours again sooner than after a second."""
    key = f"net.ipv4.neigh.eth0.retrans_time_ms={NEIGHBOUR_MS}"
    shell.run(["sysctl", "-qw", key], netns=netns)


@contextlib.contextmanager
def pinging(netns: str, address: str) -> Iterator[list[float]]:
    """Ping until the block ends; what it gives then holds the time of the first reply."""
    # With a deadline of its own ping would end at the first address that cannot be resolved yet.
    words = ["ping", "-n", "-D", "-i", str(_PING_S), address]
    words = shell.inside(netns, words)
    # A neighbour that does not answer is said on standard error, fifty times a second.
    one = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    first: list[float] = []
    late = threading.Timer(PATIENCE_S, one.kill)
    late.start()
    try:
        yield first
        assert one.stdout is not None
        said = b""
        while not (found := _REPLY.search(said)):
            chunk = one.stdout.read(4096)
            if not chunk:
                raise errors.TimedOut(f"no reply from {address}: {said[-200:]!r}")
            said += chunk
        first.append(float(found.group(1)))
    finally:
        late.cancel()
        one.kill()
        one.wait()


def await_active(lab: OpenLab, port_id: str) -> float:
    """Wait until the site says ACTIVE; gives the time at which it was asked."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        asked = time.time()
        port = api(lab, "site1").call("GET", f"/v2.0/ports/{port_id}")["port"]
        if port["status"] == "ACTIVE":
            return asked
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"port {port_id} is {port['status']} after {PATIENCE_S} s")
        time.sleep(0.01)


def measure(lab: OpenLab, network: str, far: str, near: str, netns: str) -> tuple[float, float]:
    """Bring one port up; gives seconds from ACTIVE to the far and to the near first reply.

    The reply may come before Neutron says ACTIVE: then it has taken no time.
    """
    body = {
        "network_id": network,
        "binding:host_id": "site1-h1",
        "device_owner": "compute:bench",
        "device_id": netns,
    }
    client = api(lab, "site1")
    port = client.call("POST", "/v2.0/ports", body={"port": body})["port"]
    with plugged(lab, "site1-h1", port, netns):
        with pinging(netns, far) as far_first, pinging(netns, near) as near_first:
            active = await_active(lab, port["id"])
        # The port stays: its address given to the next one would meet the neighbours' old entries.
        return max(0.0, far_first[0] - active), max(0.0, near_first[0] - active)


def main() -> int:
    parser = argparse.ArgumentParser(description="From ACTIVE to the first reply.")
    parser.add_argument("--ports", type=int, default=200)
    parser.add_argument("--name", default="benchfr", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        network = make_network(lab, "central", "bench")
        near = lab.create_server(name="near", site="site1", network=network, host="h2")
        far = lab.create_server(name="far", site="site2", network=network)
        for row in (near, far):
            hurry(row["netns"])
        ends = (far["addresses"][0], near["addresses"][0])
        # The first one also waits for what a site makes once: it is told apart.
        first, *took = [
            measure(lab, network, *ends, f"{options.name}-{n}") for n in range(options.ports + 1)
        ]
        print(f"the very first port: other site {first[0]:.2f} s, same site {first[1]:.2f} s")
        print(
            f"slowest, other site: {[round(one, 2) for one in sorted(t[0] for t in took)[-5:]]} s"
        )
        over, beside = Spread.of([one for one, _ in took]), Spread.of([one for _, one in took])
        print(f"other site: {over} (target: median {TARGET_MEDIAN_S} s, p99 {TARGET_P99_S} s)")
        print(f"same site:  {beside}")
        print(f"before ACTIVE was seen: {sum(one == 0 for one, _ in took)} of {len(took)}")
        ratio = f"{over.median / beside.median:.2f}" if beside.median else "none: it took no time"
        print(f"ratio of medians: {ratio}")
    say_machine("after")
    return 0
