"""IPv6 router advertisements on networks that have no router.

A server takes its IPv6 address (SLAAC), or learns that DHCPv6 has one for it, from a router
advertisement, and ML2/OVN sends those only where a Neutron router has a port. On a stretched
network each site therefore keeps a logical router with no other port that answers its own servers.
"""

import enum
import hashlib
import ipaddress
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.shadow_port import drop_switch_port
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, requested_port_key
from isthmus.dataplane.scope import NETWORKS, Scope
from isthmus.model.dataplane.ovn import (
    KEY_OPTION,
    PORT_MARK,
    SWITCH_PREFIX,
    Capability,
    RaSubnet,
)

#: external_ids key on the logical router, besides that of its switch port: "<network id>/<mode>".
MARK = "isthmus:responder"
#: Locally administered; the rest comes from the network, so that every site has the same router.
_MAC_PREFIX = "02:69:73"
#: Names the switch ports of responders (made once with uuid4).
_NAMESPACE = uuid.UUID("5c1f1a3e-8d3b-4e0c-9f57-0a4d8b9e6a21")


class RaMode(enum.StrEnum):
    """How servers take their IPv6 addresses; the value is OVN's address_mode."""

    SLAAC = "slaac"
    STATEFUL = "dhcpv6_stateful"
    STATELESS = "dhcpv6_stateless"


#: Neutron's words to OVN's.
_MODES = {
    "slaac": RaMode.SLAAC,
    "dhcpv6-stateful": RaMode.STATEFUL,
    "dhcpv6-stateless": RaMode.STATELESS,
}


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


@dataclass(frozen=True, slots=True)
class PutResponder(Change):
    """Write a responder's router and both its ports, whatever they were before."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.responder.differs"
    what: ClassVar = "responder missing or different"
    about: ClassVar = NETWORKS
    is_own: ClassVar = True
    row: Responder

    @property
    @override
    def subject(self) -> str:
        return self.row.key.network_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.row.key not in standing.of(RESPONDER)

    @override
    def __str__(self) -> str:
        return (
            f"put responder {self.row.key.mode.value} of network {self.row.key.network_id} "
            f"({', '.join(sorted(self.row.networks))}, key {self.row.port_key})"
        )

    @override
    def write(self, tables: Tables) -> None:
        wanted = self.row
        switch = tables.find("Logical_Switch", SWITCH_PREFIX + wanted.key.network_id)
        if switch is None:
            return
        router = tables.find("Logical_Router", name_router(wanted.key))
        if router is None:
            router = tables.insert("Logical_Router")
            router.name = name_router(wanted.key)
        router.external_ids = {
            MARK: f"{wanted.key.network_id}/{wanted.key.mode.value}",
            PORT_MARK: wanted.port_id,
        }
        port = tables.find("Logical_Router_Port", f"isthmus-ra-{wanted.port_id}")
        if port is None:
            port = tables.insert("Logical_Router_Port")
            port.name = f"isthmus-ra-{wanted.port_id}"
        port.mac = wanted.mac
        port.networks = sorted(wanted.networks)
        port.ipv6_ra_configs = {**ra_settings(wanted.key), "mtu": str(wanted.mtu)}
        router.ports = [port]
        peer = tables.find("Logical_Switch_Port", wanted.port_id)
        if peer is None:
            peer = tables.insert("Logical_Switch_Port")
            peer.name = wanted.port_id
        peer.type = "router"
        peer.options = {"router-port": port.name, KEY_OPTION: str(wanted.port_key)}
        peer.addresses = ["router"]
        peer.external_ids = {MARK: wanted.key.network_id}
        switch.addvalue("ports", peer)


@dataclass(frozen=True, slots=True)
class RemoveResponder(Change):
    """Remove a responder's router and its port on the switch."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.responder.extra"
    what: ClassVar = "responder too many"
    about: ClassVar = NETWORKS
    is_own: ClassVar = True
    row: Responder

    @property
    @override
    def subject(self) -> str:
        return self.row.key.network_id

    @override
    def __str__(self) -> str:
        return f"remove responder {self.row.key.mode.value} of network {self.row.key.network_id}"

    @override
    def write(self, tables: Tables) -> None:
        tables.run("lr_del", name_router(self.row.key), if_exists=True)
        peer = tables.find("Logical_Switch_Port", self.row.port_id)
        if peer is not None and MARK in peer.external_ids:
            drop_switch_port(tables, self.row.key.network_id, peer)


