"""A cloud of a seed in which all is well and everybody may ask everybody, and its questions."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import override

from bench.flow_cloud import SITES, Cloud, Guest
from isthmus.lab.network import plug

_CALM_S = 120.0
_SIX = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}


class Stage(Cloud):
    """Networks at one site or both, with IPv6; a router with an exit; servers; floating IPs."""

    @override
    def lay(self) -> None:
        self.hosts = {
            str(site.name): [host.name for host in site.hypervisors] for site in self.lab.plan.sites
        }
        self.groups.append(self._group(0, stateful=True))
        for family in ("IPv4", "IPv6"):
            self._rule(self.groups[0], direction="ingress", ethertype=family)
        sites = self._make_networks()
        self._make_exit()
        self._place(sites)
        self._open_outside()
        self.give_floating()
        self.await_jobs()

    @override
    def _make_networks(self) -> list[list[str]]:
        found = super()._make_networks()
        for number, (net, _, _) in enumerate(self.nets[:2]):
            cidr = f"fd00:{100 + self.seed % 100:x}:{number}::/64"
            self.side.make("subnet", network_id=net, cidr=cidr, **_SIX)
        return found

    def _make_exit(self) -> None:
        """Make the router, join networks to it, and have it leave by a site."""
        self.side.router = self.side.make("router", name=f"f{self.seed}")
        router = self.side.router["id"]
        self.undo.callback(self._delete, f"routers/{router}")
        self.joined = self.nets if self.dice.random() < 0.5 else self.nets[:2]
        for net, _, _ in self.joined:
            for row in self.side.call("GET", f"subnets?network_id={net}")["subnets"]:
                self.side.interface("add", row["id"])
                self.undo.callback(self._leave, row["id"])
        self.exit_site = self.dice.choice(SITES)
        site = self.side.call("GET", f"sites/{self.exit_site}")["site"]
        self.side.leave(self.exit_site, [*site["availability_zones"]])
        self.external = str(self.side.external["id"])
        self.undo.callback(self._delete, f"networks/{self.external}")
        self.undo.callback(self._forget_gateway)

    def _forget_gateway(self) -> None:
        self.side.call(
            "PUT", f"routers/{self.side.router['id']}", router={"external_gateway_info": None}
        )

    def _place(self, sites: list[list[str]]) -> None:
        """Put servers on hypervisors: of the first network on two of one site and one beyond."""
        one, other = self.dice.sample(SITES, 2)
        places = [(0, one, 0), (0, one, 1), (0, other, self.dice.randrange(2))]
        for number in (1, 2):
            places += [(number, site, self.dice.randrange(2)) for site in sites[number]]
        for at, (net, site, host) in enumerate(places):
            self._put(f"f{self.seed}-{at}", site, self.hosts[site][host], *self.nets[net])

    def _put(self, name: str, site: str, host: str, net: str, _subnet: str, cidr: str) -> None:
        row = self.lab.create_server(
            name=name, site=site, network=net, security_groups=(self.groups[0],),
            host=host.removeprefix(f"{site}-"),
        )  # fmt: skip
        self.undo.callback(self.lab.delete_server, name)
        four = next(one for one in row["addresses"] if ":" not in one)
        six = next((one for one in row["addresses"] if ":" in one), "")
        self.guests.append(Guest(
            name, row["netns"], four, row["port_id"], row["port_id"], net, cidr, site=site,
            host=host, mac=row["mac_address"], tap=plug.tap(row["port_id"]), six=six,
        ))  # fmt: skip

    def give_floating(self) -> None:
        """Give the first server of each joined network a floating IP."""
        for net, _, _ in self.joined:
            guest = next((one for one in self.guests if one.network == net), None)
            if guest is not None:
                body = {"floating_network_id": self.external, "port_id": guest.port}
                row = self.side.make("floatingip", **body)
                self.floating.append(row)
                self.undo.callback(self._delete, f"floatingips/{row['id']}")
                guest.public = str(row["floating_ip_address"])

    def take_floating(self) -> None:
        """Take all floating IPs away."""
        for row in self.floating:
            self._delete(f"floatingips/{row['id']}")
        self.floating.clear()
        for guest in self.guests:
            guest.public = ""

    def find_floating(self, guest: Guest) -> str:
        """Return the id of a server's floating IP."""
        return str(next(
            one["id"] for one in self.floating if one["floating_ip_address"] == guest.public
        ))  # fmt: skip

    def await_jobs(self) -> None:
        """Wait until no job for a site is on its way."""
        end, quiet = time.monotonic() + _CALM_S, 0
        while quiet < 3 and time.monotonic() < end:
            quiet = 0 if self.side.call("GET", "site-jobs")["site_jobs"] else quiet + 1
            time.sleep(0.2)

    @property
    def servers(self) -> list[Guest]:
        """Return the guests that are servers."""
        return [one for one in self.guests if one.port]

    def is_joined(self, guest: Guest) -> bool:
        """Tell whether a guest's network is on the router."""
        return any(net == guest.network for net, _, _ in self.joined)

    def list_ends(self, kind: str) -> list[tuple[Guest, Guest]]:
        """List the pairs of ends of which a kind of question can be asked, in an order of dice."""
        ends = [
            (one, other) for one in self.guests for other in self.guests
            if one is not other and KINDS[kind](self, one, other)
        ]  # fmt: skip
        self.dice.shuffle(ends)
        return ends

    def name_ends(self, one: Guest, other: Guest) -> tuple[str, str]:
        """Return how `why` is asked for two ends."""
        return one.asked, other.asked if one.port else other.public


def _same(_: Any, one: Guest, other: Guest) -> bool:
    return bool(one.port and other.port) and one.network == other.network


def _routed(stage: Stage, one: Guest, other: Guest) -> bool:
    both = bool(one.port and other.port) and one.network != other.network
    return both and stage.is_joined(one) and stage.is_joined(other)


def _out(stage: Stage, one: Guest, other: Guest) -> bool:
    return bool(one.port) and not other.port and stage.is_joined(one) and not one.public


def _in(_: Stage, one: Guest, other: Guest) -> bool:
    return not one.port and bool(other.public)


#: Kinds of questions: which ends they are for.
KINDS: dict[str, Callable[[Stage, Guest, Guest], bool]] = {
    "pair": _same,
    "far": lambda s, one, other: _same(s, one, other) and one.site != other.site,
    "near": lambda s, one, other: (
        _same(s, one, other) and one.site == other.site and one.host != other.host
    ),
    "across": lambda s, one, other: _same(s, one, other) and one.host != other.host,
    "six": lambda s, one, other: _same(s, one, other) and bool(one.six and other.six),
    "routed": _routed,
    "six routed": lambda s, one, other: _routed(s, one, other) and bool(one.six and other.six),
    "out": _out,
    "out over": lambda s, one, other: _out(s, one, other) and one.site != s.exit_site,
    "out here": lambda s, one, other: _out(s, one, other) and one.site == s.exit_site,
    "in": _in,
    "in plain": lambda s, one, other: (
        _in(s, one, other) and other.site == s.exit_site and other.host != s.hosts[s.exit_site][0]
    ),
}  # fmt: skip


@contextlib.contextmanager
def on_stage(lab: Any, seed: int) -> Iterator[Stage]:
    """Have the cloud of a seed in a lab."""
    with contextlib.ExitStack() as undo:
        stage = Stage(lab, seed, undo)
        stage.lay()
        yield stage
        undo.pop_all()  # the lab is taken away with all that is in it
