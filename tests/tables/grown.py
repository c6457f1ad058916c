"""A healthy cloud out of a seed: sites, networks, routers, servers, groups; and what passes in it.

What passes is decided here over the rules alone, by nothing of Isthmus. The rows that such a cloud
has are written by `grown_rows`.
"""

import ipaddress
import random
from dataclasses import dataclass, field
from typing import Any

PORTS = (22, 53, 80, 443, 5432, 8080)


@dataclass(slots=True)
class Net:
    """A network with an IPv4 subnet and mostly an IPv6 one."""

    number: int
    sites: list[str]
    has_six: bool
    router: "Router | None" = None

    @property
    def id(self) -> str:
        """Return its id."""
        return f"net{self.number}"

    def cidr(self, family: int) -> str:
        """Return the prefix of its subnet."""
        return f"10.{self.number}.0.0/24" if family == 4 else f"fd00:{self.number:x}::/64"

    def address(self, family: int, last: int) -> str:
        """Return an address of it."""
        return str(ipaddress.ip_network(self.cidr(family))[last])

    @property
    def families(self) -> tuple[int, ...]:
        """Return its IP versions."""
        return (4, 6) if self.has_six else (4,)


@dataclass(slots=True)
class Router:
    """A router with a gateway at one site, or none."""

    number: int
    nets: list[Net]
    exit_site: str = ""
    uplink: Net | None = None  #: a network of another router that it joins besides
    routes: list[dict[str, str]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Return its id."""
        return f"rtr{self.number}"

    @property
    def joined(self) -> list[Net]:
        """Return all networks that it joins."""
        return [*self.nets, *([self.uplink] if self.uplink else [])]

    def address(self, net: Net, family: int) -> str:
        """Return its address on a network."""
        return net.address(family, 254 if net is self.uplink else 1)

    @property
    def sites(self) -> list[str]:
        """Return where it is: where a network of it is, and at its exit."""
        found = {site for net in self.joined for site in net.sites} | {self.exit_site}
        return sorted(found - {""})


@dataclass(slots=True)
class Group:
    """A security group."""

    number: int
    stateful: bool
    rules: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Return its id."""
        return f"sg{self.number}"


@dataclass(slots=True)
class Server:
    """A server with one port."""

    number: int
    net: Net
    site: str
    host: str
    groups: list[Group]  #: none: port security is off
    pair: str = ""  #: an address of an allowed address pair
    public: str = ""  #: its floating IP

    @property
    def id(self) -> str:
        """Return its port's id."""
        return f"port{self.number}"

    @property
    def mac(self) -> str:
        """Return its MAC address."""
        return f"fa:16:3e:00:{self.number // 256:02x}:{self.number % 256:02x}"

    def address(self, family: int) -> str:
        """Return its fixed address."""
        return self.net.address(family, 10 + self.number)


@dataclass(slots=True)
class Grown:
    """The cloud."""

    sites: list[str]
    hosts: dict[str, list[str]]
    nets: list[Net]
    routers: list[Router]
    groups: list[Group]
    servers: list[Server]


@dataclass(frozen=True, slots=True)
class Question:
    """A question whose packet passes."""

    source: str
    target: str
    service: str
    family: int


def grow(seed: int) -> Grown:
    """Make a cloud."""
    dice = random.Random(seed)
    sites = [f"s{n}" for n in range(1, dice.randint(2, 4) + 1)]
    hosts = {one: [f"{one}h{n}" for n in range(1, dice.randint(1, 3) + 1)] for one in sites}
    nets = [
        Net(n, sorted(dice.sample(sites, dice.randint(1, len(sites)))), dice.random() < 0.6)
        for n in range(1, dice.randint(3, 6) + 1)
    ]
    routers = []
    left = dice.sample(nets, len(nets))
    for number in range(1, dice.randint(1, 2) + 1):
        taken = [left.pop() for _ in range(min(len(left), dice.randint(1, 3)))]
        if taken:
            routers.append(Router(number, taken, dice.choice(["", *sites, *sites])))
            for net in taken:
                net.router = routers[-1]
    if len(routers) == 2 and dice.random() < 0.5:
        _chain(dice, *routers)
    groups = [Group(n, dice.random() < 0.85) for n in range(1, dice.randint(2, 4) + 1)]
    for group in groups:
        _fill(dice, group, groups, nets)
    servers: list[Server] = []
    for net in nets:
        for _ in range(dice.randint(2, 4)):
            site = dice.choice(net.sites)
            members = dice.sample(groups, dice.randint(1, 2)) if dice.random() < 0.9 else []
            made = Server(len(servers) + 1, net, site, dice.choice(hosts[site]), members)
            if dice.random() < 0.2 and members:
                made.pair = net.address(4, 200 + made.number)
            if net.router and net.router.exit_site and dice.random() < 0.4:
                made.public = f"198.51.{99 + net.router.number}.{10 + made.number}"
            servers.append(made)
    return Grown(sites, hosts, nets, routers, groups, servers)


def _chain(dice: random.Random, one: Router, other: Router) -> None:
    """Let the second router join a network of the first, and each have routes by the other."""
    up = dice.choice(one.nets)
    for net in (*one.nets, *other.nets):
        net.sites = up.sites
    other.uplink = up
    for net in other.nets:
        for family in {*net.families} & {*up.families}:
            hop = other.address(up, family)
            one.routes.append({"destination": net.cidr(family), "nexthop": hop})
    for net in one.nets:
        for family in {*net.families} & {*up.families} if net is not up else ():
            hop = one.address(up, family)
            other.routes.append({"destination": net.cidr(family), "nexthop": hop})


def are_joined(one: Net, other: Net, family: int) -> bool:
    """Tell whether routers lead from one network to another."""
    if one is other:
        return True
    if one.router is None or other.router is None or one.router is other.router:
        return one.router is not None and one.router is other.router
    first, second = sorted((one.router, other.router), key=lambda x: x.number)
    return (
        second.uplink is not None
        and family in second.uplink.families
        and (second.uplink.router is first)
    )


def _fill(dice: random.Random, group: Group, groups: list[Group], nets: list[Net]) -> None:
    """Give a group rules; replies of a stateless one have rules of their own."""
    for direction in ("egress", "ingress"):
        for ethertype in ("IPv4", "IPv6"):
            # Without a way to DHCP a guest has no address: such a cloud is not healthy.
            if direction == "egress" or not group.stateful:
                _add(group, direction, ethertype)
                continue
            for _ in range(dice.randint(1, 3)):
                more: dict[str, Any] = {}
                protocol = dice.choice(("icmp", "tcp", "tcp", "udp", None))
                if protocol:
                    icmp = protocol == "icmp" and ethertype == "IPv6"
                    more["protocol"] = "ipv6-icmp" if icmp else protocol
                if protocol in {"tcp", "udp"}:
                    low, high = sorted(dice.sample(PORTS, 2))
                    more |= {"port_range_min": low, "port_range_max": dice.choice((low, high))}
                peer = dice.random()
                family = 4 if ethertype == "IPv4" else 6
                if peer < 0.3:
                    more["remote_group_id"] = dice.choice(groups).id
                elif peer < 0.5:
                    more["remote_ip_prefix"] = dice.choice(nets).cidr(family)
                _add(group, direction, ethertype, **more)


def _add(group: Group, direction: str, ethertype: str, **more: Any) -> None:
    group.rules.append({
        "id": f"{group.id}-rule{len(group.rules)}", "direction": direction, "ethertype": ethertype,
        "protocol": None, "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None,
        "remote_group_id": None, "remote_address_group_id": None, "security_group_id": group.id,
        **more,
    })  # fmt: skip


def lets(server: Server, direction: str, protocol: str, port: int, peer: str, of: Server | None,
         ) -> bool:  # fmt: skip
    """Tell whether the rules of a server let a packet out or in.

    Args:
        server: whose rules.
        direction: egress or ingress.
        protocol: icmp, tcp or udp.
        port: that it is sent to.
        peer: the address of the other end, as it is seen here.
        of: the server that has it; None where it is translated, or outside.
    """
    if not server.groups:
        return True
    six = ":" in peer
    wanted = "ipv6-icmp" if six and protocol == "icmp" else protocol
    members = {group.id for group in of.groups} if of is not None else set()
    for rule in (rule for group in server.groups for rule in group.rules):
        fits = (
            rule["direction"] == direction
            and rule["ethertype"] == ("IPv6" if six else "IPv4")
            and rule["protocol"] in (None, wanted)
        )
        low, high, prefix = (rule[x] for x in ("port_range_min", "port_range_max",
                                               "remote_ip_prefix"))  # fmt: skip
        if low is not None:
            fits &= protocol != "icmp" and low <= port <= high
        if prefix is not None:
            fits &= ipaddress.ip_address(peer) in ipaddress.ip_network(prefix)
        if rule["remote_group_id"] is not None:
            fits &= rule["remote_group_id"] in members
        if fits:
            return True
    return False


OUTSIDE = "192.0.2.1"
#: Of a router's own address on its external network, the last number.
GATEWAY_LAST = 5


def draw_question(cloud: Grown, dice: random.Random) -> Question | None:
    """Draw a question; None where its packet does not pass."""
    protocol, port = dice.choice(("icmp", "tcp", "tcp", "udp")), dice.choice(PORTS)
    service = "icmp" if protocol == "icmp" else f"{protocol}/{port}"
    one, other = dice.sample(cloud.servers, 2)
    form = dice.random()
    if form < 0.2:
        found = other.public and lets(other, "ingress", protocol, port, OUTSIDE, None)
        return Question("external", other.public, service, 4) if found else None
    if form < 0.35:
        has_way = one.net.router is not None and one.net.router.exit_site
        found = has_way and lets(one, "egress", protocol, port, OUTSIDE, None)
        return Question(one.id, "external", service, 4) if found else None
    router = one.net.router
    if form < 0.45 and other.public and router is not None and router is other.net.router:
        seen_as = one.public or f"198.51.{99 + router.number}.{GATEWAY_LAST}"
        found = lets(one, "egress", protocol, port, other.public, None) and lets(
            other, "ingress", protocol, port, seen_as, None
        )
        return Question(one.id, other.public, service, 4) if found else None
    families = sorted({*one.net.families} & {*other.net.families})
    family = dice.choice(families)
    joined = are_joined(one.net, other.net, family)
    target, asked = other.address(family), other.id
    if family == 4 and other.pair and dice.random() < 0.5:
        target, asked = other.pair, f"{other.pair}@{other.net.id}"
    passes = joined and (
        lets(one, "egress", protocol, port, target, other)
        and lets(other, "ingress", protocol, port, one.address(family), one)
    )
    return Question(one.id, asked, service, family) if passes else None
