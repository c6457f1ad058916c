"""From a router's change at central to the first packet that it lets through.

Two changes, each taken away again and made anew in every round:

* an interface on the network of a server at the other site, until that server answers one that the
  router reaches already: at the far site, and at the site of the one who asks;
* a floating IP that is given a port, until it answers from outside its site: for a server at the
  site of the external network, and for one at the other site.

Each begins on a calm cloud: the change before it has arrived at every site, and its packets have.

The named peer is a stock ML2/OVN server in the same lab, with a router of its own: the same calls,
the same pings, in turns with ours. A stock server answers once OVN has its rows, and a packet may
be there before the answer; central answers before the site has heard. So the ratio is that of the
times from the begin of the call; the time from its end on, and the call itself, is told beside it.
"""

import argparse
import contextlib
import itertools
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from bench.first_reply import hurry, pinging
from bench.ground import PATIENCE_S, Spread, api, open_lab, say_machine
from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.lab.opened import OpenLab

TOPOLOGY = """
sites:
- {name: site1, hosts: 1, gateways: 1}
- {name: site2, hosts: 1, gateways: 0}
- {name: stock, hosts: 2, gateways: 1, flavour: stock}
"""
_TURNS = 4  #: of the one that measures most, in a round
TARGET_MEDIAN_S, TARGET_P99_S, TARGET_RATIO = 1.0, 3.0, 1.2


@dataclass(slots=True)
class Side:
    """One Neutron with a router, and what was measured there: name -> seconds."""

    lab: OpenLab
    cloud: str
    joined: bool = False  #: whether it is central, with sites behind it
    router: dict[str, Any] = field(default_factory=dict)
    external: dict[str, Any] = field(default_factory=dict)
    took: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, list[float]] = field(default_factory=dict)
    whole: dict[str, list[float]] = field(default_factory=dict)  #: both together

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call Neutron."""
        return api(self.lab, self.cloud).call(method, f"/v2.0/{path}", body=body or None)

    def make(self, noun: str, **fields: Any) -> dict[str, Any]:
        """Make an object; gives it."""
        made: dict[str, Any] = self.call("POST", f"{noun}s", **{noun: fields})[noun]
        return made

    def network(self, name: str, cidr: str) -> tuple[str, str]:
        """Make a network with one subnet; gives their ids."""
        network = self.make("network", name=name)["id"]
        return network, self.make("subnet", network_id=network, ip_version=4, cidr=cidr)["id"]

    def interface(self, verb: str, subnet: str) -> None:
        """Put the router on a subnet (`add`), or take it off (`remove`)."""
        path = f"routers/{self.router['id']}/{verb}_router_interface"
        self.call("PUT", path, subnet_id=subnet)

    def leave(self, site: str, hints: list[str]) -> None:
        """Make the site's flat network external, and have the router leave by it."""
        self.open_external(site, hints)
        self.set_gateway()

    def set_gateway(self) -> None:
        """Have the router leave by the external network."""
        gateway_info = {"external_gateway_info": {"network_id": self.external["id"]}}
        self.call("PUT", f"routers/{self.router['id']}", router=gateway_info)

    def open_external(self, site: str, hints: list[str]) -> None:
        """Make the site's flat network external."""
        row = next(
            row
            for row in self.lab.outside.list_rows()
            if row["site"] == site and row["type"] == "flat"
        )
        zones = {"availability_zone_hints": hints} if hints else {}
        self.external = self.make(
            "network",
            name=f"out-{self.cloud}",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": row["physical_network"],
            },
            **zones,
        )
        cidr, gateway = next(
            pair for pair in zip(row["subnets"], row["gateways"], strict=True) if ":" not in pair[0]
        )
        self.make(
            "subnet",
            network_id=self.external["id"],
            ip_version=4,
            cidr=cidr,
            gateway_ip=gateway,
            enable_dhcp=False,
        )


def measure(side: Side, what: str, netns: str, address: str, change: Any, undo: Any) -> None:
    """Make a change while somebody pings, note how long after it the first reply came, undo it."""
    _await_calm(side)
    with pinging(netns, address) as first:
        began = time.time()
        change()
        done = time.time()
    undo()
    _await_silence(netns, address)
    side.calls.setdefault(what, []).append(done - began)
    side.took.setdefault(what, []).append(max(0.0, first[0] - done))
    side.whole.setdefault(what, []).append(first[0] - began)


def _forget_neighbours(*namespaces: str) -> None:
    """Have guests ask anew who a router is: each time it joins a network it has another MAC.

    A guest that believes the old one sends its answers there for some seconds, whoever's router
    it is.
    """
    for netns in namespaces:
        shell.run(["ip", "neigh", "flush", "all"], netns=netns)


def _await_answer(netns: str, address: str) -> None:
    with pinging(netns, address):
        pass


def _await_calm(side: Side) -> None:
    """Wait until nothing is on its way to a site: a stock server's answer says that of itself."""
    deadline = time.monotonic() + PATIENCE_S
    while side.joined and side.call("GET", "site-jobs")["site_jobs"]:
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"work for the sites is left after {PATIENCE_S} s")
        time.sleep(0.05)


