"""The ports of a router's other instances on its transit network, one for each other site.

Such a port stands on the hypervisor that has the router's gateway at its site, where central has
said which one that is. Else it stands on any hypervisor of that site that is known here: every
hypervisor has the router's instance, so packets arrive, with one more hop to the gateway.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.exits.transit_network import choose_networks, name_switch
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, requested_port_key
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import (
    CHASSIS_OPTION,
    KEY_OPTION,
    SITE_MARK,
    TRANSIT_MARK,
    TRANSIT_PREFIX,
    Capability,
)
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.exits.plan import TransitPeer
from isthmus.model.site import SiteName


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPort:
    """The port of a router's instance at another site."""

    router_id: str
    site: SiteName
    chassis: str
    port_key: int
    addresses: str  #: MAC and addresses, as in Logical_Switch_Port.addresses
    intact: bool = True  #: observed: right type, no foreign option


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPorts:
    """The ports in scope, and where they are bound, by name."""

    ports: Mapping[str, PeerPort]
    bound: Mapping[
        str, str
    ]  #: name of the chassis, "" for none; one that northd has not seen: none


@dataclass(frozen=True, slots=True)
class PutPeer(Change):
    """Write the port of another site's instance."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.transit_peer.differs"
    what: ClassVar = "way to a router at another site missing or different"
    about: ClassVar = ROUTERS
    row: PeerPort

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        return name_peer(self.row.router_id, self.row.site) not in standing.of(TRANSIT_PEER).ports

    @override
    def __str__(self) -> str:
        one = self.row
        return (
            f"put the port of router {one.router_id} at site {one.site} on its transit network "
            f"(chassis {one.chassis}, key {one.port_key}, {one.addresses})"
        )

    @override
    def write(self, tables: Tables) -> None:
        name = name_peer(self.row.router_id, self.row.site)
        switch = tables.find("Logical_Switch", name_switch(self.row.router_id))
        if switch is None:
            return
        row = tables.find("Logical_Switch_Port", name)
        if row is None:
            row = tables.insert("Logical_Switch_Port")
            row.name = name
        switch.addvalue("ports", row)
        row.type = "remote"
        row.options = {KEY_OPTION: str(self.row.port_key), CHASSIS_OPTION: self.row.chassis}
        row.addresses = [self.row.addresses]
        row.external_ids = {TRANSIT_MARK: self.row.router_id, SITE_MARK: self.row.site}


@dataclass(frozen=True, slots=True)
class RemovePeer(Change):
    """Remove the port of another site's instance."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.transit_peer.extra"
    what: ClassVar = "way to a router at another site too many"
    about: ClassVar = ROUTERS
    router_id: str
    site: SiteName

    @property
    @override
    def subject(self) -> str:
        return self.router_id

    @override
    def __str__(self) -> str:
        return f"remove the port of router {self.router_id} at site {self.site}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Logical_Switch_Port", name_peer(self.router_id, self.site))
        if row is None or TRANSIT_MARK not in row.external_ids:
            return
        switch = tables.find("Logical_Switch", name_switch(self.router_id))
        if switch is not None:
            switch.delvalue("ports", row)
        row.delete()


@dataclass(frozen=True, slots=True)
class BindPeer(Change):
    """Bind the port of another site's instance, which northd before 23.09 does not."""

    phase: ClassVar = Phase.AFTER
    code: ClassVar = "ovn.transit_peer.missing"
    what: ClassVar = "way to a router at another site not bound"
    about: ClassVar = ROUTERS
    router_id: str
    site: SiteName
    chassis: str

    @property
    @override
    def subject(self) -> str:
        return self.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        there = standing.of(TRANSIT_PEER)
        name = name_peer(self.router_id, self.site)
        row = there.ports.get(name)
        return not there.bound.get(name) and (row is None or row.chassis == self.chassis)

    @override
    def __str__(self) -> str:
        return (
            f"bind the port of router {self.router_id} at site {self.site} to chassis "
            f"{self.chassis}"
        )

    @override
    def write(self, tables: Tables) -> None:
        name = name_peer(self.router_id, self.site)
        row = tables.find("Port_Binding", name, "logical_port")
        where = tables.find("Chassis", self.chassis)
        if row is not None and where is not None and row.type == "remote":
            row.chassis = [where]


