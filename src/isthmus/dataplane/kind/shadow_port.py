"""Shadow ports: logical switch ports of type `remote`, one for each port of another site."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, requested_port_key
from isthmus.dataplane.scope import GROUPS, PORTS, Scope
from isthmus.model.dataplane.ovn import (
    CHASSIS_OPTION,
    KEY_OPTION,
    SHADOW_MARK,
    SITE_MARK,
    SWITCH_PREFIX,
    Capability,
)
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.site import SiteName

#: OVN's word for "any MAC may be behind this port" in Logical_Switch_Port.addresses.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePort:
    """A shadow port's row in NB (and its place in port groups)."""

    port_id: str
    network_id: str
    site: SiteName
    chassis: str  #: "" where the network is on a fabric that the sites share
    port_key: int
    addresses: frozenset[str]  #: as in Logical_Switch_Port.addresses
    groups: frozenset[str] = frozenset()  #: names of Port_Group rows that exist
    enabled: bool = True  #: as in Logical_Switch_Port.enabled, where empty means true
    intact: bool = True  #: observed: no foreign option, right type, no port security of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPorts:
    """The shadow ports in scope."""

    ports: Mapping[str, RemotePort]
    groups: frozenset[str]  #: every Port_Group there is, in scope or not


@dataclass(frozen=True, slots=True)
class PutShadowPort(Change):
    """Write a shadow port, whatever its row was before."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.shadow_port.differs"
    what: ClassVar = "shadow port missing or different"
    about: ClassVar = PORTS
    row: RemotePort

    @property
    @override
    def subject(self) -> str:
        return self.row.port_id

    @override
    def adds(self, standing: Standing) -> bool:
        there = standing.of(SHADOW_PORT).ports
        if self.row.port_id in there:
            return False
        return _unique_values(self.row).isdisjoint(standing.look_up(_list_unique))

    @override
    def __str__(self) -> str:
        one = self.row
        return (
            f"put shadow port {one.port_id} of site {one.site} on network {one.network_id} "
            f"({f'chassis {one.chassis}' if one.chassis else 'on the fabric'}, "
            f"key {one.port_key}, {', '.join(sorted(one.addresses))})"
        )

    @override
    def write(self, tables: Tables) -> None:
        switch = tables.find("Logical_Switch", SWITCH_PREFIX + self.row.network_id)
        row = tables.find("Logical_Switch_Port", self.row.port_id)
        if switch is None or (row is not None and SHADOW_MARK not in row.external_ids):
            return  # gone, or taken by Neutron, since we looked: the next comparison decides
        if row is None:
            row = tables.insert("Logical_Switch_Port")
            row.name = self.row.port_id
        switch.addvalue("ports", row)
        row.type = "remote"
        where = {CHASSIS_OPTION: self.row.chassis} if self.row.chassis else {}
        row.options = {KEY_OPTION: str(self.row.port_key), **where}
        row.addresses = sorted(self.row.addresses)
        row.enabled = self.row.enabled
        row.port_security = []
        row.external_ids = {SHADOW_MARK: self.row.network_id, SITE_MARK: self.row.site}


@dataclass(frozen=True, slots=True)
class RemoveShadowPort(Change):
    """Remove a shadow port."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.shadow_port.extra"
    what: ClassVar = "shadow port too many"
    about: ClassVar = PORTS
    network_id: str
    port_id: str

    @property
    @override
    def subject(self) -> str:
        return self.port_id

    @override
    def __str__(self) -> str:
        return f"remove shadow port {self.port_id} of network {self.network_id}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Logical_Switch_Port", self.port_id)
        if row is not None and SHADOW_MARK in row.external_ids:
            drop_switch_port(tables, self.network_id, row)


def drop_switch_port(tables: Tables, network_id: str, row: Any) -> None:
    """Remove a switch port of ours from its switch and delete it."""
    switch = tables.find("Logical_Switch", SWITCH_PREFIX + network_id)
    if switch is not None:
        switch.delvalue("ports", row)
    row.delete()


def render_addresses(shadow: Shadow) -> frozenset[str]:
    """Return `Logical_Switch_Port.addresses` as ML2/OVN writes them at the port's home."""
    rows = set(shadow.extra_macs)
    if shadow.answered:
        rows.add(" ".join((shadow.mac_address, *shadow.addresses)))
    if shadow.accepts_unknown:
        rows.add(UNKNOWN)
    return frozenset(rows)


def render_port(
    shadow: Shadow,
    groups: frozenset[str],
    name_group: Callable[[str], str],
    *,
    on_fabric: bool = False,
) -> RemotePort:
    """Return the row of a shadow.

    On a fabric that the sites share it asks for no chassis. OVN then sends what is for it to the
    fabric, and makes no copy of a broadcast for it; security groups know its addresses from it.

    Args:
        shadow: the port of the other site.
        groups: the port groups that exist here; a security group nobody uses here has none.
        name_group: gives the name of a security group's port group.
        on_fabric: whether the network is on a fabric.
    """
    return RemotePort(
        port_id=shadow.port_id,
        network_id=shadow.network_id,
        site=shadow.site,
        chassis="" if on_fabric else shadow.chassis,
        port_key=shadow.port_key,
        addresses=render_addresses(shadow),
        groups=frozenset(map(name_group, shadow.security_groups)) & groups,
        enabled=shadow.enabled,
    )


