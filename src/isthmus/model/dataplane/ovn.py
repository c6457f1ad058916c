"""What Isthmus puts into a site's OVN databases, as values.

The same classes serve what is desired and what is observed, so that a comparison is `==`. Only the
rows that Isthmus marks as its own are ever changed or removed, with one exception: the tunnel keys
of stretched networks and of the site's own ports on them, which Neutron's rows carry.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.model.site import SiteName

#: OVN's datapath keys from here up are never given out by northd itself (OVN_MIN_DP_KEY_GLOBAL).
FIRST_GLOBAL_DATAPATH_KEY = 16_711_681
#: The greatest port key; 15 bits, the 16th marks multicast groups (OVN_MAX_KEY in ovn-util.h).
LAST_PORT_KEY = 32_767


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What the OVN of a site can do; older versions need more of us."""

    version: str  #: of northd, "" while it is not known
    binds_remote: bool  #: northd binds a remote port to its requested chassis
    shadow_limit: int | None  #: most shadow ports one network may have


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePort:
    """A shadow port's row in NB (and its place in port groups)."""

    port_id: str
    network_id: str
    site: SiteName
    chassis: str
    port_key: int
    addresses: frozenset[str]  #: as in Logical_Switch_Port.addresses
    groups: frozenset[str] = frozenset()  #: names of Port_Group rows that exist
    enabled: bool = True  #: as in Logical_Switch_Port.enabled, where empty means true
    intact: bool = True  #: observed: no foreign option, right type, no port security of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteChassis:
    """A hypervisor of another site: a Chassis row with one Geneve Encap row in SB."""

    name: str
    hostname: str  #: "<site>/<host>": Neutron must not take it for a host of its own
    encap_ip: str
    site: SiteName
    intact: bool = True  #: observed: flagged is-remote, exactly one Geneve encapsulation


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChassis:
    """A hypervisor of this site."""

    name: str
    hostname: str
    encap_ips: tuple[str, ...]  #: Geneve first


class RaMode(enum.StrEnum):
    """How servers take their IPv6 addresses; the value is OVN's address_mode."""

    SLAAC = "slaac"
    STATEFUL = "dhcpv6_stateful"
    STATELESS = "dhcpv6_stateless"


@dataclass(frozen=True, slots=True, order=True)
class ResponderKey:
    """Which responder: one for each way of addressing in a network."""

    network_id: str
    mode: RaMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """A logical router whose one port answers router solicitations on a network."""

    key: ResponderKey
    port_id: str  #: name of its switch port, a UUID like that of any port
    port_key: int
    mac: str
    networks: frozenset[str]  #: "<address>/<length>" of each IPv6 subnet
    mtu: int
    intact: bool = True  #: observed: router, both ports and their options are as they should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the data plane of one site should hold, or the part of it in scope."""

    switch_keys: Mapping[str, int] = field(default_factory=dict)  #: network id to datapath key
    port_keys: Mapping[str, int] = field(default_factory=dict)  #: own port id to port key
    ports: Mapping[str, RemotePort] = field(default_factory=dict)
    chassis: Mapping[str, RemoteChassis] = field(default_factory=dict)
    responders: Mapping[ResponderKey, Responder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPort:
    """Any other port of a stretched network as OVN has it."""

    network_id: str
    type: str
    port_key: int | None  #: what its row asks for
    addresses: frozenset[str] = frozenset()
    revision: int = -1  #: of Neutron's port when the row was written; -1 where it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What SB says of a port."""

    tunnel_key: int
    chassis: str  #: "" while it is not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the databases of one site hold, or the part of it in scope."""

    switches: Mapping[str, int | None]  #: network id to the datapath key its row asks for
    groups: frozenset[str]  #: every Port_Group
    ports: Mapping[str, RemotePort]  #: rows of ours
    own_ports: Mapping[str, SwitchPort]  #: everybody else's on the switches in scope
    chassis: Mapping[str, RemoteChassis]  #: rows of ours
    local_chassis: Mapping[str, LocalChassis]  #: everybody else's
    bindings: Mapping[str, Binding]  #: of the ports in scope
    responders: Mapping[ResponderKey, Responder]
    revisions: Mapping[str, int] = field(default_factory=dict)  #: of each switch's network


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Changes that make the observed rows the desired ones; empty when nothing is to be done."""

    put_chassis: tuple[RemoteChassis, ...] = ()
    put_ports: tuple[RemotePort, ...] = ()
    join_groups: tuple[tuple[str, str], ...] = ()  #: (port group, port id)
    leave_groups: tuple[tuple[str, str], ...] = ()
    remove_ports: tuple[tuple[str, str], ...] = ()  #: (network id, port id)
    bind: tuple[tuple[str, str], ...] = ()  #: (port id, chassis name)
    set_switch_keys: tuple[tuple[str, int], ...] = ()
    set_port_keys: tuple[tuple[str, int], ...] = ()
    put_responders: tuple[Responder, ...] = ()
    remove_responders: tuple[Responder, ...] = ()
    remove_chassis: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return any(getattr(self, name) for name in self.__slots__)

    def size(self) -> int:
        """Count the rows to touch."""
        return sum(len(getattr(self, name)) for name in self.__slots__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A part of the databases to look at; what is named need not exist."""

    networks: frozenset[str] = frozenset()  #: their switches (not the ports on them)
    ports: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()  #: memberships are looked for in these only
    chassis: frozenset[str] | None = frozenset()  #: None means all
    responders: frozenset[str] = frozenset()  #: of these networks
