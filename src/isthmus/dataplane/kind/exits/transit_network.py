"""Transit networks of routers: a switch of its own, with a port of the router's instance on it.

By it the instances of a router at several sites reach each other. It has the same datapath key in
every site; each site's port has a key, MAC and addresses of its own (`federation.exits.transit`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, requested_port_key, requested_switch_key
from isthmus.dataplane.scope import ROUTERS, Scope
from isthmus.model.dataplane.ovn import (
    KEY_OPTION,
    ROUTER_PREFIX,
    TRANSIT_MARK,
    TRANSIT_PREFIX,
    Capability,
)
from isthmus.model.exits.plan import TransitPort


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitNetwork:
    """A router's transit network at this site, and the router's port on it."""

    router_id: str
    datapath_key: int
    port_key: int
    mac: str
    networks: frozenset[str]  #: "<address>/<length>"
    intact: bool = True  #: observed: switch, both ports and their options are as they should be


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitNetworks:
    """The transit networks in scope, and the routers that could have one."""

    networks: Mapping[str, TransitNetwork]
    routers: frozenset[str]  #: of Neutron's, in scope, whose rows are there
    keys: Mapping[str, int]  #: that each transit network has, of those outside the scope, too
    taken: frozenset[int] = frozenset()  #: keys that networks have


@dataclass(frozen=True, slots=True)
class PutTransitNetwork(Change):
    """Write a transit network's switch and both ports of the router there."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.transit_network.differs"
    what: ClassVar = "transit network missing or different"
    about: ClassVar = ROUTERS
    row: TransitNetwork

    @property
    @override
    def subject(self) -> str:
        return self.row.router_id

    @override
    def adds(self, standing: Standing) -> bool:
        there = standing.of(TRANSIT_NETWORK)
        is_new = self.row.router_id not in there.networks
        return is_new and self.row.datapath_key not in there.keys.values()

    @override
    def __str__(self) -> str:
        one = self.row
        return (
            f"put transit network of router {one.router_id} (key {one.datapath_key}, port "
            f"{one.port_key}, {one.mac}, {', '.join(sorted(one.networks))})"
        )

    @override
    def write(self, tables: Tables) -> None:
        wanted = self.row
        router = tables.find("Logical_Router", ROUTER_PREFIX + wanted.router_id)
        if router is None:
            return
        switch = tables.find("Logical_Switch", name_switch(wanted.router_id))
        if switch is None:
            switch = tables.insert("Logical_Switch")
            switch.name = name_switch(wanted.router_id)
        switch.other_config = {KEY_OPTION: str(wanted.datapath_key)}
        switch.external_ids = {TRANSIT_MARK: wanted.router_id}
        port = tables.find("Logical_Router_Port", name_router_port(wanted.router_id))
        if port is None:
            port = tables.insert("Logical_Router_Port")
            port.name = name_router_port(wanted.router_id)
        port.mac = wanted.mac
        port.networks = sorted(wanted.networks)
        port.external_ids = {TRANSIT_MARK: wanted.router_id}
        router.addvalue("ports", port)
        peer = tables.find("Logical_Switch_Port", name_switch_port(wanted.router_id))
        if peer is None:
            peer = tables.insert("Logical_Switch_Port")
            peer.name = name_switch_port(wanted.router_id)
        peer.type = "router"
        peer.options = _options(wanted)
        peer.addresses = ["router"]
        peer.external_ids = {TRANSIT_MARK: wanted.router_id}
        switch.addvalue("ports", peer)


@dataclass(frozen=True, slots=True)
class ReleaseKey(Change):
    """Take a key from a transit network that has it no more, before another one gets it.

    The two may exchange keys, and are perhaps not written in one transaction.
    """

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.transit_network.differs"
    what: ClassVar = "transit network has the key of another one"
    about: ClassVar = ROUTERS
    router_id: str
    key: int

    @property
    @override
    def subject(self) -> str:
        return self.router_id

    @override
    def __str__(self) -> str:
        return f"take key {self.key} from the transit network of router {self.router_id}"

    @override
    def write(self, tables: Tables) -> None:
        switch = tables.find("Logical_Switch", name_switch(self.router_id))
        if switch is None or TRANSIT_MARK not in switch.external_ids:
            return
        if requested_switch_key(switch) == self.key:
            switch.other_config = {}


@dataclass(frozen=True, slots=True)
class RemoveTransitNetwork(Change):
    """Remove a transit network and the router's port on it."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.transit_network.extra"
    what: ClassVar = "transit network too many"
    about: ClassVar = ROUTERS
    router_id: str

    @property
    @override
    def subject(self) -> str:
        return self.router_id

    @override
    def __str__(self) -> str:
        return f"remove transit network of router {self.router_id}"

    @override
    def write(self, tables: Tables) -> None:
        switch = tables.find("Logical_Switch", name_switch(self.router_id))
        if switch is not None and TRANSIT_MARK in switch.external_ids:
            switch.delete()
        port = tables.find("Logical_Router_Port", name_router_port(self.router_id))
        router = tables.find("Logical_Router", ROUTER_PREFIX + self.router_id)
        if port is not None and router is not None and TRANSIT_MARK in port.external_ids:
            router.delvalue("ports", port)
            port.delete()


def name_switch(router_id: str) -> str:
    """Return the name of a transit network's switch."""
    return TRANSIT_PREFIX + router_id


def name_router_port(router_id: str) -> str:
    """Return the name of the router's port on its transit network."""
    return f"{TRANSIT_PREFIX}{router_id}-lrp"