def name_peer(router_id: str, site: SiteName) -> str:
    """Return the name of the port of a router's instance at another site."""
    return f"{TRANSIT_PREFIX}{router_id}/{site}"


def choose_chassis(peer: TransitPeer, known: Iterable[Shadow]) -> str | None:
    """Choose the hypervisor that a peer stands on; None where none of its site is known.

    Args:
        peer: the port of another site's instance.
        known: one shadow of each hypervisor that is known here.
    """
    if peer.hypervisor is not None:
        return peer.hypervisor.chassis
    return min((one.chassis for one in known if one.site == peer.site), default=None)


def render_peer(router_id: str, peer: TransitPeer, chassis: str) -> PeerPort:
    """Return the row of a peer on a hypervisor."""
    return PeerPort(
        router_id=router_id,
        site=peer.site,
        chassis=chassis,
        port_key=peer.port_key,
        addresses=" ".join((peer.mac, *map(str, peer.addresses))),
    )


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, PeerPort]:
    plans = source.exits(scope.ids(ROUTERS))
    known: list[Shadow] | None = None
    found = {}
    for router_id, plan in plans.items():
        for peer in plan.transit.peers if plan.transit is not None else ():
            if known is None and peer.hypervisor is None:
                known = source.one_shadow_per_chassis(None)
            chassis = choose_chassis(peer, known or ())
            if chassis is not None:
                found[name_peer(router_id, peer.site)] = render_peer(router_id, peer, chassis)
    return found


def _read(rows: OvnRows, scope: Scope) -> PeerPorts:
    ids = scope.ids(ROUTERS)
    if ids is None:
        found = [
            row
            for row in rows.nb.rows("Logical_Switch_Port")
            if TRANSIT_MARK in row.external_ids and SITE_MARK in row.external_ids
        ]
    else:
        found = []
        for router_id in ids:
            switch = rows.nb.find("Logical_Switch", name_switch(router_id))
            if switch is not None:
                with rows.nb.lock:
                    found += [row for row in switch.ports if SITE_MARK in row.external_ids]
    bindings = {row.name: rows.find_binding(row.name) for row in found}
    return PeerPorts(
        ports={row.name: _read_row(row) for row in found},
        bound={name: one.chassis for name, one in bindings.items() if one is not None},
    )


def _read_row(row: Any) -> PeerPort:
    options = dict(row.options)
    key = requested_port_key(row)
    options.pop(KEY_OPTION, None)
    chassis = options.pop(CHASSIS_OPTION, "")
    return PeerPort(
        router_id=row.external_ids.get(TRANSIT_MARK, ""),
        site=SiteName(row.external_ids[SITE_MARK]),
        chassis=chassis,
        port_key=key or 0,
        addresses=row.addresses[0] if len(row.addresses) == 1 else "",
        intact=row.type == "remote" and not options,
    )


def _diff(desired: Desired, observed: Observed, capability: Capability) -> Iterator[Change]:
    there = observed.of(TRANSIT_PEER)
    networks = choose_networks(desired, observed)
    wanted = {
        name: one for name, one in desired.of(TRANSIT_PEER).items() if one.router_id in networks
    }
    for name, one in sorted(wanted.items()):
        if there.ports.get(name) != one:
            yield PutPeer(one)
    for name, row in sorted(there.ports.items()):
        if name not in wanted:
            yield RemovePeer(row.router_id, row.site)
    if capability.binds_remote:
        return
    for name, one in sorted(wanted.items()):
        if name in there.bound and there.bound[name] != one.chassis:
            yield BindPeer(one.router_id, one.site, one.chassis)


def _list_holdings(observed: Observed) -> Parts:
    there = observed.of(TRANSIT_PEER)
    return {
        "transit_peers": [
            {
                "router_id": one.router_id,
                "site": one.site,
                "requested_chassis": one.chassis,
                "chassis": there.bound.get(name, ""),
                "requested_key": one.port_key,
                "addresses": one.addresses,
            }
            for name, one in sorted(there.ports.items())
        ]
    }


TRANSIT_PEER: Kind[dict[str, PeerPort], PeerPorts] = Kind(
    name="transit_peer",
    without="what leaves, or lies, at the other site is not reached",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