def _desired(source: Source, scope: Scope, observed: Observed) -> dict[str, RemotePort]:
    networks, on_fabrics = source.networks(), source.networks_on_fabrics()
    groups = observed.of(SHADOW_PORT).groups
    return {
        one.port_id: render_port(
            one, groups, source.name_group, on_fabric=one.network_id in on_fabrics
        )
        for one in source.shadows(scope.ids(PORTS))
        if one.network_id in networks
    }


def _read(rows: OvnRows, scope: Scope) -> ShadowPorts:
    groups, memberships = _read_groups(rows, scope.ids(GROUPS))
    ids = scope.ids(PORTS)
    if ids is None:
        found = rows.nb.rows("Logical_Switch_Port")
    else:
        found = (
            row for one in ids if (row := rows.nb.find("Logical_Switch_Port", one)) is not None
        )
    ports = {
        row.name: _read_row(row, memberships.get(row.uuid, frozenset()))
        for row in found
        if SHADOW_MARK in row.external_ids
    }
    return ShadowPorts(ports=ports, groups=groups)


def _read_groups(
    rows: OvnRows, names: frozenset[str] | None
) -> tuple[frozenset[str], dict[Any, frozenset[str]]]:
    """Return the groups there are, and for each switch port row those it is in."""
    existing = set()
    members: dict[Any, set[str]] = {}
    for row in rows.nb.rows("Port_Group"):
        existing.add(row.name)
        if names is not None and row.name not in names:
            continue
        for port in row.ports:
            members.setdefault(port.uuid, set()).add(row.name)
    return frozenset(existing), {uuid: frozenset(found) for uuid, found in members.items()}


def _read_row(row: Any, groups: frozenset[str]) -> RemotePort:
    options = dict(row.options)
    key = requested_port_key(row)
    options.pop(KEY_OPTION, None)
    chassis = options.pop(CHASSIS_OPTION, "")
    return RemotePort(
        port_id=row.name,
        network_id=row.external_ids[SHADOW_MARK],
        site=SiteName(row.external_ids.get(SITE_MARK, "")),
        chassis=chassis,
        port_key=key or 0,
        addresses=frozenset(row.addresses),
        groups=groups,
        enabled=row.enabled != [False],
        intact=row.type == "remote" and not options and not row.port_security,
    )


def choose_wanted(desired: Desired, observed: Observed) -> dict[str, RemotePort]:
    """Return the shadow ports that can stand here: on a switch that is there, of no own port."""
    switches, own_ports = observed.of(SWITCH_KEY), observed.of(PORT_KEY)
    return {
        port.port_id: port
        for port in desired.of(SHADOW_PORT).values()
        if port.network_id in switches and port.port_id not in own_ports
    }


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    wanted, there = choose_wanted(desired, observed), observed.of(SHADOW_PORT).ports
    for port_id, port in sorted(wanted.items()):
        if not _same_row(port, there.get(port_id)):
            yield PutShadowPort(port)
    for port_id, port in sorted(there.items()):
        if port_id not in wanted:
            yield RemoveShadowPort(port.network_id, port_id)


def _unique_values(port: RemotePort) -> set[tuple[str, object]]:
    """Return what no two ports of a network may have: the key, each address."""
    words = set(" ".join(port.addresses).split()) - {UNKNOWN}
    return {(port.network_id, port.port_key), *((port.network_id, word) for word in words)}


def _list_unique(observed: Observed) -> set[tuple[str, object]]:
    """List what ports have that stand, shadows and others."""
    found = {
        one for port in observed.of(SHADOW_PORT).ports.values() for one in _unique_values(port)
    }
    for port in observed.of(PORT_KEY).values():
        found.add((port.network_id, port.port_key))
        found.update((port.network_id, word) for word in " ".join(port.addresses).split())
    return found


def _same_row(port: RemotePort, row: RemotePort | None) -> bool:
    """Compare all but the groups, which are a kind of their own."""
    return row is not None and dataclasses.replace(port, groups=row.groups) == row


def _list_holdings(observed: Observed) -> Parts:
    return {
        "shadows": [
            {
                "id": port_id,
                "network_id": one.network_id,
                "type": "remote",
                "site": one.site,
                "requested_key": one.port_key,
                "requested_chassis": one.chassis,
                "addresses": sorted(one.addresses),
                "groups": sorted(one.groups),
            }
            for port_id, one in sorted(observed.of(SHADOW_PORT).ports.items())
        ]
    }


SHADOW_PORT: Kind[dict[str, RemotePort], ShadowPorts] = Kind(
    name="shadow_port",
    without="the port cannot be reached from this site",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