def name_switch_port(router_id: str) -> str:
    """Return the name of the switch port on the other end of the router's."""
    return f"{TRANSIT_PREFIX}{router_id}-lsp"


def list_routers(rows: OvnRows, scope: Scope) -> frozenset[str]:
    """List the routers of Neutron's in scope whose rows are there."""
    ids = scope.ids(ROUTERS)
    if ids is not None:
        return frozenset(one for one in ids if find_router(rows, one) is not None)
    return frozenset(
        row.name.removeprefix(ROUTER_PREFIX)
        for row in rows.nb.rows("Logical_Router")
        if row.name.startswith(ROUTER_PREFIX)
    )


def find_router(rows: OvnRows, router_id: str) -> Any:
    """Find the row of a router of Neutron's; None where there is none."""
    return rows.nb.find("Logical_Router", ROUTER_PREFIX + router_id)


def _options(wanted: TransitNetwork) -> dict[str, str]:
    return {"router-port": name_router_port(wanted.router_id), KEY_OPTION: str(wanted.port_key)}


def render_network(router_id: str, port: TransitPort) -> TransitNetwork:
    """Return the rows of a router's port on its transit network."""
    return TransitNetwork(
        router_id=router_id,
        datapath_key=port.datapath_key,
        port_key=port.port_key,
        mac=port.mac,
        networks=frozenset(
            f"{address}/{prefix.prefixlen}"
            for address, prefix in zip(port.addresses, port.prefixes, strict=True)
        ),
    )


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, TransitNetwork]:
    plans = source.exits(scope.ids(ROUTERS))
    return {
        router_id: render_network(router_id, plan.transit)
        for router_id, plan in plans.items()
        if plan.transit is not None
    }


def _read(rows: OvnRows, scope: Scope) -> TransitNetworks:
    ids = scope.ids(ROUTERS)
    if ids is not None and not ids:
        return TransitNetworks(networks={}, routers=frozenset(), keys={})
    switches, taken = {}, set()
    for row in rows.nb.rows("Logical_Switch"):
        if TRANSIT_MARK in row.external_ids:
            switches[row.external_ids[TRANSIT_MARK]] = row
        else:
            taken.add(requested_switch_key(row) or 0)
    wanted = switches.keys() if ids is None else switches.keys() & set(ids)
    return TransitNetworks(
        networks={one: _read_row(rows, switches[one]) for one in wanted},
        routers=list_routers(rows, scope),
        keys={one: requested_switch_key(row) or 0 for one, row in switches.items()},
        taken=frozenset(taken),
    )


def _read_row(rows: OvnRows, switch: Any) -> TransitNetwork:
    router_id = switch.external_ids[TRANSIT_MARK]
    port = rows.nb.find("Logical_Router_Port", name_router_port(router_id))
    peer = rows.nb.find("Logical_Switch_Port", name_switch_port(router_id))
    router = find_router(rows, router_id)
    seen = TransitNetwork(
        router_id=router_id,
        datapath_key=requested_switch_key(switch) or 0,
        port_key=(requested_port_key(peer) or 0) if peer is not None else 0,
        mac=port.mac if port is not None else "",
        networks=frozenset(port.networks if port is not None else ()),
        intact=False,
    )
    if port is None or peer is None or router is None:
        return seen
    with rows.nb.lock:
        joined = port.uuid in {one.uuid for one in router.ports}
        plugged = peer.uuid in {one.uuid for one in switch.ports}
    intact = peer.type == "router" and dict(peer.options) == _options(seen)
    return TransitNetwork(
        router_id=router_id,
        datapath_key=seen.datapath_key,
        port_key=seen.port_key,
        mac=seen.mac,
        networks=seen.networks,
        intact=intact and joined and plugged and TRANSIT_MARK in port.external_ids,
    )


def choose_networks(desired: Desired, observed: Observed) -> dict[str, TransitNetwork]:
    """Return the transit networks that can stand here: of routers that are there.

    A network of the site's OVN that its database does not know, since it went back to a backup,
    keeps its key: what central says of the router is on its way.
    """
    there = observed.of(TRANSIT_NETWORK)
    return {
        router_id: one
        for router_id, one in desired.of(TRANSIT_NETWORK).items()
        if router_id in there.routers and one.datapath_key not in there.taken
    }


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(TRANSIT_NETWORK).networks
    wanted = choose_networks(desired, observed)
    owners = {one.datapath_key: router_id for router_id, one in wanted.items()}
    going = there.keys() - wanted.keys()
    for router_id, key in sorted(observed.of(TRANSIT_NETWORK).keys.items()):
        if router_id not in going and owners.get(key, router_id) != router_id:
            yield ReleaseKey(router_id, key)
    for router_id, one in sorted(wanted.items()):
        if there.get(router_id) != one:
            yield PutTransitNetwork(one)
    for router_id in sorted(going):
        yield RemoveTransitNetwork(router_id)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "transit_networks": [
            {
                "router_id": router_id,
                "key": one.datapath_key,
                "port_key": one.port_key,
                "mac_address": one.mac,
                "networks": sorted(one.networks),
            }
            for router_id, one in sorted(observed.of(TRANSIT_NETWORK).networks.items())
        ]
    }


TRANSIT_NETWORK: Kind[dict[str, TransitNetwork], TransitNetworks] = Kind(
    name="transit_network",
    without="what leaves, or lies, at another site is not reached",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
