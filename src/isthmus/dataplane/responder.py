"""IPv6 router advertisements on networks that have no router. Pure.

A server takes its IPv6 address (SLAAC), or learns that DHCPv6 has one for it, from a router
advertisement, and ML2/OVN sends those only where a Neutron router has a port. On a stretched
network each site therefore keeps a logical router with no other port that answers its own servers.
"""

import hashlib
import ipaddress
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isthmus.model.dataplane.ovn import RaMode, Responder, ResponderKey

#: Locally administered; the rest comes from the network, so that every site has the same router.
_MAC_PREFIX = "02:69:73"
#: Names the switch ports of responders (made once with uuid4).
_NAMESPACE = uuid.UUID("5c1f1a3e-8d3b-4e0c-9f57-0a4d8b9e6a21")

#: Neutron's words to OVN's.
_MODES = {
    "slaac": RaMode.SLAAC,
    "dhcpv6-stateful": RaMode.STATEFUL,
    "dhcpv6-stateless": RaMode.STATELESS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RaSubnet:
    """An IPv6 subnet of a stretched network whose addresses need advertisements."""

    network_id: str
    cidr: str
    ra_mode: str  #: Neutron's ipv6_ra_mode
    mtu: int  #: of the network
    routed: bool  #: a Neutron router has a port in it and advertises


def name_port(key: ResponderKey) -> str:
    """Return the id of a responder's switch port; the same in every site."""
    return str(uuid.uuid5(_NAMESPACE, f"{key.network_id}/{key.mode.value}"))


def choose_mac(key: ResponderKey) -> str:
    """Return a responder's MAC; the same in every site, as servers may move."""
    digest = hashlib.sha256(f"{key.network_id}/{key.mode.value}".encode()).digest()
    return ":".join((_MAC_PREFIX, *(f"{byte:02x}" for byte in digest[:3])))


def group_subnets(subnets: Iterable[RaSubnet]) -> dict[ResponderKey, list[RaSubnet]]:
    """Sort the subnets that want a responder by the responder they want."""
    wanted: dict[ResponderKey, list[RaSubnet]] = {}
    for subnet in subnets:
        if not subnet.routed and subnet.ra_mode in _MODES:
            key = ResponderKey(subnet.network_id, _MODES[subnet.ra_mode])
            wanted.setdefault(key, []).append(subnet)
    return wanted


def plan_responders(
    subnets: Iterable[RaSubnet], key_of: Callable[[str], int | None]
) -> dict[ResponderKey, Responder]:
    """Return the responders that the subnets want.

    Its address in a subnet is the subnet-router anycast address (all host bits zero, RFC 4291
    2.6.1): Neutron gives it to no port, so a tenant's own router may have the gateway's address.

    Args:
        subnets: the IPv6 subnets of stretched networks.
        key_of: gives the port key of a switch port, None while it has none; then the responder
            waits.
    """
    responders = {}
    for key, members in group_subnets(subnets).items():
        port_id = name_port(key)
        port_key = key_of(port_id)
        if port_key is None:
            continue
        responders[key] = Responder(
            key=key,
            port_id=port_id,
            port_key=port_key,
            mac=choose_mac(key),
            networks=frozenset(str(ipaddress.IPv6Network(one.cidr)) for one in members),
            mtu=min(one.mtu for one in members),
        )
    return responders