def name_port(key: ResponderKey) -> str:
    """Return the id of a responder's switch port; the same in every site."""
    return str(uuid.uuid5(_NAMESPACE, f"{key.network_id}/{key.mode.value}"))


def name_router(key: ResponderKey) -> str:
    """Return the name of a responder's logical router."""
    return f"isthmus-ra-{key.network_id}-{key.mode.value}"


def choose_mac(key: ResponderKey) -> str:
    """Return a responder's MAC; the same in every site, as servers may move."""
    digest = hashlib.sha256(f"{key.network_id}/{key.mode.value}".encode()).digest()
    return ":".join((_MAC_PREFIX, *(f"{byte:02x}" for byte in digest[:3])))


def ra_settings(key: ResponderKey) -> dict[str, str]:
    """Return a responder's ipv6_ra_configs, but for the MTU.

    A router that a tenant runs itself wins: ours has the lowest preference (RFC 4191 2.1).
    """
    return {
        "address_mode": key.mode.value,
        "router_preference": "LOW",
        "send_periodic": "false",
    }


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


def list_keyless(source: Source, networks: Iterable[str] | None) -> list[tuple[str, str]]:
    """List (network, port) of the responders that wait for a port key.

    Args:
        source: the site's tables.
        networks: whose responders; None means those of every network.
    """
    stretched = source.networks().keys()
    chosen = stretched if networks is None else stretched & set(networks)
    wanted = [(key.network_id, name_port(key)) for key in group_subnets(source.ra_subnets(chosen))]
    return [one for one in wanted if source.find_port_key(one[1]) is None]


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[ResponderKey, Responder]:
    networks = scope.ids(NETWORKS)
    stretched = source.networks().keys()
    chosen = stretched if networks is None else stretched & networks
    return plan_responders(source.ra_subnets(chosen), source.find_port_key)


def _read(rows: OvnRows, scope: Scope) -> dict[ResponderKey, Responder]:
    networks = scope.ids(NETWORKS)
    if networks is None:
        routers: Iterator[Any] = rows.nb.rows("Logical_Router")
    else:
        names = (name_router(ResponderKey(one, mode)) for one in networks for mode in RaMode)
        routers = (
            row for name in names if (row := rows.nb.find("Logical_Router", name)) is not None
        )
    found = (_read_row(rows, router) for router in routers if MARK in router.external_ids)
    return {one.key: one for one in found}


def _read_row(rows: OvnRows, router: Any) -> Responder:
    network_id, _, mode = router.external_ids[MARK].partition("/")
    key = ResponderKey(network_id, RaMode(mode))
    port_id = router.external_ids.get(PORT_MARK, "")
    switch_port = rows.nb.find("Logical_Switch_Port", port_id)
    port = router.ports[0] if len(router.ports) == 1 else None
    advertised = dict(port.ipv6_ra_configs) if port is not None else {}
    mtu = advertised.pop("mtu", "")
    options = dict(switch_port.options) if switch_port is not None else {}
    return Responder(
        key=key,
        port_id=port_id,
        port_key=(requested_port_key(switch_port) or 0) if switch_port is not None else 0,
        mac=port.mac if port is not None else "",
        networks=frozenset(port.networks if port is not None else ()),
        mtu=int(mtu) if mtu.isdigit() else 0,
        intact=(
            port is not None
            and advertised == ra_settings(key)
            and switch_port is not None
            and switch_port.type == "router"
            and options.get("router-port") == port.name
        ),
    )


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    switches, there = observed.of(SWITCH_KEY), observed.of(RESPONDER)
    wanted = {key: row for key, row in desired.of(RESPONDER).items() if key.network_id in switches}
    for key, row in sorted(wanted.items()):
        if there.get(key) != row:
            yield PutResponder(row)
    for key, row in sorted(there.items()):
        if key not in wanted:
            yield RemoveResponder(row)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "responders": [
            {
                "network_id": key.network_id,
                "mode": key.mode.value,
                "port_id": one.port_id,
                "networks": sorted(one.networks),
            }
            for key, one in sorted(observed.of(RESPONDER).items())
        ]
    }


RESPONDER: Kind[dict[ResponderKey, Responder], dict[ResponderKey, Responder]] = Kind(
    name="responder",
    without="servers at this site get no IPv6 address",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
