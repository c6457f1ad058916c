"""What is decided of a router's traffic: per site its exits, routes, policies and translations."""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from isthmus.model.exits.request import Address, Hypervisor, Limit, Ports, Prefix, Protocol
from isthmus.model.site import SiteName

#: Most ports that one router forwards: a VIP of a load balancer at each of its sites for each.
MOST_FORWARDED = 4096


class Way(enum.StrEnum):
    """How packets leave a site."""

    LOCAL = "local"  #: by an external network of the site itself
    TRANSIT = "transit"  #: over the transit network to the router's instance at another site


class Lack(enum.StrEnum):
    """Why there is no way."""

    NO_GATEWAY = "no gateway"  #: the router has none of that IP version with a next hop
    NO_SITE = "no site"  #: every site with such a gateway is disabled
    NO_TRANSIT = "no transit"  #: no transit address is allocated for one of the two ends
    NO_GATEWAY_ON_NETWORK = "no gateway on its network"  #: of a floating IP's external network
    NO_SUBNET = "no subnet"  #: the router has no interface on the fixed address's subnet
    #: The same fixed address has another floating IP, by which its replies leave.
    OTHER_WAY = "replies leave by another floating IP"
    #: Of a forwarding: its server's address has a floating IP as well, which takes its replies; or
    #: its own floating IP is associated.
    BESIDE_FLOATING_IP = "the address has a floating IP"
    COLLIDES = "another forwarding has these ports"
    UNEVEN = "ports inside are neither one nor as many as outside"
    TOO_MANY = "the router forwards too many ports"


class Purpose(enum.StrEnum):
    """What a route is for."""

    DEFAULT = "default"
    SUBNET = "subnet"  #: a subnet of the router whose network is not present here
    EXTRA = "extra"  #: the tenant's, with a next hop on such a subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """By which site packets of one IP version leave."""

    way: Way
    site: SiteName
    network_id: str
    next_hop: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A static route of a router's instance."""

    purpose: Purpose
    destination: Prefix
    next_hop: Address
    way: Way
    site: SiteName  #: where it leads to


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPolicy:
    """Replies of one address leave where its floating IP is, not by the site's default route.

    `ip4.src == <source> && ip4.dst != <inside> && ip4.dst == <only>`, action reroute to the next
    hop.
    """

    floating_ip_id: str
    source: IPv4Address
    inside: tuple[IPv4Network, ...]  #: what stays inside: the router's own routes hold for it
    #: The floating IP's own network, where no next hop leads further; else empty: everything.
    only: tuple[IPv4Network, ...] = ()
    next_hop: Address
    site: SiteName


@dataclass(frozen=True, slots=True, kw_only=True)
class Snat:
    """Source address translation of one internal subnet."""

    network_id: str
    external: IPv4Address
    internal: IPv4Network


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingNat:
    """The translation of a floating IP."""

    floating_ip_id: str
    external: IPv4Address
    internal: IPv4Address
    port_id: str
    #: Whether the port lives at the same site, so that its hypervisor may translate by itself.
    at_home: bool
    mac: str | None = None  #: by which that hypervisor answers for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """Ports of a floating IP that lead to ports of a server, as one site has them.

    Servers of the site are answered at their own switches. The world outside is where the floating
    IP is.
    """

    forwarding_id: str
    floating_ip_id: str
    protocol: Protocol
    external: IPv4Address
    outside: Ports
    internal: IPv4Address
    inside: Ports  #: as many as outside, or one
    answers: bool  #: whether this site's gateway answers for the floating IP
    #: How replies of these ports leave the site where the server lives, where not by its own exit.
    replies: ReturnPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingLimit:
    """What limits a floating IP, at the site that answers for it."""

    floating_ip_id: str
    external: IPv4Address
    network_id: str  #: external
    gateway_port_id: str  #: the router's port there, by which its packets pass
    #: The server's port, whose own hypervisor may translate by itself; empty where none does.
    port_id: str = ""
    limits: tuple[Limit, ...]  #: at most one of each direction


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitPeer:
    """The port of another site's instance on the transit network."""

    site: SiteName
    port_key: int
    mac: str
    addresses: tuple[Address, ...]
    #: Where it is reached: the hypervisor that has the gateway there; None where nobody knows.
    hypervisor: Hypervisor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitPort:
    """The port of a router's instance on the transit network, and the others there."""

    datapath_key: int  #: of the network, the same in every site
    port_key: int
    mac: str
    addresses: tuple[Address, ...]
    prefixes: tuple[Prefix, ...]
    peers: tuple[TransitPeer, ...] = ()  #: by site


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """What a router's instance at one site has."""

    exits: Mapping[int, Exit | Lack] = field(default_factory=dict)  #: by IP version, 4 and 6
    gateway_network_id: str | None = None  #: the external network that it has a gateway on
    routes: tuple[Route, ...] = ()
    policies: tuple[ReturnPolicy, ...] = ()
    snats: tuple[Snat, ...] = ()
    floating: tuple[FloatingNat, ...] = ()
    forwarded: tuple[Forwarded, ...] = ()
    limits: tuple[FloatingLimit, ...] = ()
    transit: TransitPort | None = None


def without_transit(plan: SitePlan) -> SitePlan:
    """Return what works of a plan where the router has no transit network."""
    return dataclasses.replace(
        plan,
        exits={
            version: Lack.NO_TRANSIT
            if isinstance(found, Exit) and found.way is Way.TRANSIT
            else found
            for version, found in plan.exits.items()
        },
        routes=tuple(one for one in plan.routes if one.way is not Way.TRANSIT),
        policies=(),
        forwarded=tuple(dataclasses.replace(one, replies=None) for one in plan.forwarded),
        transit=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """What is decided of one router, by site; disabled sites are not in it."""

    sites: Mapping[SiteName, SitePlan]
    #: Where each gateway is, by its external network and addresses; None for nowhere.
    seats: Mapping[tuple[str, frozenset[Address]], SiteName | None]
    #: Floating IPs and port forwardings that do not work, and why.
    idle: Mapping[str, Lack]
    #: Sites that need a transit address and have none: allocate, and decide again.
    transit_wanted: frozenset[SiteName] = frozenset()
