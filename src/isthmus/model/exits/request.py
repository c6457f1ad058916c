"""What is known of a router before it is decided by which sites its traffic leaves."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from isthmus.model.site import SiteName, SiteState

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSubnet:
    """A subnet of an external network."""

    cidr: Prefix
    gateway: Address | None = None  #: the next hop towards everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalNetwork:
    """An external network, and the sites whose fabric it is on."""

    id: str
    sites: frozenset[SiteName]  #: several only where they share the fabric
    subnets: frozenset[ExternalSubnet] = frozenset()


class Direction(enum.StrEnum):
    """Which way packets go, as seen from the server; Neutron's words."""

    EGRESS = "egress"
    INGRESS = "ingress"


@dataclass(frozen=True, slots=True, order=True)
class Limit:
    """What a QoS policy says of packets of one direction."""

    direction: Direction
    max_kbps: int | None = None
    burst_kbps: int | None = None  #: in kilobits; None lets OVN choose
    dscp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A router's own addresses on an external network."""

    network_id: str
    addresses: frozenset[Address]
    enable_snat: bool = True
    is_default: bool = False  #: the one that Neutron shows as `external_gateway_info`
    port_id: str = ""  #: its port


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIp:
    """A floating IP that is associated with a port behind the router."""

    id: str
    address: IPv4Address
    network_id: str  #: external
    fixed_address: IPv4Address
    port_id: str
    home: SiteName | None = None  #: where the port lives; None while it lives nowhere
    mac: str | None = None  #: of its own port on the external network, where that is known


class Protocol(enum.StrEnum):
    """The protocols that ML2/OVN forwards."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """A range of ports of a protocol."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Return how many there are."""
        return self.last - self.first + 1

    def overlaps(self, other: "Ports") -> bool:
        """Tell whether both have a port."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Ports of a floating IP that lead to ports of a server behind the router."""

    id: str
    floating_ip_id: str
    address: IPv4Address  #: of the floating IP
    network_id: str  #: external
    fixed_address: IPv4Address
    port_id: str
    home: SiteName | None = None  #: where the port lives; None while it lives nowhere
    protocol: Protocol
    outside: Ports
    inside: Ports  #: as many as outside, or one


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalSubnet:
    """A subnet that the router has an interface on, and the sites where its network is present."""

    id: str
    cidr: Prefix
    sites: frozenset[SiteName]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraRoute:
    """A static route of the tenant's."""

    destination: Prefix
    next_hop: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What central knows of a site."""

    name: SiteName
    state: SiteState = SiteState.ENABLED
    is_reachable: bool = True  #: as far as central has seen lately
    #: The operator's order of other sites by which this one's traffic leaves, most wanted first.
    #: Nothing sets it yet: it has no column at central (ADR 0063).
    leaves_by: tuple[SiteName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    """A hypervisor, as other sites send packets to it."""

    chassis: str  #: its name in OVN
    hostname: str  #: as Nova names it
    encap_ip: str  #: its Geneve tunnel address


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """The network that joins a router's instances; each router has one of its own."""

    ranges: tuple[Prefix, ...]  #: at most one of each IP version
    datapath_key: int  #: OVN's key of the network, the same in every site
    #: OVN's key of the router's port of each site; addresses and MACs are derived from it.
    port_keys: Mapping[SiteName, int] = field(default_factory=dict)
    #: The hypervisor that has the router's gateway at a site, where central knows it.
    arrives_at: Mapping[SiteName, Hypervisor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFacts:
    """A router with all that decides by which sites its traffic leaves; no order means anything."""

    id: str
    subnets: frozenset[InternalSubnet] = frozenset()
    gateways: frozenset[Gateway] = frozenset()
    floating_ips: frozenset[FloatingIp] = frozenset()
    forwardings: frozenset[Forwarding] = frozenset()
    extra_routes: frozenset[ExtraRoute] = frozenset()
    #: What limits floating IPs: the id of one that has a QoS policy, and what that says.
    limits: frozenset[tuple[str, tuple[Limit, ...]]] = frozenset()

    @property
    def answered(self) -> tuple[FloatingIp | Forwarding, ...]:
        """Return what is to be answered outside: floating IPs, and ports that some forward."""
        return (*self.floating_ips, *self.forwardings)