def _await_silence(netns: str, address: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    words = ["ping", "-n", "-c", "1", "-W", "0.3", address]
    while shell.run(words, netns=netns, check=False).exit_code == 0:
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{address} still answers after {PATIENCE_S} s")


def _open(side: Side) -> None:
    """Let everybody ask the servers of the default group."""
    group = side.call("GET", "security-groups?name=default")["security_groups"][0]["id"]
    with contextlib.suppress(errors.Conflict):
        side.make(
            "security_group_rule", security_group_id=group, direction="ingress", protocol="icmp"
        )


def prepare(side: Side, places: dict[str, tuple[str, str]], site: str, hints: list[str]) -> Any:
    """Make a router with one network, one more network a place, and a server on each.

    Args:
        side: the Neutron.
        places: what is measured -> site and hypervisor of the server there.
        site: whose external network the router leaves by.
        hints: zones of that network.

    Returns:
        The namespace of the server that asks, and per place its server and its network's subnet.
    """
    side.router = side.make("router", name="bench")
    _open(side)
    octets = itertools.count(61)
    network, subnet = side.network("asks", f"10.{next(octets)}.0.0/24")
    side.interface("add", subnet)
    asks = side.lab.create_server(name=f"{side.cloud}-asks", site=site, network=network, host="h1")
    side.leave(site, hints)
    made = {}
    for number, (what, (where, host)) in enumerate(places.items()):
        network, subnet = side.network(f"far{number}", f"10.{next(octets)}.0.0/24")
        name = f"{side.cloud}-far{number}"
        server = side.lab.create_server(name=name, site=where, network=network, host=host)
        hurry(server["netns"])
        made[what] = (server, subnet)
    hurry(asks["netns"])
    return asks, made


def four(server: dict[str, Any]) -> str:
    """Return the IPv4 address of a server."""
    return next(str(address) for address in server["addresses"] if ":" not in address)


def rounds(side: Side, prepared: Any, outside: str, count: int) -> Any:
    """Give one measurement after the other, round by round, each by a call."""
    asks, made = prepared
    floating: dict[str, dict[str, Any]] = {}
    for what, (server, subnet) in made.items():
        side.interface("add", subnet)
        floating[what] = side.make(
            "floatingip",
            floating_network_id=side.external["id"],
        )
        side.interface("remove", subnet)
        _await_silence(asks["netns"], four(server))
    for _ in range(count):
        for what, (server, subnet) in made.items():
            _forget_neighbours(asks["netns"], server["netns"])
            measure(
                side,
                f"router interface, {what}",
                asks["netns"],
                four(server),
                lambda subnet=subnet: side.interface("add", subnet),
                lambda subnet=subnet: side.interface("remove", subnet),
            )
            yield
        for what, (server, subnet) in made.items():
            side.interface("add", subnet)
            _forget_neighbours(server["netns"])  # else it waits for what the old MAC gives
            _await_answer(asks["netns"], four(server))
            _forget_neighbours(server["netns"], outside)
            one = floating[what]
            path = f"floatingips/{one['id']}"
            measure(
                side,
                f"floating IP, {what}",
                outside,
                one["floating_ip_address"],
                lambda path=path, server=server: side.call(
                    "PUT", path, floatingip={"port_id": server["port_id"]}
                ),
                lambda path=path: side.call("PUT", path, floatingip={"port_id": None}),
            )
            side.interface("remove", subnet)
            _await_silence(asks["netns"], four(server))
            yield


def main() -> int:
    parser = argparse.ArgumentParser(description="From a router's change to the first reply.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--name", default="benchrt", help="of the lab")
    options = parser.parse_args()
    say_machine("before")
    with open_lab(options.name, TOPOLOGY) as lab:
        ours, stock = Side(lab, "central", joined=True), Side(lab, "stock")
        ends = {"within the site": ("site1", "h1"), "at the other site": ("site2", "h1")}
        of_ours = prepare(ours, ends, "site1", ["site1"])
        of_stock = prepare(stock, {"within the site": ("stock", "h2")}, "stock", [])
        turns = [
            rounds(side, made, lab.outside.get(site).netns, options.rounds + 1)
            for side, made, site in ((ours, of_ours, "site1"), (stock, of_stock, "stock"))
        ]
        for site in ("site1", "stock"):
            _hurry_outside(lab.outside.get(site).netns)
        try:
            began = time.monotonic()
            for number, _ in enumerate(itertools.zip_longest(*turns), 1):
                if not number % _TURNS:
                    took = time.monotonic() - began
                    print(f"# round {number // _TURNS}: {took:.0f} s", file=sys.stderr, flush=True)
        finally:  # one that is interrupted says what it has
            tell(ours, stock)
    say_machine("after")
    return 0


def _hurry_outside(netns: str) -> None:
    found = shell.run(["sysctl", "-an", "-N"], netns=netns).stdout.split()
    for key in found:
        if key.startswith("net.ipv4.neigh.") and key.endswith(".retrans_time_ms"):
            shell.run(["sysctl", "-qw", f"{key}=50"], netns=netns)


def tell(ours: Side, stock: Side) -> None:
    """Print what was measured, ours over stock's; the first round, which warms up, is left out."""
    for what, took in ours.took.items():
        beside = f"{what.partition(',')[0]}, within the site"
        if min(len(took), len(stock.took.get(beside, []))) < 2:
            continue
        print(f"{what}, the first reply:")
        mine, theirs = Spread.of(took[1:]), Spread.of(stock.took[beside][1:])
        print(
            f"  after the call:  {mine} (target: median {TARGET_MEDIAN_S} s, p99 {TARGET_P99_S} s)"
        )
        print(f"  stock ML2/OVN:   {theirs}")
        mine, theirs = Spread.of(ours.whole[what][1:]), Spread.of(stock.whole[beside][1:])
        print(f"  from its begin:  {mine}")
        print(f"  stock ML2/OVN:   {theirs}")
        target = f" (target <= {TARGET_RATIO})" if what == beside else ""
        print(f"  ratio of medians from the begin: {mine.median / theirs.median:.2f}{target}")
        print(f"  the call itself: {Spread.of(ours.calls[what][1:])}", flush=True)
        print(f"  stock's call:    {Spread.of(stock.calls[beside][1:])}")
